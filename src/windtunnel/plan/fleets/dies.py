"""From wafers to chips: dies on a wafer, the share of them that work, two of them in some packages, and the memory beside them.

**Source:** dies on a wafer: C. P. Ferris-Prabhu's and D. K. de Vries's surveys of the classical formula, gross = pi d^2 / 4A -
pi d / sqrt(2A) (IEEE Trans. Semicond. Manuf. 18(1), 2005). Yield: B. T. Murphy, Proc. IEEE 52(12), 1964; the negative binomial of
C. H. Stapper, IBM J. Res. Dev. 27(6), 1983. Formulas recalled, not looked up again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from windtunnel.errors import InvalidInputError

WAFER_M = 0.3
"""Diameter of the wafers on which all of these chips are made."""


class Interval(NamedTuple):
    """A value and the range around it."""

    low: float
    mid: float
    high: float


def gross_dies(die_area_m2: float, wafer_m: float = WAFER_M, edge_m: float = 0.003) -> int:
    """Whole dies on a wafer whose outermost ``edge_m`` is not used. Raises InvalidInputError for a die that is larger."""
    across = wafer_m - 2.0 * edge_m
    found = math.floor(math.pi * across**2 / (4.0 * die_area_m2) - math.pi * across / math.sqrt(2.0 * die_area_m2))
    if found < 1:
        raise InvalidInputError("die_mm2", f"no die of {die_area_m2 * 1e6:,.0f} mm2 fits on a wafer of {wafer_m * 1e3:,.0f} mm")
    return found


def murphy(die_area_m2: float, defects_per_m2: float) -> float:
    """Share of dies that work, by Murphy's triangular distribution of defect density."""
    mean = die_area_m2 * defects_per_m2
    return (-math.expm1(-mean) / mean) ** 2 if mean else 1.0


def negative_binomial(die_area_m2: float, defects_per_m2: float, clustering: float) -> float:
    """Share of dies that work where defects come in clusters; clustering: the smaller, the more they cluster."""
    return math.pow(1.0 + die_area_m2 * defects_per_m2 / clustering, -clustering)


def defects(die_area_m2: float, share: float) -> float:
    """Defects per m2 at which so large a share of dies works, by Murphy: the density behind a yield that was reported."""
    if not 0.0 < share < 1.0:
        raise InvalidInputError("yield", f"{share:g} is not a share between 0 and 1")
    low, high = 0.0, 1.0
    while murphy(die_area_m2, high) > share:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if murphy(die_area_m2, middle) > share else (low, middle)
    return (low + high) / 2.0


def packages(dies: float, dies_each: int, survive: float = 1.0) -> float:
    """Chips out of so many good dies, of which a share of packages survives assembly."""
    return dies / dies_each * survive


@dataclass(frozen=True, slots=True)
class DieSupply:
    """A fab's output as a supply of chips, quarter by quarter.

    wafers_per_month: for this chip. die_area_m2, dies_each: of a chip. good: share of dies that work. survive: share of packages
    that survive assembly. stock_dies: good dies there before the first quarter, spread evenly over all. memory_stacks: that can
    be had in all, None for as many as wanted; stacks_each: of a chip. share: of all this that the fleet may get.
    """

    wafers_per_month: float
    die_area_m2: float
    dies_each: int
    good: Interval
    survive: Interval
    share: float
    stock_dies: float = 0.0
    memory_stacks: float | None = None
    stacks_each: int = 0

    def chips(self, quarters: int) -> Interval:
        """Chips a quarter that the fleet may get."""
        per_wafer = gross_dies(self.die_area_m2)

        def made(good: float, survive: float) -> float:
            dies = 3.0 * self.wafers_per_month * per_wafer * good + self.stock_dies / quarters
            most = packages(dies, self.dies_each, survive)
            if self.memory_stacks is not None:
                most = min(most, self.memory_stacks / self.stacks_each / quarters)
            return most * self.share

        return Interval(*(made(good, survive) for good, survive in zip(self.good, self.survive, strict=True)))
