"""What a plan is: for every chip the cheapest deployment that meets the targets, the Pareto front, or why not."""

from __future__ import annotations

from dataclasses import dataclass, field

from windtunnel.rules.verdict import Verdict
from windtunnel.sim.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Targets:
    """What the service must do: most of the mean TTFT and TPOT (0: no target), requests_per_s in all."""

    isl: int
    osl: int
    ttft_s: float = 0.0
    tpot_s: float = 0.0
    requests_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """What requests saw that came at random at the rate that was asked for. requests: that were looked at; ttft_s and
    tpot_s: means; the rest: p50, p90 and p99 in seconds."""

    requests: int
    ttft_s: float
    ttft_p50_s: float
    ttft_p90_s: float
    ttft_p99_s: float
    tpot_s: float
    tpot_p50_s: float
    tpot_p90_s: float
    tpot_p99_s: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment repeated until it carries the traffic.

    aggregated: prediction alone, ``replicas`` of it. disaggregated: ``prefill`` is set, replicated
    ``prefill_replicas`` times, and hands its KV cache to ``replicas`` decode instances over the network.
    prediction and prefill are at the load that each instance has: its share of the traffic that was asked for, or as
    much as it takes within the targets; requests_per_s: what all of them could carry within the targets.
    simulated: where a rate was asked for: TTFT and TPOT of prediction and prefill are then the simulated ones.
    usd_per_hour, usd_per_mtok: of all chips, per million output tokens; None where nobody published a price.
    """

    prediction: Prediction
    replicas: int
    requests_per_s: float
    prefill: Prediction | None = None
    prefill_replicas: int = 0
    kv_transfer_s: float = 0.0
    usd_per_hour: float | None = None
    usd_per_mtok: float | None = None
    price_basis: str = ""
    power_kw: float | None = None
    joules_per_token: float | None = None
    simulated: Simulated | None = None

    @property
    def mode(self) -> str:
        return "disaggregated" if self.prefill else "aggregated"

    @property
    def chips(self) -> int:
        own = self.prediction.deployment.chips * self.replicas
        return own + (self.prefill.deployment.chips * self.prefill_replicas if self.prefill else 0)

    @property
    def output_tokens_per_s(self) -> float:
        return self.prediction.output_tokens_per_s.value * self.replicas

    @property
    def output_tokens_per_s_per_chip(self) -> float:
        return self.output_tokens_per_s / self.chips

    @property
    def ttft_s(self) -> float:
        return self.prefill.ttft.value + self.kv_transfer_s if self.prefill else self.prediction.ttft.value


@dataclass(frozen=True, slots=True)
class ChipPlan:
    """One chip or system: ``best`` meets the targets at the least cost (chips where no price is known);
    why_not is one line when none does; pareto: throughput per chip against tokens/s per user, best first;
    verdict: what the export rules say, where a destination was named."""

    name: str
    best: Candidate | None
    why_not: str = ""
    pareto: tuple[Candidate, ...] = ()
    searched: int = 0
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer to one question, in the order in which the chips were asked for.

    to, date: the destination and the day for which export rules were held against the chips, "" where none was named.
    """

    model: str
    targets: Targets
    chips: tuple[ChipPlan, ...]
    notes: tuple[str, ...] = field(default_factory=tuple)
    to: str = ""
    date: str = ""

    @property
    def ranked(self) -> list[ChipPlan]:
        """Chips that meet the targets, cheapest per million tokens first; those without a price after them."""
        met = [c for c in self.chips if c.best is not None]
        return sorted(
            met,
            key=lambda c: (c.best.usd_per_mtok is None, c.best.usd_per_mtok or 0.0, c.best.chips) if c.best else (True, 0.0, 0),
        )
