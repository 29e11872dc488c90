"""Fields of a configuration, read with bounds: what is wrong is said in one line that names the field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

from windtunnel.errors import InvalidInputError

MAX_LAYERS = 10_000
MAX_WIDTH = 1_000_000
MAX_VOCAB = 100_000_000
MAX_EXPERTS = 100_000
MAX_HEADS = 100_000
MAX_CONTEXT = 1_000_000_000_000
MAX_NAMED_MODULES = 1_000_000


def shown(value: object) -> str:
    """``value`` as an error names it: short, and its kind rather than its content where it is a container."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "null"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**15:
        return "a huge number"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:30]}..."


class Fields:
    """A configuration object under a dotted path; every read states what would do.

    A field that is null counts as absent, as in config.json files.
    """

    def __init__(self, values: object, path: str = "") -> None:
        if not isinstance(values, Mapping):
            raise InvalidInputError(path or "config", f"an object is needed, not {shown(values)}")
        self.values: Mapping[str, Any] = values
        self.path = path

    def name(self, field: str) -> str:
        """``field`` with the path to it."""
        return f"{self.path}.{field}" if self.path else field

    def fail(self, field: str, problem: str) -> NoReturn:
        """Refuse ``field``."""
        raise InvalidInputError(self.name(field), problem)

    def has(self, field: str) -> bool:
        return self.values.get(field) is not None

    def with_defaults(self, defaults: Mapping[str, object]) -> Fields:
        """The same fields, with values for those that are absent."""
        absent = {field: value for field, value in defaults.items() if not self.has(field)}
        return Fields({**self.values, **absent}, self.path) if absent else self

    def first(self, *fields: str) -> str:
        """The first of the fields that is present; where none is, the first."""
        return next((field for field in fields if self.has(field)), fields[0])

    def nested(self, field: str) -> Fields:
        """The object in ``field``."""
        if not self.has(field):
            self.fail(field, "missing; an object is needed")
        return Fields(self.values[field], self.name(field))

    def whole(self, *fields: str, low: int = 1, high: int = MAX_WIDTH, default: int | None = None) -> int:
        """A whole number between low and high, from the first of the fields that is present."""
        field = self.first(*fields)
        if not self.has(field):
            if default is None:
                other = f" (or {', '.join(fields[1:])})" if len(fields) > 1 else ""
                self.fail(field, f"missing{other}; a whole number from {low} to {high} is needed")
            return default
        return self.as_whole(self.values[field], field, low, high)

    def as_whole(self, value: object, field: str, low: int, high: int) -> int:
        """``value`` of ``field`` as a whole number between low and high."""
        if isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < 2**53:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fail(field, f"{shown(value)} will not do; a whole number from {low} to {high} is needed")
        return value

    def flag(self, field: str, default: bool = False) -> bool:
        """True or false."""
        if not self.has(field):
            return default
        value = self.values[field]
        if not isinstance(value, bool):
            self.fail(field, f"{shown(value)} will not do; true or false is needed")
        return value

    def text(self, *fields: str, default: str = "") -> str:
        """A string of at most 200 characters, from the first of the fields that is present."""
        field = self.first(*fields)
        if not self.has(field):
            return default
        value = self.values[field]
        if not isinstance(value, str) or len(value) > 200:
            self.fail(field, f"{shown(value)} will not do; a short string is needed")
        return value

    def items(self, field: str, limit: int = MAX_LAYERS) -> list[Any]:
        """A list of at most ``limit`` elements; empty where the field is absent."""
        if not self.has(field):
            return []
        value = self.values[field]
        if not isinstance(value, list):
            self.fail(field, f"{shown(value)} will not do; a list is needed")
        if len(value) > limit:
            self.fail(field, f"a list of {len(value)} is too long; at most {limit}")
        return value

    def per_layer(self, field: str, n_layers: int, *, at_least: bool = False) -> list[Any]:
        """A list with one element a layer (more are cut where ``at_least``); empty where the field is absent."""
        values = self.items(field)
        if values and (len(values) < n_layers or (len(values) > n_layers and not at_least)):
            self.fail(field, f"has {len(values)} elements, but there are {n_layers} layers; one a layer is needed")
        return values[:n_layers]

    def layer_names(self, field: str, n_layers: int, known: Mapping[str, str]) -> list[str]:
        """One name a layer, each of ``known`` and translated by it; empty where the field is absent."""
        names = []
        for i, value in enumerate(self.per_layer(field, n_layers)):
            if not isinstance(value, str) or value not in known:
                self.fail(f"{field}[{i}]", f"{shown(value)} is not known; one of {', '.join(sorted(known))} is needed")
            names.append(known[value])
        return names

    def layer_flags(self, field: str, n_layers: int) -> list[bool]:
        """One yes or no a layer, written 0 and 1 or false and true; empty where the field is absent."""
        flags = []
        for i, value in enumerate(self.per_layer(field, n_layers)):
            if value not in (0, 1) or not isinstance(value, int):
                self.fail(f"{field}[{i}]", f"{shown(value)} will not do; 0 or 1 is needed")
            flags.append(bool(value))
        return flags
