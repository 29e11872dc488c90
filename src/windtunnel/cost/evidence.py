"""How far an estimate is to be trusted: evidence, weakest first, and values with their interval."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Evidence(IntEnum):
    """How a number was got, weakest first; a sum keeps the weakest of its parts."""

    DATASHEET = 0
    TRANSFERRED = 1
    FITTED = 2
    MEASURED = 3

    @property
    def label(self) -> str:
        return {0: "datasheet alone", 1: "transferred from other chips", 2: "fitted on this chip", 3: "measured on this chip"}[
            int(self)
        ]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the interval that holds it in 80 % of cases, and the evidence behind it."""

    value: float
    low: float
    high: float
    evidence: Evidence
