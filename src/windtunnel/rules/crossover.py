"""When one maker's best chip overtakes the best that another may sell to a destination, from launches and rules."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from windtunnel.catalog.chip import Chip, chips
from windtunnel.catalog.destination import destination, record
from windtunnel.errors import InvalidInputError, MissingFactError, UnknownNameError
from windtunnel.rules.check import check
from windtunnel.rules.days import first_day
from windtunnel.rules.launch import launch, was_sold
from windtunnel.rules.metrics import METRICS
from windtunnel.rules.threshold import Best, metric_named
from windtunnel.rules.timeline import turning_days
from windtunnel.rules.verdict import Status

FREELY = (Status.FREE,)
PERHAPS = (Status.FREE, Status.EXCEPTION, Status.APPROVAL, Status.CASE_BY_CASE)
"""What a seller may sell without a licence, and what it may with an exception or a licence that is not presumed denied."""

Leader = Literal["maker", "seller", "open"]
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Step:
    """Days on which nothing changes, up to the day before ``end``; low: on sale for certain, high: perhaps on sale."""

    start: datetime.date
    end: datetime.date
    maker_low: Best
    maker_high: Best
    seller_low: Best
    seller_high: Best

    @property
    def leader(self) -> Leader:
        """Who is ahead; "open" where that depends on when a chip is launched. Level is not overtaken."""
        if self.maker_low.value > self.seller_high.value:
            return "maker"
        return "seller" if self.maker_high.value <= self.seller_low.value else "open"


@dataclass(frozen=True, slots=True)
class Crossing:
    """A change of leader, no sooner than ``first`` and by ``last``; with what each then has."""

    leader: Leader
    first: datetime.date
    last: datetime.date
    maker: Best
    seller: Best
    planned: bool

    def text(self, of: Crossover) -> str:
        """``2027-10-01 to 2027-12-31 (planned): Huawei ahead, ascend-960 16,000 against h200-sxm 15,832``."""
        when = str(self.first) if self.first == self.last else f"{self.first} to {self.last}"
        ahead = of.maker if self.leader == "maker" else of.seller
        pair = (self.maker, self.seller) if self.leader == "maker" else (self.seller, self.maker)
        told = " against ".join(f"{best.chip} {best.value:,.0f}" if best.chip else "nothing" for best in pair)
        return f"{when}{' (planned)' if self.planned else ''}: {ahead} ahead, {told} {of.unit}"


@dataclass(frozen=True, slots=True)
class Track:
    """One reading of what the seller may sell, its steps, and the changes of leader in them."""

    name: str
    steps: tuple[Step, ...]
    crossings: tuple[Crossing, ...]


@dataclass(frozen=True, slots=True)
class Crossover:
    """tracks: against what needs no licence, and against what an exception or a case-by-case licence may allow too."""

    maker: str
    seller: str
    destination: str
    metric: str
    unit: str
    tracks: tuple[Track, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    chip: Chip
    value: float
    earliest: datetime.date
    latest: datetime.date


def vendor_named(name: str) -> str:
    """The maker as the catalogue spells it. Raises UnknownNameError with the nearest."""
    vendors = {c.vendor for c in chips()}
    found = next((v for v in vendors if v.casefold() == name.strip().casefold()), None)
    if found is None:
        raise UnknownNameError("maker", name, vendors)
    return found


def crossover(
    maker: str = "Huawei", seller: str = "Nvidia", to: str = "CN", metric: str = "tpp", *, datacenter: bool = False
) -> Crossover:
    """When the best of ``maker`` passes the best that ``seller`` may sell to ``to``.

    By one chip's metric; datacenter: only of chips marketed for datacenters. After the record's last day the rules are
    taken to stay as they are, and launches are those of roadmaps. Raises UnknownNameError, MissingFactError where a side
    has no chip with that metric, InvalidInputError where both sides are one.
    """
    key = metric_named(metric)
    names = vendor_named(maker), vendor_named(seller)
    if names[0] == names[1]:
        raise InvalidInputError("seller", f"{names[0]} is on both sides; name another maker")
    place = destination(to)
    notes: list[str] = []
    sides = [_entries(name, key, datacenter, notes) for name in names]
    for name, side in zip(names, sides, strict=True):
        if not side:
            raise MissingFactError(f"{name}'s chips", f"{key} together with a launch date")
    days = _days([*sides[0], *sides[1]])
    status = {(e.chip.id, day): check(e.chip, place, day).status for e in sides[1] for day in turning_days()}
    tracks = []
    for title, allowed in (("without a licence", FREELY), ("with an exception or a case-by-case licence", PERHAPS)):
        steps = []
        for start, end in pairwise(days):
            ruled = max(day for day in turning_days() if day <= start)
            sold = [e for e in sides[1] if status[e.chip.id, ruled] in allowed]
            bests = (_best(side, start, certain=certain) for side in (sides[0], sold) for certain in (True, False))
            steps.append(Step(start, end, *bests))
        tracks.append(Track(title, tuple(steps), tuple(crossings(steps))))
    notes.append(f"After {record().known_until} the rules are taken to stay as they were, and launches are those of roadmaps.")
    sample = METRICS[key](sides[0][0].chip)
    return Crossover(*names, place.name, sample.name, sample.unit, tuple(tracks), tuple(notes))


def _entries(vendor: str, key: str, datacenter: bool, notes: list[str]) -> list[_Entry]:
    """The maker's chips with the metric and a launch; of those left out the notes tell."""
    found = []
    for each in chips():
        if each.vendor != vendor or each.part_of or (datacenter and not each.datacenter):
            continue
        value, came = METRICS[key](each), launch(each)
        if value.value is None or came is None:
            notes.append(f"{each.id}: {value.missing or 'launch date'} is not known; left out.")
        elif not was_sold(each):
            notes.append(f"{each.id}: {each.status}; left out.")
        else:
            found.append(_Entry(each, value.value, came.earliest, came.latest))
    return found


def _days(entries: Iterable[_Entry]) -> list[datetime.date]:
    """Every day on which something may change, and the end of the last roadmap's year."""
    entries = list(entries)
    first = first_day()
    days = {first, *turning_days(), *(e.earliest for e in entries), *(e.latest for e in entries)}
    last = datetime.date(max(max(days), record().known_until).year + 1, 1, 1)
    return sorted({day for day in days if first <= day < last} | {last})


def _best(entries: Iterable[_Entry], day: datetime.date, *, certain: bool) -> Best:
    """The largest value on sale; of equals the newest chip."""
    on_sale = [e for e in entries if (e.latest if certain else e.earliest) <= day]
    best = max(on_sale, key=lambda e: (e.value, e.latest, e.chip.id), default=None)
    return Best(best.chip.id, best.value) if best else Best("", 0.0)


def crossings(steps: Sequence[Step]) -> Iterable[Crossing]:
    """The changes of leader; what is open in between makes the interval."""
    leader: Leader = "open"
    opened: datetime.date | None = None
    for step in steps:
        if step.leader == "open":
            opened = opened or step.start
            continue
        if leader not in ("open", step.leader):
            yield Crossing(
                step.leader, opened or step.start, step.start, step.maker_low, step.seller_high,
                planned=step.start > record().known_until,
            )  # fmt: skip
        leader, opened = step.leader, None
