"""Notebooks: the code cells of the JSON file, and a changed cell written back without touching any other byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from windtunnel.errors import InvalidInputError

_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"-?\d[\d.eE+\-]*|true|false|null|NaN|-?Infinity")


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell. number: among all cells, from 0. pieces: start and end in the file's text of each JSON string that makes
    its source, quotes included; texts: what they say."""

    number: int
    pieces: tuple[tuple[int, int], ...]
    texts: tuple[str, ...]

    @property
    def source(self) -> str:
        return "".join(self.texts)


def cells_of(text: str) -> list[Cell]:
    """The code cells of a notebook. Raises InvalidInputError where the text is no whole notebook."""
    try:
        return list(_cells(text))
    except RecursionError:
        raise InvalidInputError("notebook", "nested too deeply")
    except (ValueError, IndexError) as error:
        raise InvalidInputError("notebook", f"is cut or malformed: {error or type(error).__name__}")


def _cells(text: str) -> Iterator[Cell]:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("its JSON is no object")
    language = document.get("metadata", {}).get("kernelspec", {}).get("language", "python") or "python"
    if str(language).lower() not in ("python", "python3"):
        return
    cells = document.get("cells")
    if not isinstance(cells, list):
        raise ValueError("it has no list of cells (notebooks before format 4 are not read)")
    spans = _spans(text)
    for number, cell in enumerate(cells):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code" or "source" not in cell:
            continue
        source = cell["source"]
        pieces = spans.get(number, ())
        texts = (source,) if isinstance(source, str) else tuple(source)
        if len(texts) == len(pieces):
            yield Cell(number, tuple(pieces), texts)


def _spans(text: str) -> dict[int, list[tuple[int, int]]]:
    """For each cell, where the strings of its source stand."""
    found: dict[int, list[tuple[int, int]]] = {}

    def skip(at: int) -> int:
        match = _SPACE.match(text, at)
        return match.end() if match else at

    def string(at: int) -> int:
        match = _STRING.match(text, at)
        if not match:
            raise ValueError(f"no string at character {at}")
        return match.end()

    def value(at: int, path: tuple[str | int, ...]) -> int:
        at = skip(at)
        here = text[at]
        if here == '"':
            end = string(at)
            if len(path) in (3, 4) and path[0] == "cells" and path[2] == "source":
                found.setdefault(int(path[1]), []).append((at, end))
            return end
        if here not in "{[":
            match = _SCALAR.match(text, at)
            if not match:
                raise ValueError(f"no value at character {at}")
            return match.end()
        closing, count = "}" if here == "{" else "]", 0
        at = skip(at + 1)
        while text[at] != closing:
            key: str | int = count
            if here == "{":
                end = string(at)
                key = json.loads(text[at:end])
                at = skip(skip(end) + 1)  # the colon
            at = skip(value(at, (*path, key)))
            if text[at] == ",":
                at = skip(at + 1)
            count += 1
        return at + 1

    value(0, ())
    return found


def written_back(text: str, changes: dict[int, str]) -> str:
    """The notebook's text with the sources of some cells (by number) replaced; a string that stays says the same bytes.

    The new source is cut into lines as the old one was, or kept in one string where the old one was one.
    """
    edits: list[tuple[int, int, str]] = []
    for cell in cells_of(text):
        new = changes.get(cell.number)
        if new is None or new == cell.source or not cell.pieces:
            continue
        lines = [new] if len(cell.texts) == 1 and "\n" in cell.texts[0][:-1] else new.splitlines(keepends=True)
        lines = lines or [""]
        same = 0
        while same < min(len(lines), len(cell.texts)) and lines[same] == cell.texts[same]:
            same += 1
        tail = 0
        while tail < min(len(lines), len(cell.texts)) - same and lines[-1 - tail] == cell.texts[-1 - tail]:
            tail += 1
        edits.extend(_piece_edits(text, cell, lines, same, tail))
    for start, end, piece in sorted(edits, reverse=True):
        text = text[:start] + piece + text[end:]
    return text


def _piece_edits(text: str, cell: Cell, lines: list[str], same: int, tail: int) -> Iterator[tuple[int, int, str]]:
    ascii_only = text.isascii()
    old_end, new_end = len(cell.texts) - tail, len(lines) - tail
    between = text[cell.pieces[0][1] : cell.pieces[1][0]] if len(cell.pieces) > 1 else ", "
    dumped = [json.dumps(line, ensure_ascii=ascii_only) for line in lines[same:new_end]]
    if same < old_end:
        first, last = cell.pieces[same][0], cell.pieces[old_end - 1][1]
        if dumped:
            yield first, last, between.join(dumped)
        elif old_end < len(cell.pieces):
            yield first, cell.pieces[old_end][0], ""
        else:
            yield cell.pieces[same - 1][1], last, ""
    elif old_end < len(cell.pieces):
        at = cell.pieces[old_end][0]
        yield at, at, "".join(d + between for d in dumped)
    else:
        at = cell.pieces[-1][1]
        yield at, at, "".join(between + d for d in dumped)
