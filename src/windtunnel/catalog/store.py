"""Records of the catalogue: TOML files read lazily, their fields checked one by one, their names and aliases resolved.

A folder of ``data/`` holds one file a record, named after its id. To load a record by id, only its own file is
read; an alias makes the heads of the folder's files be read (the lines above the first table), never their figures.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from windtunnel.catalog.fact import UNITS, Fact, FactKind
from windtunnel.errors import InvalidInputError, UnknownNameError, nearest

T = TypeVar("T")

ID = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)*$")
MAX_BYTES = 1_000_000
LARGEST = 1e30
KINDS: tuple[FactKind, ...] = ("vendor", "measured", "derived", "reported", "estimate")

_FACT_FIELDS = ("value", "unit", "kind", "source", "printed", "note", "date", "others")
_MAKERS = ("nvidia", "huawei", "amd", "intel", "google", "aws", "cambricon", "moore-threads", "biren", "enflame", "hygon",
           "baidu", "metax", "iluvatar", "t-head", "alibaba")  # fmt: skip


def name_key(name: str) -> str:
    """What two spellings of one name have in common: ``NVIDIA H100 SXM5 (80GB)`` and ``nvidia-h100-sxm5-80gb``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _spellings(name: str) -> list[str]:
    """The keys under which a name may be listed: as it is, then without the maker in front."""
    key = name_key(name)
    return [key] + [key[len(maker) + 1 :] for maker in _MAKERS if key.startswith(maker + "-")]


def parse_toml(text: str, where: str) -> dict[str, object]:
    """The table that ``text`` holds. Raises InvalidInputError, whatever the text is."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as problem:
        raise InvalidInputError(where, f"not valid TOML: {problem or type(problem).__name__}") from None


def read_toml_file(path: str | Path) -> dict[str, object]:
    """The table of a user's own TOML file. Raises InvalidInputError."""
    try:
        file = Path(path)
        if file.stat().st_size > MAX_BYTES:
            raise InvalidInputError(str(path), f"larger than {MAX_BYTES:,} bytes, which no record is")
        return parse_toml(file.read_text(encoding="utf-8"), str(path))
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "not a text file in UTF-8"
        raise InvalidInputError(str(path), f"cannot be read: {reason}") from None


@dataclass(frozen=True, slots=True)
class Table:
    """One TOML table whose fields are read by type; every complaint names the file and the field."""

    where: str
    fields: Mapping[str, object]

    def fail(self, key: str, problem: str) -> InvalidInputError:
        """The error that says what is wrong with one field."""
        return InvalidInputError(f"{self.where}: {key}", problem)

    def only(self, known: Iterable[str]) -> None:
        """Refuse fields that mean nothing here, with the nearest that does."""
        known = tuple(known)
        for key in self.fields:
            if key not in known:
                close = nearest(key, known, limit=1)
                raise self.fail(key, "no such field" + (f"; did you mean {close[0]}?" if close else ""))

    def text(self, key: str, default: str | None = None, choices: Iterable[str] = ()) -> str:
        """A string; required unless there is a default; one of ``choices`` where they are given."""
        value = self.fields.get(key, default)
        if value is None:
            raise self.fail(key, "missing")
        if not isinstance(value, str):
            raise self.fail(key, f"should be a text, not {type(value).__name__}")
        allowed = tuple(choices)
        if allowed and value not in allowed and value != default:
            close = nearest(value, allowed, limit=1)
            raise self.fail(key, f"'{value}' is none of {', '.join(allowed)}" + (f"; nearest: {close[0]}" if close else ""))
        return value

    def texts(self, key: str, choices: Iterable[str] = ()) -> tuple[str, ...]:
        """A list of strings, empty when the field is missing."""
        values = self.fields.get(key, [])
        if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
            raise self.fail(key, "should be a list of texts")
        allowed = tuple(choices)
        for value in values:
            if allowed and value not in allowed:
                close = nearest(value, allowed, limit=1)
                raise self.fail(key, f"'{value}' is none of {', '.join(allowed)}" + (f"; nearest: {close[0]}" if close else ""))
        return tuple(values)

    def flag(self, key: str, default: bool) -> bool:
        """A truth value."""
        value = self.fields.get(key, default)
        if not isinstance(value, bool):
            raise self.fail(key, "should be true or false")
        return value

    def count(self, key: str, default: int | None = None, low: int = 1) -> int:
        """A whole number of at least ``low``."""
        value = self.fields.get(key, default)
        if value is None:
            raise self.fail(key, "missing")
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= 10**9:
            raise self.fail(key, f"should be a whole number from {low}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A positive finite number."""
        value = self.fields.get(key, default)
        if value is None:
            raise self.fail(key, "missing")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.fail(key, f"should be a number, not {type(value).__name__}")
        if (isinstance(value, int) and abs(value) > LARGEST) or not math.isfinite(value) or not 0 < value <= LARGEST:
            raise self.fail(key, "should be a positive number that a machine could have")
        return float(value)

    def table(self, key: str) -> Table:
        """A sub-table, empty when it is missing."""
        value = self.fields.get(key, {})
        if not isinstance(value, dict):
            raise self.fail(key, "should be a table")
        return Table(f"{self.where}: {key}", value)

    def tables(self, key: str) -> Iterator[Table]:
        """The entries of an array of tables."""
        values = self.fields.get(key, [])
        if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
            raise self.fail(key, f"should be tables, each written under [[{key}]]")
        for index, value in enumerate(values):
            yield Table(f"{self.where}: {key}[{index}]", value)

    def fact(self, units: Iterable[str] = UNITS, extra: Iterable[str] = ()) -> Fact:
        """This table as a fact in one of ``units``; ``extra`` names fields that the caller reads itself."""
        self.only((*_FACT_FIELDS, *extra))
        kind = next((k for k in KINDS if k == self.text("kind", choices=KINDS)), KINDS[0])
        source = self.text("source")
        if not source.strip():
            raise self.fail("source", "empty; a number needs a source")
        allowed = tuple(units)
        unit = self.text("unit", choices=allowed)
        others = tuple(other.fact((unit,)) for other in self.tables("others"))
        return Fact(self.number("value"), unit, kind, source, self.text("printed", ""), self.text("note", ""),
                    self.text("date", ""), others)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shelf:
    """One folder of records: which there are, what else they are called, and the text of each."""

    folder: str
    what: str

    def _root(self) -> Traversable:
        return resources.files("windtunnel.catalog").joinpath("data", self.folder)

    def ids(self) -> tuple[str, ...]:
        """The ids of all records, sorted."""
        return _ids(self)

    def text(self, record: str) -> str:
        """The TOML of one record, by its id."""
        return self._root().joinpath(f"{record}.toml").read_text(encoding="utf-8")

    def head(self, record: str) -> Table:
        """The fields above the first table of one record: its names, not its figures."""
        where = f"{self.folder}/{record}.toml"
        return Table(where, parse_toml(self.text(record).split("\n[", 1)[0], where))

    def aliases(self) -> Mapping[str, str]:
        """Every spelling that resolves, and the id it stands for."""
        return _aliases(self)

    def resolve(self, name: str) -> str:
        """The id that a name or an alias stands for, whatever its case and punctuation. Raises UnknownNameError."""
        known = self.ids()
        spellings = _spellings(name[:200])
        for key in spellings:
            if key in known:
                return key
        index = self.aliases()
        for key in spellings:
            if key in index:
                return index[key]
        raise UnknownNameError(self.what, name, [*known, *index])

    def load(self, record: str, parse: Callable[[Table], T]) -> T:
        """One record, parsed."""
        where = f"{self.folder}/{record}.toml"
        return parse(Table(where, parse_toml(self.text(record), where)))


@cache
def _ids(shelf: Shelf) -> tuple[str, ...]:
    names = (entry.name for entry in shelf._root().iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


@cache
def _aliases(shelf: Shelf) -> Mapping[str, str]:
    index: dict[str, str] = {}
    for record in shelf.ids():
        head = shelf.head(record)
        for alias in (head.text("name", record), *head.texts("aliases")):
            owner = index.setdefault(name_key(alias), record)
            if owner != record:
                raise head.fail("aliases", f"'{alias}' already stands for {owner}")
    return index
