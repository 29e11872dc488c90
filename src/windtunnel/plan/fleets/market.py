"""How many of a chip can be had in a year, by the market rows: every source stands for itself, so that a span comes out."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from windtunnel.catalog.market import MarketRow, market
from windtunnel.errors import MissingFactError
from windtunnel.plan.fleets.dies import Interval

ITEMS = {
    "h20": "H20",
    "ascend-910b1": "Ascend 910B",
    "ascend-910b2": "Ascend 910B",
    "ascend-910b3": "Ascend 910B",
    "ascend-910b4": "Ascend 910B",
    "ascend-910c": "Ascend 910C",
}
"""Chip -> what market rows call it; they do not tell the bins of a 910B apart."""
A_YEAR = ("China purchases", "shipments", "planned production", "planned production (Feb 2025 report)", "planned output")
"""Metrics that say how many are made or sold in the year of the row."""


@dataclass(frozen=True, slots=True)
class YearSupply:
    """Chips in a year, and the rows that say so. mid: the middle source, the lower of two."""

    chips: Interval
    rows: tuple[MarketRow, ...]

    @property
    def told(self) -> str:
        """``200,000 (FT via Digitimes, 2025-02; M027c)``: every source with what it says."""
        return "; ".join(f"{row.number():,.0f} ({row.source}; {row.id})" for row in self.rows)


def year_supply(chip: str, year: int) -> YearSupply:
    """What the rows say of a chip in a year. Raises MissingFactError with the nearest years of which one does."""
    item = ITEMS.get(chip)
    of_it = [row for row in market() if row.item == item and row.metric in A_YEAR and row.unit.endswith("/yr")]
    rows = tuple(row for row in of_it if row.date.startswith(str(year)))
    if not rows:
        years = sorted({row.date[:4] for row in of_it}, key=lambda said: abs(int(said) - year))
        hint = (
            f"market_year = {years[0]} takes that year's"
            if years
            else f"no market row counts them; they count {', '.join(ITEMS)}"
        )
        raise MissingFactError(chip, f"supply in {year}", hint)
    values = [row.number() for row in rows]
    return YearSupply(Interval(min(values), statistics.median_low(values), max(values)), rows)
