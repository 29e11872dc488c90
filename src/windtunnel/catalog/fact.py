"""A fact: one number with its unit, what kind of number it is, and the source that gives it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

FactKind = Literal["vendor", "measured", "derived", "reported", "estimate"]
"""Who stands behind the number: the maker, a measurement, arithmetic on other facts, press and third
parties, or an estimate that its source itself calls one."""

UNITS = ("flop/s", "byte", "byte/s", "W", "count", "USD", "CNY", "EUR", "USD/h", "USD/kWh", "CNY/kWh", "s", "m2", "ratio", "J")


@dataclass(frozen=True, slots=True)
class Fact:
    """One sourced number. It cannot be built without a source.

    value: in SI units, as used by the models; printed: what the source prints where that differs
    (sparse peak, bidirectional bandwidth, per package); others: conflicting sources, kept side by side.
    """

    value: float
    unit: str
    kind: FactKind
    source: str
    printed: str = ""
    note: str = ""
    date: str = ""
    others: tuple[Fact, ...] = ()

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise ValueError("a fact needs a source")
        if self.unit not in UNITS:
            raise ValueError(f"unknown unit {self.unit!r}")
        if self.kind not in get_args(FactKind):
            raise ValueError(f"unknown kind {self.kind!r}")
        if not math.isfinite(self.value) or self.value < 0:
            raise ValueError(f"a fact is a finite number, not {self.value!r}")
