"""What a simulation has seen: quantiles, goodput, queues, caches, and whether the load could be carried at all."""

from __future__ import annotations

from dataclasses import dataclass, field

from windtunnel.cost.evidence import Evidence
from windtunnel.sim.behaviour import Spread
from windtunnel.sim.serving.history import Moment
from windtunnel.sim.serving.phases import Phases
from windtunnel.sim.serving.quantiles import FEWEST_BEYOND, Quantiles

SHOWN = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Sample:
    """The fleet at one moment: requests that had arrived, been answered, waited for an engine's batch, and were in one;
    tokens in the KV caches."""

    at_s: float
    arrived: int
    answered: int
    waiting: int
    running: int
    kv_tokens: int


class Timeline:
    """At most ``most`` samples of a run of any length, evenly spread over its requests."""

    def __init__(self, most: int = 256) -> None:
        self.samples: list[Sample] = []
        self._most, self._every, self._seen = most, 1, 0

    def due(self) -> bool:
        """Whether the request that comes now is one to take a sample at."""
        self._seen += 1
        return self._seen % self._every == 0

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        if len(self.samples) >= self._most:
            self.samples = self.samples[1::2]
            self._every *= 2


@dataclass(slots=True)
class Tally:
    """What has been counted so far; TTFT, TPOT, end to end and the wait for a place in a batch, in seconds."""

    ttft_target_s: float = 0.0
    tpot_target_s: float = 0.0
    arrived: int = 0
    answered: int = 0
    good: int = 0
    restarted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    last_s: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)
    ttft: Quantiles = field(default_factory=Quantiles)
    tpot: Quantiles = field(default_factory=Quantiles)
    e2e: Quantiles = field(default_factory=Quantiles)
    phases: Phases = field(default_factory=Phases)

    @property
    def in_flight(self) -> int:
        return self.arrived - self.answered - sum(self.refused.values())


@dataclass(frozen=True, slots=True)
class Quantile:
    """One quantile in seconds; samples: behind all of it; beyond: how many lie above; firm: whether these are enough."""

    q: float
    value_s: float
    samples: int
    beyond: int

    @property
    def firm(self) -> bool:
        return self.beyond >= FEWEST_BEYOND


@dataclass(frozen=True, slots=True)
class Metric:
    """TTFT, TPOT or end-to-end time over all answered requests. within: factors that hold a measured mean in 80 % of cases."""

    mean_s: float
    quantiles: tuple[Quantile, ...]
    most_s: float
    within: Spread | None
    all: Quantiles

    @classmethod
    def of(cls, found: Quantiles, within: Spread | None) -> Metric:
        shown = tuple(Quantile(q, found.quantile(q), found.count, found.beyond(q)) for q in SHOWN)
        return cls(found.mean, shown, found.largest if found.count else 0.0, within, found)

    def at(self, q: float) -> float:
        return self.all.quantile(q)


@dataclass(frozen=True, slots=True)
class PoolResult:
    """Equal engines over the run. busy: share of time that they computed; running: requests that decode on average an
    engine; waiting: that waited for a place, on average and at most, over all; kv: mean share of the cache in use."""

    replicas: int
    busy: float
    running: float
    waiting: float
    most_waiting: int
    kv: float
    kv_tokens: int
    prefilled_tokens: int
    preemptions: int
    hit_rate: float | None
    downtime: float


@dataclass(frozen=True, slots=True)
class Result:
    """A simulation's outcome.

    saturated: requests came faster than they could be answered, so that every average only tells how long they came;
    carried_requests_per_s is then what the fleet can do. partial: stopped before its end. goodput_per_s: answered
    requests that met both targets a second, None without targets. seconds: simulated, to the last answer. history: the fleet
    over time; phases: where the time of answered requests went; last_arrival_s: when the last one came.
    """

    arrived: int
    answered: int
    refused: dict[str, int]
    in_flight: int
    restarted: int
    seconds: float
    offered_per_s: float
    input_tokens: int
    output_tokens: int
    ttft: Metric
    tpot: Metric
    e2e: Metric
    good: int
    goodput_per_s: float | None
    saturated: bool
    carried_requests_per_s: float | None
    pool: PoolResult
    prefill_pool: PoolResult | None
    transfers: int
    transfer_s: float
    transfer_wait_s: float
    timeline: tuple[Sample, ...]
    evidence: Evidence
    partial: bool
    seed: int
    notes: tuple[str, ...]
    history: tuple[Moment, ...] = ()
    phases: Phases = field(default_factory=Phases)
    last_arrival_s: float = 0.0

    @property
    def answered_per_s(self) -> float:
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def output_tokens_per_s(self) -> float:
        return self.output_tokens / self.seconds if self.seconds else 0.0
