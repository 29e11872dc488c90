"""What a fleet is told to be: what to buy by quarter, what runs where, what it costs, what binds, or which limits conflict."""

from __future__ import annotations

from dataclasses import dataclass, field

from windtunnel.plan.fleets.assemble import Assembly
from windtunnel.plan.fleets.problem import Limit, Problem
from windtunnel.plan.fleets.spec import FleetSpec, Scenario


@dataclass(frozen=True, slots=True)
class Bought:
    """Chips bought (or rented for the quarter) of one kind in one quarter."""

    chip: str
    quarter: int
    lots: int
    chips: int
    usd: float
    rented: bool


@dataclass(frozen=True, slots=True)
class Used:
    """Chips of one kind in one quarter: there, and in use by workload."""

    chip: str
    quarter: int
    there: int
    by_workload: dict[str, float]

    @property
    def in_use(self) -> float:
        return sum(self.by_workload.values())


@dataclass(frozen=True, slots=True)
class Serving:
    """A workload on one way in one quarter. instances, chips: of each part; requests_per_s: of its traffic."""

    workload: str
    quarter: int
    way: str
    deployed: str
    requests_per_s: float
    instances: tuple[float, ...]
    chips: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Training:
    """A run in one quarter: the chips that it holds, and the tokens that are done in it."""

    workload: str
    quarter: int
    chip: str
    deployed: str
    chips: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Costs:
    """USD paid in one quarter, not discounted. lost: penalties for requests that are not served."""

    purchases: float
    rent: float
    energy: float
    lost: float

    @property
    def total(self) -> float:
        return self.purchases + self.rent + self.energy + self.lost


@dataclass(frozen=True, slots=True)
class Shadow:
    """What a little more of a limit would save (or serve). per_unit: by the duals of the programme with parts of lots. step,
    saved: by solving it again with so much more, between saved_low and saved_high by both proofs; None: that was not done."""

    limit: Limit
    what: str
    unit: str
    per_unit: float
    step: float = 0.0
    saved: float | None = None
    saved_low: float = 0.0
    saved_high: float = 0.0


@dataclass(frozen=True, slots=True)
class Conflict:
    """Limits that cannot all be met, though without any one of them the rest can. told: each in words; cures: what would do."""

    limits: tuple[Limit, ...]
    told: tuple[str, ...]
    cures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Solved:
    """A plan under one reading of the sources. objective: the discounted cost less the credit, USD; bound: below which no plan in
    shares of whole instances comes; whole_usd: what it costs that instances are whole also where a workload is on several kinds
    of chips; whole: whether they are. seconds: of CPU that the proof took. lost_share: of each workload's demand,
    by quarter; undone_share: of a run's tokens."""

    scenario: Scenario
    bought: tuple[Bought, ...]
    used: tuple[Used, ...]
    serving: tuple[Serving, ...]
    training: tuple[Training, ...]
    costs: tuple[Costs, ...]
    credit: float
    objective: float
    bound: float
    gap: float
    proven: bool
    whole: bool
    whole_usd: float
    seconds: float
    lost_share: dict[str, tuple[float, ...]]
    undone_share: dict[str, float]

    @property
    def paid(self) -> float:
        """USD in all quarters, not discounted."""
        return sum(each.total for each in self.costs)


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """The answer. solved: None where limits conflict. others: the least cost under each reading of the sources on supply, None
    where not all can be had; empty where they agree."""

    assembly: Assembly
    problem: Problem
    solved: Solved | None
    conflict: Conflict | None = None
    shadows: tuple[Shadow, ...] = ()
    others: dict[Scenario, float | None] = field(default_factory=dict)

    @property
    def spec(self) -> FleetSpec:
        return self.assembly.spec
