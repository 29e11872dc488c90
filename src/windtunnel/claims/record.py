"""A claim: who said it and when, what it says in short, and the parts of it that can be held against a number or a name.

**Source:** data/claims/*.toml, one file for each article; the texts are ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from windtunnel.catalog.store import Shelf, Table
from windtunnel.errors import UnknownNameError

Relation = Literal["about", "between", "over", "under", "up to", "possible", "is"]
"""How a part states its value: rounded, a range, a bound that is passed, the most that is reached, a value that is
possible by the models, or a name."""

shelf = Shelf("claims", "claims of an article")
_ID = re.compile(r"^S\d{3}$")


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a claim says. value, high: in ``unit``, of a number; text: of a name (relation ``is``)."""

    name: str
    relation: Relation
    unit: str = ""
    value: float = 0.0
    high: float = 0.0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """id: as S048. article: id of where it was read; says: the claim in our words; parts: empty where nothing can be checked."""

    id: str
    article: str
    who: str
    date: str
    says: str
    parts: tuple[Part, ...]


def _parse_part(table: Table) -> Part:
    table.only(("name", "relation", "unit", "value", "high", "text"))
    name, said = table.text("name"), table.text("relation", "about", choices=get_args(Relation))
    relation = next(r for r in get_args(Relation) if r == said)
    if relation == "is":
        return Part(name, relation, text=table.text("text"))
    value = 0.0 if table.fields.get("value") == 0 else table.number("value")
    high = table.number("high") if relation == "between" else value
    if high < value:
        raise table.fail("high", "lower than value")
    return Part(name, relation, table.text("unit"), value, high)


def parse_article(table: Table) -> tuple[Claim, ...]:
    """The claims of one article. Raises InvalidInputError that names the field."""
    table.only(("id", "who", "date", "claims"))
    article, who, date = table.text("id"), table.text("who"), table.text("date")
    found = []
    for entry in table.tables("claims"):
        entry.only(("id", "who", "date", "says", "parts"))
        name = entry.text("id")
        if not _ID.match(name):
            raise entry.fail("id", f"'{name}' should be S and three digits")
        parts = tuple(_parse_part(part) for part in entry.tables("parts"))
        found.append(Claim(name, article, entry.text("who", who), entry.text("date", date), entry.text("says"), parts))
    return tuple(found)


@cache
def _claims() -> Mapping[str, Claim]:
    every = sorted((claim for record in shelf.ids() for claim in shelf.load(record, parse_article)), key=lambda c: c.id)
    return {claim.id: claim for claim in every}


def claims() -> tuple[Claim, ...]:
    """Every claim, by id."""
    return tuple(_claims().values())


def claim(name: str) -> Claim:
    """The claim of that id, whatever its case. Raises UnknownNameError with the nearest."""
    found = _claims().get(name.strip().upper())
    if found is None:
        raise UnknownNameError("claim", name, _claims())
    return found
