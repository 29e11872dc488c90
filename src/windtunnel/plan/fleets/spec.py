"""What a fleet's file asks: the quarters and limits, the chips that can be had, the workloads, and rules of one's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from windtunnel.plan.fleets.dies import DieSupply
from windtunnel.plan.fleets.problem import Goal
from windtunnel.plan.fleets.quarter import Quarter

Split = Literal["never", "same chip", "any chip"]
"""Whether a workload's prefill may run apart from its decode: not at all, on instances of the same chip, or of any two."""
Scenario = Literal["low", "mid", "high"]
"""Which of several sources that disagree is followed: the lowest, the middle, the highest."""
SpaceUnit = Literal["racks", "m2"]
Series = tuple[float, ...]
"""A number for each quarter."""


@dataclass(frozen=True, slots=True)
class MarketSupply:
    """So large a share of what market rows say is made or sold of the chip in a year. year: of the rows, 0: the quarter's own."""

    share: float
    year: int = 0


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """A place with power and floor space of its own. power_w, space: in each quarter, None: no limit. to: the destination whose
    export rules count, "" for none. usd_per_kwh, pue: of its electricity."""

    name: str
    to: str
    usd_per_kwh: float
    tariff: str
    pue: float
    power_w: Series | None = None
    space: Series | None = None


@dataclass(frozen=True, slots=True)
class ChipSpec:
    """One kind of chip at one site. on: chip or system of the catalogue, or a file. price_usd, rent_usd_per_h: of one chip, None
    where the catalogue's is asked for. added: duty and revenue share on top of the price. lot, power_w, space: None where the
    catalogue's counts."""

    name: str
    on: str
    site: str
    supply: Series | MarketSupply | DieSupply | None
    price_usd: float | None = None
    rent_usd_per_h: float | None = None
    duty: float = 0.0
    revenue_share: float = 0.0
    owned: int = 0
    lot: int | None = None
    power_w: float | None = None
    space: float | None = None

    @property
    def added(self) -> float:
        return self.duty + self.revenue_share


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """What every workload has. chips: names that it may run on, () for all; without: names that it may not; sites: where."""

    name: str
    model: str
    chips: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    precision: str | None = None
    weight: float = 1.0

    def may_run_on(self, chip: ChipSpec) -> bool:
        names = {chip.name, chip.on}
        return (
            (not self.chips or bool(names & set(self.chips)))
            and not names & set(self.without)
            and (not self.sites or chip.site in self.sites)
        )


@dataclass(frozen=True, slots=True)
class InferenceSpec(WorkloadSpec):
    """requests_per_s: in each quarter. penalty_usd: of a request that is not served, None: all are."""

    isl: int = 0
    osl: int = 0
    ttft_s: float = 0.0
    tpot_s: float = 0.0
    requests_per_s: Series = ()
    penalty_usd: float | None = None
    split: Split = "same chip"
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class TrainingSpec(WorkloadSpec):
    """tokens: of the run, from the first day of ``first`` to the last of ``deadline`` (quarters from 0). sequence: tokens."""

    tokens: float = 0.0
    first: int = 0
    deadline: int = 0
    sequence: int = 0
    batch_tokens: float | None = None
    most_chips: int | None = None


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A rule of one's own: chips may (or may not) be had in quarters first..last, whatever export rules say."""

    chips: tuple[str, ...]
    first: int
    last: int
    allow: bool
    why: str


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """The file as it was read. money in USD; rate: USD for one unit of ``currency``. discount: a year."""

    name: str
    currency: str
    rate: float
    start: Quarter
    quarters: int
    goal: Goal
    sites: tuple[SiteSpec, ...]
    chips: tuple[ChipSpec, ...]
    inference: tuple[InferenceSpec, ...]
    training: tuple[TrainingSpec, ...]
    rules: tuple[RuleSpec, ...] = ()
    capex: float | None = None
    capex_quarter: Series | None = None
    opex_quarter: Series | None = None
    discount: float = 0.0
    write_off_years: float | None = None
    space_unit: SpaceUnit = "racks"
    scenario: Scenario = "mid"
    prices: str = ""
    assumed: tuple[str, ...] = field(default_factory=tuple)

    @property
    def periods(self) -> tuple[Quarter, ...]:
        return tuple(self.start.plus(t) for t in range(self.quarters))

    def site(self, name: str) -> SiteSpec:
        return next(site for site in self.sites if site.name == name)
