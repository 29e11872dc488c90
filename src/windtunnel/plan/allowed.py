"""Which chips may be had at a destination on a day: by launch date, and by the export rules in force then."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from windtunnel.catalog.destination import destination
from windtunnel.errors import InvalidInputError
from windtunnel.plan.place import Place
from windtunnel.rules.check import check
from windtunnel.rules.days import parse_day
from windtunnel.rules.notes import prohibited, statements
from windtunnel.rules.verdict import NO_ADVICE, Status, Verdict


def verdicts(places: Sequence[Place], to: str | None, date: str | datetime.date | None) -> list[Verdict | None]:
    """The verdict on each place's chip; None for all where no destination is named; on today where no day is.

    Raises InvalidInputError for a day without a destination or before the first rule, UnknownNameError and
    MissingFactError for a destination that is not in the record.
    """
    if to is None:
        if date is not None:
            raise InvalidInputError("date", "says on which day export rules are held against chips; add --to CN")
        return [None] * len(places)
    where, day = destination(to), parse_day(date if date is not None else datetime.date.today())
    return [check(place.whole or place.chip, where, day) for place in places]


def why_not_had(verdict: Verdict | None) -> str:
    """Why a chip drops out, in one line; "" where it stays.

    A licence that is required with no published hope of one, or presumed denied, drops it, and so does a launch that is
    still to come. What is reviewed case by case, goes under an exception, or lacks a figure stays, with a note.
    """
    if verdict is None:
        return ""
    came = verdict.launch
    if came is not None and came.earliest > verdict.date:
        return f"not launched on {verdict.date}: {came.text}"
    if verdict.barred:
        return f"may not go to {verdict.destination.name} on {verdict.date}: {verdict.headline}; {verdict.clause}"
    return ""


def notes(places: Sequence[Place], found: Sequence[Verdict | None]) -> list[str]:
    """A line on each chip that stays and is not plainly free, and what the verdicts are."""
    lines = []
    for place, verdict in zip(places, found, strict=True):
        if verdict is None:
            continue
        if why_not_had(verdict):
            lines += [f"{place.name}: {line}" for line in statements(place.chip, verdict.destination, verdict.date)]
            continue
        if about := prohibited(place.chip, verdict.date, verdict.eccn):
            lines.append(f"{place.name}: {about}: General Prohibition 10 may attach to buying or using it.")
        if verdict.status is not Status.FREE or verdict.hypothetical:
            lines.append(f"{place.name} to {verdict.destination.name} on {verdict.date}: {verdict.headline}; {verdict.clause}.")
    told = [verdict for verdict in found if verdict is not None]
    if told:
        until = told[0].known_until
        lines.append(f"Export rules: {NO_ADVICE} The record goes up to {until}; `windtunnel rules check` says what decides.")
    return lines
