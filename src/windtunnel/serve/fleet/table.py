"""One table of fleet.toml: keys taken one by one, each with what is wrong with it."""

from __future__ import annotations

import math
from typing import Any

from windtunnel.errors import InvalidInputError, UnknownNameError
from windtunnel.units import parse_duration_s

LONGEST_S = 86_400.0


class Table:
    """Where a key is wrong, the error says which of which table. known: keys that it may have."""

    def __init__(self, file: str, place: str, table: Any, known: tuple[str, ...]) -> None:
        self.file, self.place = file, place
        if not isinstance(table, dict):
            raise InvalidInputError(f"{file}, {place}", "has to be a table")
        for key in table:
            if key not in known:
                raise UnknownNameError(f"key in {place} of {file}", key, known)
        self.table = table

    def wrong(self, key: str, problem: str) -> InvalidInputError:
        return InvalidInputError(f"{self.file}, {self.place} {key}", problem)

    def text(self, key: str, default: str = "") -> str:
        value = self.table.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, f"has to be a text, not {said(value)}")
        if not value.isprintable() or (key in self.table and not value.strip()):
            raise self.wrong(key, "is empty or has characters that cannot be printed")
        return value.strip()

    def time(self, key: str, default: float) -> float:
        value = self.table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.wrong(key, f'has to be a time such as "2s" or "50ms", not {said(value)}')
        seconds = parse_duration_s(str(value), f"{self.file}, {self.place} {key}")
        if seconds > LONGEST_S:
            raise self.wrong(key, f"{said(value)} is more than a day")
        return seconds

    def count(self, key: str, default: int, least: int, most: int) -> int:
        value = self.table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(key, f"has to be a whole number from {least} to {most:,}, not {said(value)}")
        return value

    def number(self, key: str, default: float | None, most: float) -> float | None:
        value = self.table.get(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not (0 <= value <= most and math.isfinite(value)):
            raise self.wrong(key, f"has to be a number from 0 to {most:,.10g}, not {said(value)}")
        return float(value)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, f'has to be a list of texts such as ["--speed", "2"], not {said(value)}')
        return tuple(value)


def said(value: object) -> str:
    """A value as an error quotes it."""
    text = f"'{value}'" if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else f"{text[:50]}..."
