"""Calendar quarters: ``2025-Q3``, what follows it, and its days."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from windtunnel.errors import InvalidInputError

_QUARTER = re.compile(r"^\s*(20\d\d)-?[qQ]([1-4])\s*$")
HOURS = 24.0


@dataclass(frozen=True, slots=True, order=True)
class Quarter:
    """A quarter of a calendar year."""

    year: int
    number: int

    def __str__(self) -> str:
        return f"{self.year}-Q{self.number}"

    def plus(self, quarters: int) -> Quarter:
        """The quarter so many later."""
        count = self.year * 4 + self.number - 1 + quarters
        return Quarter(count // 4, count % 4 + 1)

    def since(self, other: Quarter) -> int:
        """How many quarters after ``other`` it is."""
        return (self.year - other.year) * 4 + self.number - other.number

    @property
    def first_day(self) -> datetime.date:
        return datetime.date(self.year, 3 * self.number - 2, 1)

    @property
    def end(self) -> datetime.date:
        """The day after its last."""
        return self.plus(1).first_day

    @property
    def hours(self) -> float:
        return (self.end - self.first_day).days * HOURS


def parse_quarter(text: str, field: str) -> Quarter:
    """A quarter from ``2025-Q3``. Raises InvalidInputError."""
    found = _QUARTER.match(text)
    if found is None:
        raise InvalidInputError(field, f"'{text[:40]}' is no quarter; write it as 2025-Q3")
    return Quarter(int(found[1]), int(found[2]))
