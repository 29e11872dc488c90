"""Requests from a file: the layouts of the Azure, Mooncake and BurstGPT traces, and one's own table. Read as a stream, twice."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from windtunnel.errors import InvalidInputError
from windtunnel.sim.serving.arrivals import MOST_TOKENS, OpenSource, Source
from windtunnel.sim.serving.request import Request

MOONCAKE_BLOCK = 512
"""Tokens that one of Mooncake's hash ids stands for. **Source:** the trace's own description (Mooncake, FAST 2025)."""
_LONGEST_LINE = 1 << 20
_MIXED = 300.0
"""A pause this many times as long as all before it, after which requests are as many times rarer: two units of time."""
_FRACTION = re.compile(r"(\.\d{6})\d+")

_Row = tuple[float, int, int, tuple[int, ...], int]


@dataclass(frozen=True, slots=True)
class Layout:
    """A kind of file: what it is called, the columns that tell it, and how to read a row. partial: whether rows without
    tokens are failures that the trace itself records, to be left out."""

    name: str
    columns: tuple[str, ...]
    partial: bool


AZURE = Layout("azure", ("TIMESTAMP", "ContextTokens", "GeneratedTokens"), True)
BURSTGPT = Layout("burstgpt", ("Timestamp", "Model", "Request tokens", "Response tokens", "Total tokens", "Log Type"), True)
OWN = Layout("own", ("arrival_s", "input_tokens", "output_tokens"), False)
MOONCAKE = Layout("mooncake", ("timestamp", "input_length", "output_length"), True)


@dataclass(frozen=True, slots=True)
class Trace:
    """A checked file. requests, isl, osl: number and mean lengths; skipped: rows without tokens, which were left out;
    longest: tokens in and out of the longest request; seconds: from the first to the last."""

    path: Path
    layout: Layout
    requests: int
    isl: float
    osl: float
    longest: int
    seconds: float
    skipped: int = 0
    open: bool = True

    def source(self, seed: int) -> Source:
        return OpenSource(self.read())

    def read(self) -> Iterator[Request]:
        """The requests, the first at 0 s."""
        first = math.nan
        for _, row in _rows(self.path, self.layout):
            if row is None:
                continue
            at, tokens, out, prefix, segment = row
            if math.isnan(first):
                first = at
            yield Request(at - first, tokens, out, prefix, segment)


def read_trace(path: Path) -> Trace:
    """The file, looked through once: its layout, and that every row is a request no earlier than the one before.

    Raises InvalidInputError with the line, or with the columns that are missing.
    """
    layout = _layout(path)
    requests = skipped = inputs = outputs = longest = 0
    first = before = math.nan
    jump: tuple[int, float, float] | None = None
    for number, row in _rows(path, layout):
        if row is None:
            skipped += 1
            continue
        at, tokens, out = row[:3]
        if at < 0.0:
            raise _wrong(path, number, f"{at:g} s is a negative time")
        if requests and at < before:
            raise _wrong(path, number, f"{at:,.10g} s is before the line above ({before:,.10g} s); sort the file by time")
        if not requests:
            first = at
        elif requests >= 10 and jump is None and at - before > _MIXED * (before - first) > 0.0:
            jump = (number, before, at)
        requests, inputs, outputs = requests + 1, inputs + tokens, outputs + out
        longest, before = max(longest, tokens + out), at
        if jump is not None and jump[0] == number:
            early = requests - 1
    if not requests:
        raise InvalidInputError(path.name, "holds no request")
    if jump is not None:
        number, low, high = jump
        late = requests - early - 1
        if late >= 10 and (before - high) / late > _MIXED * (low - first) / early:
            raise _wrong(
                path, number, f"times jump from {low:,.10g} s to {high:,.10g} s and go on as coarsely: two units of time"
            )
    return Trace(path, layout, requests, inputs / requests, outputs / requests, longest, before - first, skipped)


def _wrong(path: Path, number: int, problem: str) -> InvalidInputError:
    return InvalidInputError(f"{path.name}, line {number:,}", problem)


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def _layout(path: Path) -> Layout:
    with _open(path) as file:
        line = file.readline(_LONGEST_LINE)
    if line.lstrip().startswith("{"):
        return MOONCAKE
    if not line.strip():
        raise InvalidInputError(path.name, "is empty")
    names = [name.strip() for name in next(csv.reader([line]))]
    best = max((AZURE, BURSTGPT, OWN), key=lambda layout: len(set(layout.columns) & set(names)))
    if best is BURSTGPT:
        wanted: Sequence[str] = ("Timestamp", "Request tokens", "Response tokens")
    else:
        wanted = best.columns
    missing = [name for name in wanted if name not in names]
    if len(missing) == len(wanted):
        raise InvalidInputError(
            path.name, "no known columns; write arrival_s,input_tokens,output_tokens, or use an Azure, Mooncake or BurstGPT trace"
        )
    if missing:
        raise InvalidInputError(path.name, f"no column {' and no column '.join(missing)}; it has {', '.join(names[:8])}")
    doubled = sorted({name for name in wanted if names.count(name) > 1})
    if doubled:
        raise InvalidInputError(path.name, f"column {doubled[0]} is there twice")
    return best


def _rows(path: Path, layout: Layout) -> Iterator[tuple[int, _Row | None]]:
    """Line and row: the time as it stands, tokens, and the prefix; None for a row that the trace itself says was no request."""
    if layout is MOONCAKE:
        return _mooncake(path)
    return _table(path, layout)


def _table(path: Path, layout: Layout) -> Iterator[tuple[int, _Row | None]]:
    with _open(path) as file:
        lines = csv.reader(file)
        names = [name.strip() for name in next(lines)]
        if layout is BURSTGPT:
            columns: Sequence[str] = ("Timestamp", "Request tokens", "Response tokens")
        else:
            columns = layout.columns
        when, read, write = (names.index(name) for name in columns)
        clock: Callable[[str], float] = _date_s if layout is AZURE else float
        prefix = names.index("prefix_id") if "prefix_id" in names else -1
        share = names.index("prefix_tokens") if "prefix_tokens" in names else -1
        if (prefix < 0) != (share < 0):
            raise InvalidInputError(path.name, "prefix_id and prefix_tokens belong together")
        try:
            for cells in lines:
                if not cells:
                    continue
                number = lines.line_num
                try:
                    at, tokens, out = clock(cells[when]), _count(cells[read]), _count(cells[write])
                except (ValueError, IndexError, OverflowError):
                    raise _wrong(path, number, _problem(cells, columns, (when, read, write), clock))
                if not (tokens and out):
                    if layout.partial:
                        yield number, None
                        continue
                    raise _wrong(path, number, f"{tokens} tokens in, {out} out; at least 1 of each")
                if not math.isfinite(at):
                    raise _wrong(path, number, f"{columns[0]} '{cells[when][:40]}' is not a time")
                if max(tokens, out) > MOST_TOKENS:
                    named, place = (columns[1], read) if tokens > MOST_TOKENS else (columns[2], write)
                    raise _wrong(path, number, f"{named} {cells[place][:20].strip()}; at most {MOST_TOKENS:,} tokens")
                if prefix < 0 or not cells[prefix : prefix + 1] or not cells[prefix].strip():
                    yield number, (at, tokens, out, (), 0)
                    continue
                try:
                    common = _count(cells[share])
                except (ValueError, IndexError):
                    raise _wrong(path, number, "prefix_tokens is no whole number of tokens")
                if common > tokens:
                    raise _wrong(path, number, f"prefix_tokens {common:,} is more than the {tokens:,} tokens in")
                segment = _segment(cells[prefix].strip(), common)
                yield number, (at, tokens, out, ((segment,) if common else ()), common)
        except csv.Error as error:
            raise _wrong(path, lines.line_num, str(error))


def _segment(name: str, tokens: int) -> int:
    """A number for a prefix of that name and length: a digest, so that no table of names grows with the file."""
    return int.from_bytes(blake2b(f"{tokens} {name}".encode(), digest_size=8).digest())


def _problem(cells: Sequence[str], columns: Sequence[str], places: Sequence[int], clock: Callable[[str], float]) -> str:
    """Which cell of a row is wrong."""
    for name, place, reads in zip(columns, places, (clock, _count, _count), strict=True):
        if place >= len(cells):
            return f"has no {name}"
        try:
            reads(cells[place])
        except (ValueError, OverflowError):
            what = "a time" if reads is _date_s else "a number of seconds" if reads is float else "a whole number of tokens"
            return f"{name} '{cells[place][:40]}' is not {what}"
    return "cannot be read"


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        number = float(text)  # some tools write 512.0
        value = int(number)
        if value != number:
            raise ValueError(text)
    if value < 0:
        raise ValueError(text)
    return value


def _date_s(text: str) -> float:
    """Seconds since 1970 of ``2023-11-16 18:15:46.6805900``, with or without a zone."""
    at = datetime.fromisoformat(_FRACTION.sub(r"\1", text.strip()))
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def _mooncake(path: Path) -> Iterator[tuple[int, _Row | None]]:
    with _open(path) as file:
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if not line.strip():
                continue
            try:
                row: Any = json.loads(line)
                at, tokens, out = float(row["timestamp"]) * 1e-3, row["input_length"], row["output_length"]
                ids = row.get("hash_ids", ())
            except (ValueError, TypeError, AttributeError, RecursionError):
                raise _wrong(path, number, "is not a JSON object with timestamp (ms), input_length and output_length")
            except KeyError as missing:
                raise _wrong(path, number, f"has no {missing.args[0]}")
            whole = all(isinstance(n, int) and 0 <= n <= MOST_TOKENS for n in (tokens, out))
            if not (math.isfinite(at) and whole and isinstance(ids, list | tuple) and all(isinstance(i, int) for i in ids)):
                raise _wrong(path, number, "timestamp, input_length and output_length must be numbers, hash_ids a list of them")
            if not (tokens and out):
                yield number, None
                continue
            yield number, (at, tokens, out, tuple(ids), MOONCAKE_BLOCK if ids else 0)


@dataclass(frozen=True, slots=True)
class First:
    """The first ``requests`` requests of a trace."""

    of: Trace
    most: int
    open: bool = True

    @property
    def requests(self) -> int:
        return min(self.most, self.of.requests)

    @property
    def isl(self) -> float:
        return self.of.isl

    @property
    def osl(self) -> float:
        return self.of.osl

    @property
    def path(self) -> Path:
        return self.of.path

    @property
    def layout(self) -> Layout:
        return self.of.layout

    @property
    def skipped(self) -> int:
        return self.of.skipped

    def source(self, seed: int) -> Source:
        return OpenSource(islice(self.of.read(), self.most))
