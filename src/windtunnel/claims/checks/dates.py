"""Dates, names and processes, against dated facts."""

from __future__ import annotations

import math

from windtunnel.catalog import chip
from windtunnel.claims.check import Answer, answer, checks
from windtunnel.claims.found import Found, name, unknown
from windtunnel.claims.ledger import Ledger
from windtunnel.rules.launch import launch

MONTH = 7
"""Characters of ``2025-08``."""
DIE = "ascend-910b2"


def _dated(ledger: Ledger, row: str, length: int) -> Found:
    found = ledger.row(row)
    return name(found.date[:length], f"{found.item}: {found.metric} {found.date} ({found.source}; {found.confidence})")


@checks("S014")
def years_of_software(ledger: Ledger) -> Answer:
    return answer(*(_dated(ledger, row, 4) for row in ("E001", "E002", "E003")))


@checks("S044")
def authors(ledger: Ledger) -> Answer:
    row = ledger.row("E005")
    return answer(name(row.entity, f"{row.notes} ({row.confidence})"))


@checks("S045")
def identifier(ledger: Ledger) -> Answer:
    row = ledger.row("E006")
    return answer(name(row.entity, f"{row.notes} ({row.confidence})"))


@checks("S047")
def offer_of_r1(ledger: Ledger) -> Answer:
    return answer(unknown("no source in the catalogue dates that offer"))


@checks("S053")
def samples_of_910c(ledger: Ledger) -> Answer:
    text = ledger.text("ascend-910c", "launched")
    when = launch(chip("ascend-910c"))
    assert when is not None, "the record gives a date"
    return answer(name(when.earliest.isoformat()[:MONTH], f"recorded as: {text}"), _dated(ledger, "M058", MONTH))


@checks("S064")
def cann_open(ledger: Ledger) -> Answer:
    return answer(
        _dated(ledger, "E004", MONTH),
        beside=("That the source was to be opened was said then; when which part was, is not recorded.",),
    )


@checks("S065")
def process(ledger: Ledger) -> Answer:
    text = ledger.text("ascend-910c", "process")
    yields = [ledger.row(each) for each in ("M059", "M060", "M061")]
    area = ledger.figure(DIE, "die_area_m2") * 1e4
    told = ", ".join(f"{row.number():g} % ({row.item}, {row.date})" for row in yields)
    defects = [-math.log(row.number() / 100) / area for row in yields]
    return answer(
        name(text.split()[0], f"recorded as: {text}"),
        unknown("an expectation; no chip of the catalogue that is on sale is said to be made so"),
        beside=(
            f"Reported yields: {told}. For a die of {area * 100:,.0f} mm2 that is {min(defects):.2f} to {max(defects):.2f} "
            "defects a cm2, were defects spread at random.",
        ),
    )
