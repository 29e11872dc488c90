"""What the rules said of a chip over time: one span of days for each verdict."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.destination import Destination, destination, record
from windtunnel.catalog.instrument import instruments
from windtunnel.catalog.system import System
from windtunnel.errors import InvalidInputError
from windtunnel.rules.check import check
from windtunnel.rules.days import first_day
from windtunnel.rules.item import item
from windtunnel.rules.launch import Launch, launch
from windtunnel.rules.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Span:
    """Days with one verdict: from ``start`` up to the day before ``end``."""

    start: datetime.date
    end: datetime.date
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ItemTimeline:
    """The spans of one chip or system, from the first rule to the record's last day; launch: None where not known."""

    item: str
    spans: tuple[Span, ...]
    launch: Launch | None


def turning_days() -> tuple[datetime.date, ...]:
    """The days on which a binding instrument began or ended, from the first rule on."""
    binding = [each for each in instruments() if each.binds]
    days = {day for each in binding for day in (each.effective, each.ended) if day is not None}
    return tuple(sorted(days))


def timeline(items: Sequence[str | Chip | System], to: str | Destination = "CN") -> tuple[ItemTimeline, ...]:
    """The verdicts on each item for a destination. Raises InvalidInputError for no items, and what ``check`` raises."""
    if not items:
        raise InvalidInputError("chips", "names no chip; write it as h20,h200-sxm")
    place = destination(to) if isinstance(to, str) else to
    return tuple(_of(each, place) for each in items)


def _of(name: str | Chip | System, place: Destination) -> ItemTimeline:
    asked = item(name)
    days = [day for day in turning_days() if day <= record().known_until]
    ends = [*days[1:], record().known_until + datetime.timedelta(days=1)]
    spans: list[Span] = []
    for start, end in zip(days, ends, strict=True):
        verdict = check(asked.system or asked.chip, place, start)
        last = spans[-1] if spans else None
        if last is not None and _same(last.verdict, verdict):
            spans[-1] = Span(last.start, end, last.verdict)
        else:
            spans.append(Span(start, end, verdict))
    assert spans[0].start == first_day()
    return ItemTimeline(asked.name, tuple(spans), launch(asked.chip))


def _same(one: Verdict, other: Verdict) -> bool:
    return (one.status, one.clause, one.missing) == (other.status, other.clause, other.missing)
