"""Instruments: what a government or a maker put in force, or only said, about the export of AI chips, with its dates.

One file a record under ``data/rules/``. Limits are data; the logic that reads them is in ``windtunnel.rules``.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from windtunnel.catalog.store import ID, Shelf, Table

Tag = Literal["official", "second-hand", "memory"]
"""How the text is known: quoted from the official text, through law firms and the press, or from memory, unconfirmed."""

Kind = Literal["rule", "letter", "proclamation", "guidance", "statement", "china", "outcome", "bill"]
"""rule, letter and proclamation bind; guidance explains; china is what the Chinese side says; a bill is no law."""

Policy = Literal["denial", "approval", "case by case", "licence"]
"""How a licence application is looked at: a presumption, each on its merits, or a licence of which no more is known."""

BINDING: tuple[Kind, ...] = ("rule", "letter", "proclamation")

shelf = Shelf("rules", "instrument")


@dataclass(frozen=True, slots=True)
class Threshold:
    """One limit: value in its printed unit, the paragraph that sets it, how it is known."""

    key: str
    value: float
    unit: str
    paragraph: str
    tag: Tag
    note: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """How applications for one group of destinations are looked at."""

    policy: Policy
    tag: Tag


@dataclass(frozen=True, slots=True)
class Instrument:
    """A dated record. effective: first day, None for a bill; steps: days on which parts took effect; ended: first day
    without it. destinations: groups of data/destinations.toml or "worldwide", known by destinations_tag. makers: whose
    chips alone it concerns, concerns: which chips alone; empty for all."""

    id: str
    name: str
    kind: Kind
    tag: Tag
    summary: str
    sources: tuple[str, ...]
    effective: datetime.date | None = None
    effective_text: str = ""
    announced: datetime.date | None = None
    ended: datetime.date | None = None
    ended_by: str = ""
    steps: tuple[datetime.date, ...] = ()
    destinations: tuple[str, ...] = ()
    destinations_tag: Tag = "second-hand"
    except_destinations: tuple[str, ...] = ()
    makers: tuple[str, ...] = ()
    concerns: tuple[str, ...] = ()
    thresholds: Mapping[str, Threshold] | None = None
    review: Mapping[str, Review] | None = None
    notes: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def binds(self) -> bool:
        return self.kind in BINDING and self.effective is not None

    def on(self, day: datetime.date) -> bool:
        """Whether it holds on ``day``: effective, and not ended."""
        return self.effective is not None and self.effective <= day and (self.ended is None or day < self.ended)

    def limit(self, key: str) -> Threshold:
        """The threshold of that key."""
        return (self.thresholds or {})[key]

    @property
    def since(self) -> str:
        """The first day, or the month where no source gives the day."""
        return self.effective_text or (self.effective.isoformat() if self.effective else "pending")


_TEXTS = ("id", "name", "kind", "tag", "summary", "effective", "effective_text", "announced", "ended", "ended_by")
_LISTS = ("sources", "steps", "destinations", "except_destinations", "makers", "concerns", "notes")


def _day(table: Table, key: str) -> datetime.date | None:
    text = table.text(key, "")
    return _iso(table, key, text) if text else None


def _iso(table: Table, key: str, text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise table.fail(key, f"'{text}' should be a date such as 2025-04-09")


def _tag(table: Table, key: str, default: Tag | None = None) -> Tag:
    text = table.text(key, default, choices=get_args(Tag))
    return next(t for t in get_args(Tag) if t == text)


def _threshold(table: Table, key: str) -> Threshold:
    table.only(("value", "unit", "paragraph", "tag", "note"))
    return Threshold(
        key, table.number("value"), table.text("unit"), table.text("paragraph"), _tag(table, "tag"), table.text("note", "")
    )


def _review(table: Table) -> Review:
    table.only(("policy", "tag"))
    text = table.text("policy", choices=get_args(Policy))
    return Review(next(p for p in get_args(Policy) if p == text), _tag(table, "tag"))


def parse_instrument(table: Table) -> Instrument:
    """An instrument from its record. Raises InvalidInputError that names the field."""
    table.only((*_TEXTS, *_LISTS, "destinations_tag", "thresholds", "review"))
    name = table.text("id")
    if not ID.match(name):
        raise table.fail("id", f"'{name}' should be lower-case letters and digits with hyphens between")
    kind = table.text("kind", choices=get_args(Kind))
    if not table.texts("sources"):
        raise table.fail("sources", "missing; an instrument needs a source")
    limits, reviews = table.table("thresholds"), table.table("review")
    found = Instrument(
        id=name,
        name=table.text("name"),
        kind=next(k for k in get_args(Kind) if k == kind),
        tag=_tag(table, "tag"),
        summary=table.text("summary"),
        effective=_day(table, "effective"),
        effective_text=table.text("effective_text", ""),
        announced=_day(table, "announced"),
        ended=_day(table, "ended"),
        ended_by=table.text("ended_by", ""),
        steps=tuple(_iso(table, "steps", step) for step in table.texts("steps")),
        destinations_tag=_tag(table, "destinations_tag", "second-hand"),
        thresholds={key: _threshold(limits.table(key), key) for key in limits.fields},
        review={key: _review(reviews.table(key)) for key in reviews.fields},
        **{key: table.texts(key) for key in _LISTS if key != "steps"},
    )
    if found.effective is None and found.kind != "bill":
        raise table.fail("effective", "missing; only a bill has no date")
    return found


@cache
def instrument(name: str) -> Instrument:
    """The instrument of that id. Raises UnknownNameError with the nearest."""
    return shelf.load(shelf.resolve(name), parse_instrument)


@cache
def instruments() -> tuple[Instrument, ...]:
    """Every instrument, by its first day; bills last."""
    return tuple(sorted((instrument(i) for i in shelf.ids()), key=lambda i: (i.effective or datetime.date.max, i.id)))
