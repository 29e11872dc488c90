"""When a chip came, or is to come, on sale: the days that its record's words leave open."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from windtunnel.catalog.chip import Chip

_DATE = re.compile(r"(?<!\d)(20\d\d)(?:-(?:(Q[1-4])|(H[12])|(\d\d)(?:-(\d\d))?))?(?!\d)")
_SOLD = re.compile(r"(?:shipped|volume|mass production)\s+(20\d\d[-\w]*)")
PLANNED = ("planned", "rumour", "official", "contested")


@dataclass(frozen=True, slots=True)
class Launch:
    """The first day on which it may have been sold, and the one by which it was; text: as the record says it."""

    earliest: datetime.date
    latest: datetime.date
    text: str

    @property
    def planned(self) -> bool:
        """Whether it is a plan, a rumour or contested rather than an event."""
        return any(word in self.text for word in PLANNED)


def _span(found: re.Match[str]) -> tuple[datetime.date, datetime.date]:
    year, quarter, half, month, day = int(found[1]), found[2], found[3], found[4], found[5]
    if day:
        return (only := datetime.date(year, int(month), int(day))), only
    first, last = 1, 12
    if quarter:
        first, last = 3 * int(quarter[1]) - 2, 3 * int(quarter[1])
    elif half:
        first, last = 6 * int(half[1]) - 5, 6 * int(half[1])
    elif month:
        first = last = int(month)
    after = datetime.date(year + last // 12, last % 12 + 1, 1)
    return datetime.date(year, first, 1), after - datetime.timedelta(days=1)


def launch(chip: Chip) -> Launch | None:
    """The span of days in which a chip was launched; None where the record gives no date.

    Words in brackets are remarks, save those that say when it shipped: "2023-11-09 (announced; shipped 2024)" spans both.
    """
    text = chip.launched
    outside = re.sub(r"\([^)]*\)", "", text)
    spans = [_span(found) for found in _DATE.finditer(outside)]
    if not spans:
        return None
    shipped = _SOLD.search(text)
    sold = _DATE.match(shipped[1]) if shipped else None
    latest = max(last for _, last in [*spans, *([_span(sold)] if sold else [])])
    return Launch(min(first for first, _ in spans), latest, text)


def was_sold(chip: Chip) -> bool:
    """Whether it came, or is to come, on sale: not so what its record calls never made in volume, or not seen to ship."""
    return not chip.status.startswith(("never ", "not "))
