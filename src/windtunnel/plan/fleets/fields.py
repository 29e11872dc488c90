"""Fields of a fleet's file: amounts that may be zero, and numbers for each quarter."""

from __future__ import annotations

import math
from collections.abc import Sequence

from windtunnel.catalog.store import LARGEST, Table
from windtunnel.plan.fleets.quarter import Quarter, parse_quarter
from windtunnel.plan.fleets.spec import Series


def checked(table: Table, key: str, value: object, *, zero: bool = True, what: str = "") -> float:
    """A finite number that is not negative (and not zero, where that means nothing). Raises InvalidInputError."""
    said = f" of {what}" if what else ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise table.fail(key, f"should be a number{said}, not {_kind(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise table.fail(key, f"{value} is no number{said}")
    if value < 0:
        raise table.fail(
            key, f"{value:,} is negative; it must be from 0" if zero else f"{value:,} is negative; it must be above 0"
        )
    if not zero and value == 0:
        raise table.fail(key, "0; it must be above 0")
    if value > LARGEST:
        raise table.fail(key, "larger than any fleet could have")
    return float(value)


def amount(table: Table, key: str, default: float | None = None, *, zero: bool = True, what: str = "") -> float | None:
    """One number, or the default where the field is missing."""
    return checked(table, key, table.fields[key], zero=zero, what=what) if key in table.fields else default


def needed(table: Table, key: str, hint: str, *, zero: bool = False, what: str = "") -> float:
    """One number that must be there."""
    if key not in table.fields:
        raise table.fail(key, f"missing; {hint}")
    return checked(table, key, table.fields[key], zero=zero, what=what)


def share(table: Table, key: str, default: float = 0.0, most: float = 1.0) -> float:
    """A share of one, such as a duty: 0.25, not 25."""
    value = amount(table, key, default)
    assert value is not None
    if value > most:
        raise table.fail(key, f"{value:g} is over {most:g}; a share of one is meant: 25 % is 0.25")
    return value


def series(table: Table, key: str, quarters: int, *, what: str = "", zero: bool = True) -> Series | None:
    """A number for each quarter, from one number or a list of them; None where the field is missing."""
    value = table.fields.get(key)
    if value is None:
        return None
    if not isinstance(value, list):
        return (checked(table, key, value, zero=zero, what=what),) * quarters
    if len(value) != quarters:
        raise table.fail(key, f"has {len(value)} numbers for {quarters} quarters; write one for each, or one for all")
    return tuple(checked(table, key, each, zero=zero, what=what) for each in value)


def quarter(table: Table, key: str, start: Quarter, quarters: int, default: int) -> int:
    """A quarter of the plan, counted from 0. Raises InvalidInputError for one outside it."""
    if key not in table.fields:
        return default
    where = f"{table.where}: {key}"
    found = parse_quarter(table.text(key), where).since(start)
    if not 0 <= found < quarters:
        raise table.fail(key, f"{table.text(key)} is not in the plan, which goes from {start} to {start.plus(quarters - 1)}")
    return found


def names(table: Table, key: str, known: Sequence[str]) -> tuple[str, ...]:
    """A list of names of the file. Raises InvalidInputError with the nearest."""
    return tuple(dict.fromkeys(table.texts(key, known)))


def _kind(value: object) -> str:
    return {str: "a text", list: "a list", dict: "a table", bool: "true or false"}.get(type(value), type(value).__name__)
