"""A rule that is not there: what would pass under a limit set a buffer above the best of a set of chips, year by year."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass

from windtunnel.catalog.chip import Chip, chips
from windtunnel.catalog.chip import chip as chip_named
from windtunnel.catalog.destination import maker_country, record
from windtunnel.errors import InvalidInputError, UnknownNameError
from windtunnel.rules.check import check
from windtunnel.rules.days import first_day, parse_day
from windtunnel.rules.launch import Launch, launch, was_sold
from windtunnel.rules.metrics import METRICS, Metric
from windtunnel.rules.verdict import Status


@dataclass(frozen=True, slots=True)
class Best:
    """The best chip of a set on a day; chip "" and value 0 where none was on sale."""

    chip: str
    value: float


@dataclass(frozen=True, slots=True)
class Held:
    """One chip against the limit. passes: None where it depends on when a chip was launched, or an estimate of it.

    status: what the rules in force say of it; None on a day before the first rule.
    """

    chip: str
    value: float
    passes: bool | None
    status: Status | None


@dataclass(frozen=True, slots=True)
class YearLimit:
    """The limit on one day: ``low`` from the chips that were on sale for certain, ``high`` from all that may have been."""

    day: datetime.date
    best_low: Best
    best_high: Best
    low: float
    high: float
    held: tuple[Held, ...]
    planned: bool


@dataclass(frozen=True, slots=True)
class ThresholdReport:
    """metric: its name and unit; years: one limit a year, or the one of the day asked about; notes: what is left out."""

    metric: str
    unit: str
    best_of: tuple[str, ...]
    buffer: float
    years: tuple[YearLimit, ...]
    notes: tuple[str, ...]


_Dated = tuple[Chip, Metric, Launch]


def metric_named(name: str) -> str:
    """The key of METRICS. Raises UnknownNameError with the nearest."""
    key = name.strip().lower()
    if key not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return key


def threshold(
    best_of: Sequence[str | Chip], buffer: float, metric: str = "tpp", date: str | datetime.date | None = None, to: str = "CN"
) -> ThresholdReport:
    """What a limit of (1 + buffer) times the best of ``best_of`` would let pass, of all US chips on sale.

    At the end of each year from the first launch on, or on ``date``. buffer: a share, 0.5 for half again. to: the
    destination that the rules in force are asked about. Raises InvalidInputError for an empty set or a buffer that is
    negative, and where no chip of the set has the metric and came on sale; UnknownNameError.
    """
    of = METRICS[metric_named(metric)]
    if not math.isfinite(buffer) or not 0 <= buffer <= 100:
        raise InvalidInputError("buffer", f"{buffer:g} is not a share from 0 to 100; half again is 0.5")
    if not best_of:
        raise InvalidInputError("best-of", "names no chip; write it as ascend-910c,mlu590")
    members = list({c.id: c for c in (chip_named(c) if isinstance(c, str) else c for c in best_of)}.values())
    usable: list[_Dated] = []
    notes = []
    for c in members:
        m, came = of(c), launch(c)
        if m.value is None or came is None:
            notes.append(f"{c.id}: {m.missing or 'launch date'} is not known; not counted.")
        elif not was_sold(c):
            notes.append(f"{c.id}: {c.status}; not counted.")
        else:
            usable.append((c, m, came))
    if not usable:
        raise InvalidInputError("best-of", f"none of the chips counts: {' '.join(notes)}")
    ours = [(c, of(c), came) for c in chips() if maker_country(c.vendor) == "US" and (came := launch(c)) is not None]
    lacking = [c.id for c, m, _ in ours if m.value is None]
    if lacking:
        notes.append(f"Cannot be told of {', '.join(lacking)}: {of(chip_named(lacking[0])).missing} is not known.")
    years = tuple(_on(day, usable, ours, buffer, to) for day in _days(usable, date))
    if any(year.planned for year in years):
        notes.append(f"Limits after {record().known_until} rest on roadmaps.")
    if all(year.best_high.value == 0 for year in years):
        first, name = min((came.earliest, c.id) for c, _, came in usable)
        raise InvalidInputError("date", f"on {years[0].day} no chip of the set was on sale; nearest: {first}, {name}")
    _, sample, _ = usable[0]
    return ThresholdReport(sample.name, sample.unit, tuple(c.id for c in members), buffer, years, tuple(notes))


def _days(usable: list[_Dated], date: str | datetime.date | None) -> list[datetime.date]:
    """The day asked about, else the last of each year from the first launch on."""
    if date is not None:
        return [parse_day(date)]
    known = record().known_until
    first = min(came.earliest for _, _, came in usable).year
    last = max(known.year, *(came.latest.year for _, _, came in usable))
    return [datetime.date(year, 12, 31) for year in range(first, last + 1)]


def _best(of: list[_Dated], day: datetime.date, *, certain: bool) -> Best:
    sold = [(m.value or 0.0, c.id) for c, m, came in of if (came.latest if certain else came.earliest) <= day]
    value, name = max(sold, default=(0.0, ""))
    return Best(name, value)


def _on(day: datetime.date, usable: list[_Dated], ours: list[_Dated], buffer: float, to: str) -> YearLimit:
    low, high = _best(usable, day, certain=True), _best(usable, day, certain=False)
    limits = low.value * (1 + buffer), high.value * (1 + buffer)
    held = []
    for c, m, came in ours:
        if m.value is None or came.earliest > day:
            continue
        passes = True if m.value <= limits[0] else None if m.value <= limits[1] else False
        status = check(c, to, day).status if day >= first_day() else None
        held.append(Held(c.id, m.value, passes, status))
    held.sort(key=lambda h: (-h.value, h.chip))
    return YearLimit(day, low, high, *limits, tuple(held), planned=day > record().known_until)
