"""The market: what has been reported of supply, shipments, shares, dies, yields and revenue, one row for each source.

Rows that disagree stand beside each other; nothing is averaged. Prices and tariffs are in ``price``, not here.

**Source:** data/market.toml; each row names its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, get_args

from windtunnel.catalog.store import Table, parse_toml
from windtunnel.errors import MissingFactError, UnknownNameError

Confidence = Literal["confirmed", "commonly reported", "estimate", "from memory"]
"""How well a row is known: an official paper, press that others repeat, an estimate, or recalled and not looked up again."""

ROW_ID = re.compile(r"^[EMT]\d{3}[a-z]?$")
_DATE = re.compile(r"^(FY)?20\d\d(-Q[1-4]|-\d\d(-\d\d)?)?$")
_WITHOUT_VALUE = ("text", "date")


@dataclass(frozen=True, slots=True)
class MarketRow:
    """One thing that one source says.

    value: in ``unit``, with the range low..high that the source itself gives (both equal to the value where it gives none);
    None where the row says a name (unit ``text``: it is in ``entity``) or a date (unit ``date``). article: id of an article
    whose claims are recorded and on which this row rests, so that it is no evidence for them; else empty.
    """

    id: str
    date: str
    entity: str
    item: str
    metric: str
    unit: str
    source: str
    confidence: Confidence
    value: float | None = None
    low: float | None = None
    high: float | None = None
    article: str = ""
    notes: str = ""

    def number(self) -> float:
        """The value. Raises MissingFactError for a row that has none."""
        if self.value is None:
            raise MissingFactError(f"market row {self.id}", "a value")
        return self.value


def _number(table: Table, key: str) -> float | None:
    """A finite number of at least 0: shares and shipments may be zero, unlike the figures of a machine."""
    value = table.fields.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise table.fail(key, "should be a number of at least 0")
    return float(value)


def _parse_row(table: Table) -> MarketRow:
    names = ("id", "date", "entity", "item", "metric", "unit", "source")
    table.only((*names, "value", "low", "high", "confidence", "article", "notes"))
    text = {name: table.text(name) for name in names}
    for name, given in text.items():
        if not given.strip():
            raise table.fail(name, "empty")
    if not ROW_ID.match(text["id"]):
        raise table.fail("id", f"'{text['id']}' should be M, T or E and three digits")
    if not _DATE.match(text["date"]) and text["unit"] != "date":
        raise table.fail("date", f"'{text['date']}' should be a year, a quarter, a month or a day")
    value = _number(table, "value")
    if value is None and text["unit"] not in _WITHOUT_VALUE:
        raise table.fail("value", "missing")
    low, high = _number(table, "low"), _number(table, "high")
    low, high = value if low is None else low, value if high is None else high
    if value is not None and low is not None and high is not None and not low <= value <= high:
        raise table.fail("value", f"{value:g} is not between low {low:g} and high {high:g}")
    said = table.text("confidence", choices=get_args(Confidence))
    confidence = next(c for c in get_args(Confidence) if c == said)
    return MarketRow(
        **text, confidence=confidence, value=value, low=low, high=high,
        article=table.text("article", ""), notes=table.text("notes", ""),
    )  # fmt: skip


def parse_market(table: Table) -> Mapping[str, MarketRow]:
    """Rows by id, in their order. Raises InvalidInputError that names the field."""
    table.only(("rows",))
    rows: dict[str, MarketRow] = {}
    for entry in table.tables("rows"):
        row = _parse_row(entry)
        if row.id in rows:
            raise entry.fail("id", f"'{row.id}' stands twice")
        rows[row.id] = row
    return rows


@cache
def _market() -> Mapping[str, MarketRow]:
    text = resources.files("windtunnel.catalog").joinpath("data", "market.toml").read_text(encoding="utf-8")
    return parse_market(Table("market.toml", parse_toml(text, "market.toml")))


def market() -> tuple[MarketRow, ...]:
    """Every row, in the order of the file."""
    return tuple(_market().values())


def market_row(name: str) -> MarketRow:
    """The row of that id. Raises UnknownNameError with the nearest ids."""
    row = _market().get(name)
    if row is None:
        raise UnknownNameError("market row", name, _market())
    return row


def said_of(item: str, metric: str, *, year: str = "", apart_from: str = "") -> tuple[MarketRow, ...]:
    """Rows that give one metric of one item, each from its own source, those that rest on the article ``apart_from`` left out.

    year: only rows whose date begins with it.
    """
    return tuple(
        row
        for row in market()
        if (row.item, row.metric) == (item, metric)
        and row.date.startswith(year)
        and (not apart_from or row.article != apart_from)
    )
