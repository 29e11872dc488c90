"""A CSV of measurements that somebody brings: read whatever it holds, its kind told by its columns."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from windtunnel.errors import InvalidInputError, nearest

MAX_BYTES = 64_000_000
LARGEST = 1e15
METRICS: Mapping[str, tuple[str, ...]] = {
    "serving": ("ttft_ms", "tpot_ms"),
    "operators": ("latency_us",),
    "programs": ("samples_per_s",),
}
"""What each kind of measurement is compared by."""
NEEDED: Mapping[str, tuple[str, ...]] = {
    "serving": ("chip", "model", "isl", "osl", "concurrency"),
    "operators": ("chip", "op", "latency_us"),
    "programs": ("chip", "program", "samples_per_s"),
}
"""Columns without which no row of the kind means anything."""
_OWN = {
    "serving": {"model", "isl", "osl", "concurrency", "ttft_ms", "tpot_ms"},
    "operators": {"op", "latency_us"},
    "programs": {"program", "samples_per_s"},
}
_NOTHING = ("nan", "null", "none", "n/a", "na", "-")
"""What programs write into a field that holds nothing."""


@dataclass(frozen=True, slots=True)
class MeasuredTable:
    """kind: serving, operators or programs; rows: one mapping a row, every value stripped; broken: how many lines had more
    fields than there are columns."""

    name: str
    kind: str
    rows: tuple[Mapping[str, str], ...]
    broken: int = 0


def read_table(path: str | Path) -> MeasuredTable:
    """The measurements in a file. Raises InvalidInputError for what is not a CSV of a known kind."""
    text = _text(Path(path))
    name = Path(path).name
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        lines = [line for line in reader if any(field.strip() for field in line)]
    except csv.Error as problem:
        raise InvalidInputError(name, f"line {reader.line_num}: {problem}")
    if not lines:
        raise InvalidInputError(name, "empty; a first line with the names of the columns is needed")
    columns = [field.strip().lower() for field in lines[0]]
    kind = _kind(name, columns)
    whole = [line for line in lines[1:] if not any(field.strip() for field in line[len(columns) :])]
    rows = [dict(zip(columns, (_value(field) for field in line), strict=False)) for line in whole]
    return MeasuredTable(name, kind, tuple(rows), len(lines) - 1 - len(whole))


def _value(field: str) -> str:
    text = field.strip()
    return "" if text.lower() in _NOTHING else text


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise InvalidInputError(str(path), "there is no such file")
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInputError(str(path), f"larger than {MAX_BYTES:,} bytes; cut it into several files")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as problem:
        raise InvalidInputError(str(path), f"cannot be read: {getattr(problem, 'strerror', None) or 'not a text file in UTF-8'}")
    if "\0" in text:
        raise InvalidInputError(str(path), "cannot be read: not a text file")
    return text


def _kind(name: str, columns: list[str]) -> str:
    """The kind whose own columns are there most. Raises InvalidInputError that names the column that is missing."""
    present = set(columns)
    for column in columns:
        if column and columns.count(column) > 1:
            raise InvalidInputError(name, f"column '{column}' stands there twice")
    kind = max(_OWN, key=lambda k: len(_OWN[k] & present) / len(_OWN[k]))
    if not _OWN[kind] & present:
        known = sorted({c for k in NEEDED for c in (*NEEDED[k], *METRICS[k])})
        close = [near for column in columns[:40] for near in nearest(column, known, limit=1)] if len(columns) > 1 else []
        hint = f"; did you mean {', '.join(dict.fromkeys(close))}?" if close else ""
        raise InvalidInputError(name, f"its columns tell no kind of measurement (serving, operators or programs){hint}")
    for needed in NEEDED[kind]:
        if needed not in present:
            raise InvalidInputError(name, f"column '{needed}' is missing; {kind} need {', '.join(NEEDED[kind])}")
    if not present & set(METRICS[kind]):
        raise InvalidInputError(name, f"nothing was measured; {kind} need one of {', '.join(METRICS[kind])}")
    return kind


def number(row: Mapping[str, str], key: str, default: float | None = None) -> float:
    """A positive number of a row; ``default`` where the field is empty. Raises InvalidInputError."""
    text = row.get(key, "")
    if not text:
        if default is None:
            raise InvalidInputError(key, "missing")
        return default
    try:
        value = float(text)
    except ValueError:
        raise InvalidInputError(key, "not a number")
    if not math.isfinite(value) or not 0 < value <= LARGEST:
        raise InvalidInputError(key, "not a positive number")
    return value


def size(row: Mapping[str, str], key: str, default: float | None = None) -> float:
    """A number of a row that is at least one, as every length of a shape is. Raises InvalidInputError."""
    value = number(row, key, default)
    if value < 1:
        raise InvalidInputError(key, "less than one")
    return value


def degree(row: Mapping[str, str], key: str, default: int = 0) -> int:
    """A whole number of a row, 0 among them; ``default`` where the field is empty. Raises InvalidInputError."""
    text = row.get(key, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise InvalidInputError(key, "not a number")
    if not 0 <= value <= 1e6 or value != int(value):
        raise InvalidInputError(key, "not a whole number")
    return int(value)
