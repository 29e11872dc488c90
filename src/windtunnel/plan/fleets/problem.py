"""The fleet as numbers alone: what can be bought, what has to be run, and what limits it.

Everything here is plain data: quarters are indices from 0, money is USD, power W at the meter. What the numbers rest on is
told elsewhere (``assemble``); how they are solved, in ``milp``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

Goal = Literal["cost", "served"]
LimitKind = Literal[
    "supply",
    "rules",
    "capex",
    "capex-quarter",
    "opex-quarter",
    "power",
    "space",
    "demand",
    "deadline",
    "one-chip",
    "capacity",
    "link",
]


class Limit(NamedTuple):
    """Names one constraint: its kind, what it is about (a chip, a site, a workload), and the quarter (-1: all of them)."""

    kind: LimitKind
    of: str
    quarter: int = -1


@dataclass(frozen=True, slots=True)
class Stock:
    """One kind of chip at one site, bought or rented in lots.

    lot: chips that are sold together. supply: chips that can be had in each quarter (math.inf: as many as wanted); allowed:
    the share of each quarter's days on which rules let it be had. price_usd: of one chip, bought or rented for that
    quarter, with duty or revenue share. energy_usd: of one chip in use for that quarter. power_w: of one chip in use, at
    the meter. space: of one lot, in the site's unit. owned: chips there before the first quarter.
    """

    name: str
    site: str
    lot: int
    supply: tuple[float, ...]
    allowed: tuple[float, ...]
    price_usd: tuple[float, ...]
    energy_usd: tuple[float, ...]
    power_w: float = 0.0
    space: float = 0.0
    owned: int = 0
    rented: bool = False

    def can_be_had(self, quarter: int) -> float:
        """Chips that supply and rules together leave in a quarter."""
        share = self.allowed[quarter]
        return self.supply[quarter] * share if share > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class Site:
    """power_w and space: the most that there is in each quarter, None for no limit."""

    name: str
    power_w: tuple[float, ...] | None = None
    space: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Instances of one kind within a way: chips of one of a stock, and the requests/s that one carries."""

    stock: int
    chips: int
    rate: float


@dataclass(frozen=True, slots=True)
class Way:
    """One way to serve a workload: one part, or one that prefills and one that decodes."""

    label: str
    parts: tuple[Part, ...]
    deployed: str = ""


@dataclass(frozen=True, slots=True)
class Inference:
    """demand: requests/s in each quarter. penalty_usd: of one request that is not served; None: all must be served.
    worth: what one unit of its demand counts where as much as possible is to be served."""

    name: str
    demand: tuple[float, ...]
    ways: tuple[Way, ...]
    penalty_usd: float | None = None
    worth: float = 1.0


@dataclass(frozen=True, slots=True)
class TrainingWay:
    """A run on one stock, in units of so many chips that each make tokens_per_s; most: units of one run."""

    label: str
    stock: int
    chips: int
    tokens_per_s: float
    most: int = 100_000
    deployed: str = ""


@dataclass(frozen=True, slots=True)
class Training:
    """tokens to be done from quarter ``first`` to the end of quarter ``deadline``, all on one stock."""

    name: str
    tokens: float
    first: int
    deadline: int
    ways: tuple[TrainingWay, ...]
    worth: float = 1.0


@dataclass(frozen=True, slots=True)
class Problem:
    """hours: of each quarter. discount: what a dollar of that quarter counts. credit: the part of a purchase of that quarter
    that is not written off at the end. capex: over all quarters; capex_quarter, opex_quarter: of each; None: no limit."""

    hours: tuple[float, ...]
    stocks: tuple[Stock, ...]
    sites: tuple[Site, ...]
    inference: tuple[Inference, ...]
    training: tuple[Training, ...]
    discount: tuple[float, ...]
    credit: tuple[float, ...]
    capex: float | None = None
    capex_quarter: tuple[float, ...] | None = None
    opex_quarter: tuple[float, ...] | None = None
    goal: Goal = "cost"

    @property
    def quarters(self) -> int:
        return len(self.hours)

    def lots(self, stock: Stock, quarter: int) -> float:
        """Whole lots that can be had in a quarter."""
        most = stock.can_be_had(quarter)
        return math.floor(most / stock.lot + 1e-9) if math.isfinite(most) else math.inf
