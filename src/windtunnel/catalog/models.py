"""Models by name, or from a user's own config.json: the catalogue's records and files are read by the same parser.

A record is one TOML file of ``data/models``, named after the model without its organisation. It holds the fields of
the published config.json that matter, under ``[config]``; ``base`` takes those of another record first. A long list
may be written as ``{runs = [[[1, 2], 3], [[0], 1]]}``: 1, 2 three times, then 0.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from windtunnel.catalog.configs.fields import MAX_LAYERS, Fields
from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.model_config import spec_from_config
from windtunnel.catalog.store import Shelf, Table, name_key
from windtunnel.errors import InvalidInputError, UnknownNameError

SHELF = Shelf("models", "model")
CONFIG, QUANTISATION = "config.json", "hf_quant_config.json"
MAX_FILE_BYTES = 32_000_000
MAX_DEPTH = 60
MAX_BASES = 4
FIELDS = ("name", "aliases", "source", "notes", "base", "published", "config")


@dataclass(frozen=True, slots=True)
class Published:
    """What the model's makers say its size is.

    left_out: how many of the two vocabulary matrices (embedding, head) their active_parameters leave out;
    ModelSpec's count both. Where only the total was published, active_parameters equals it.
    """

    parameters: float
    active_parameters: float
    left_out: int
    source: str


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model of the catalogue."""

    key: str
    spec: ModelSpec
    published: Published | None


def models() -> tuple[str, ...]:
    """The keys of all models, sorted: what ``model`` takes, among other spellings. No record is read for it."""
    return SHELF.ids()


def model(name_or_path: str | os.PathLike[str]) -> ModelSpec:
    """The model of that name, alias, config.json or folder.

    A name resolves with or without its organisation, whatever its case and punctuation. What exists as a file
    or folder, ends in .json or begins with ``.``, ``/`` or ``~`` is taken for a path.
    Raises UnknownNameError with the nearest names, and InvalidInputError or UnsupportedError for a file.
    """
    text = os.fspath(name_or_path)
    if not isinstance(text, str) or "\0" in text or not text.strip():
        raise InvalidInputError("model", "a name or a path is needed")
    path = Path(text).expanduser() if not text.startswith("~") or text.startswith("~/") else Path(text)
    named = text.startswith((".", "/", "~")) or text.lower().endswith(".json") or isinstance(name_or_path, os.PathLike)
    if named:
        return _from_path(path, text)
    try:
        return record(text).spec
    except UnknownNameError:
        try:
            exists = path.exists()
        except OSError:
            exists = False
        if exists:
            return _from_path(path, text)
        raise


def record(name: str) -> ModelRecord:
    """The catalogue's record of a name or an alias. Raises UnknownNameError."""
    return _load(resolve(name))


def resolve(name: str) -> str:
    """The key that a name or an alias stands for. Raises UnknownNameError with the nearest names."""
    key = name_key(name[:300])
    if "/" not in name and key in SHELF.ids():
        return key
    names = _names()
    if key in names:
        return names[key]
    raise UnknownNameError("model", name, _spoken())


@cache
def _names() -> Mapping[str, str]:
    """Every spelling of every model, as the key that it stands for. The figures of the records are not read."""
    index = {key: key for key in SHELF.ids()}
    for key, name in _listed():
        for spelling in (name, name.rpartition("/")[2]):
            owner = index.setdefault(name_key(spelling), key)
            if owner != key and spelling == name:
                raise InvalidInputError(f"models/{key}.toml: aliases", f"'{name}' already stands for {owner}")
    return index


def _listed() -> Iterator[tuple[str, str]]:
    """Each record's key with each of its names."""
    for key in SHELF.ids():
        head = SHELF.head(key)
        for name in (head.text("name"), *head.texts("aliases")):
            yield key, name


def _spoken() -> list[str]:
    return sorted({name for _, name in _listed()} | set(SHELF.ids()))


@cache
def _load(key: str) -> ModelRecord:
    return SHELF.load(key, lambda table: _parse(key, table))


def _parse(key: str, table: Table) -> ModelRecord:
    table.only(FIELDS)
    notes = table.texts("notes")
    spec = spec_from_config(
        _config(table, MAX_BASES), id=table.text("name"), source=table.text("source"), aliases=table.texts("aliases"), notes=notes
    )
    if "published" not in table.fields:
        return ModelRecord(key, spec, None)
    said = table.table("published")
    said.only(("parameters", "active_parameters", "left_out", "source"))
    total = said.number("parameters")
    published = Published(total, said.number("active_parameters", total), said.count("left_out", 0, low=0), said.text("source"))
    return ModelRecord(key, spec, published)


def _config(table: Table, depth: int) -> dict[str, object]:
    """The configuration of a record, laid over that of its base."""
    base: dict[str, object] = {}
    if "base" in table.fields:
        if not depth:
            raise table.fail("base", f"more than {MAX_BASES} deep")
        base = SHELF.load(table.text("base"), lambda other: _config(other, depth - 1))
    own = table.table("config").fields
    return {**base, **{name: _unrolled(value, name, table) for name, value in own.items()}}


def _unrolled(value: object, name: str, table: Table) -> object:
    """``value`` with its runs written out."""
    if not isinstance(value, dict):
        return value
    if set(value) != {"runs"}:
        return {field: _unrolled(inner, f"{name}.{field}", table) for field, inner in value.items()}
    long: list[object] = []
    for run in value["runs"] if isinstance(value["runs"], list) else [None]:
        if not (isinstance(run, list) and len(run) == 2 and isinstance(run[0], list) and isinstance(run[1], int)):
            raise table.fail(name, "runs are pairs of a list and how often it comes")
        if len(long) + len(run[0]) * max(run[1], 0) > MAX_LAYERS:
            raise table.fail(name, f"longer than {MAX_LAYERS}")
        long += run[0] * run[1]
    return long


def _from_path(path: Path, shown: str) -> ModelSpec:
    """The model of a config.json, or of a folder that holds one and perhaps hf_quant_config.json beside it."""
    try:
        folder = path.is_dir()
        file = path / CONFIG if folder else path
        if not file.is_file():
            problem = f"the folder has no {CONFIG}" if folder else f"no such file; a {CONFIG} or a model folder is needed"
            raise InvalidInputError(shown, problem)
        beside = file.parent / QUANTISATION
        quantisation = read_json(beside) if beside.is_file() and file.name == CONFIG else None
    except (OSError, ValueError) as error:
        raise InvalidInputError(shown, f"cannot be read: {getattr(error, 'strerror', None) or 'not a path'}") from None
    name = (file.parent.resolve().name or "model") if file.name == CONFIG else file.stem.removesuffix("_config")
    return spec_from_config(read_json(file), id=name, source=str(file), quantisation=quantisation)


def read_json(path: Path) -> Mapping[str, object]:
    """The object in a JSON file. Raises InvalidInputError: too large, too deep, not JSON, not an object."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidInputError(str(path), f"larger than {MAX_FILE_BYTES:,} bytes, which no configuration is")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "not a text file in UTF-8"
        raise InvalidInputError(str(path), f"cannot be read: {reason}") from None
    return parse_json(text, str(path))


def parse_json(text: str, where: str) -> Mapping[str, object]:
    """The object that a JSON text holds. Raises InvalidInputError, whatever the text is."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise InvalidInputError(where, f"nested deeper than {MAX_DEPTH}, which no configuration is") from None
    except json.JSONDecodeError as problem:
        raise InvalidInputError(where, f"not valid JSON: {problem}") from None
    except ValueError:  # the one other that the parser raises
        raise InvalidInputError(where, "not valid JSON for a configuration: a number of thousands of digits") from None
    _check_depth(value, where)
    return Fields(value, where).values


def _check_depth(value: object, where: str) -> None:
    """Refuse what is nested deeper than MAX_DEPTH, without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]
        if not level:
            return
    raise InvalidInputError(where, f"nested deeper than {MAX_DEPTH}, which no configuration is")


def _inside(value: dict[str, object] | list[object]) -> list[object]:
    return list(value.values()) if isinstance(value, dict) else value
