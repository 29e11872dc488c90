"""A sweep's file: what all points share, lists whose product is run, and single points beside it."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.errors import InvalidInputError, UnknownNameError
from windtunnel.sweep.point import Kind, Point, Settings, Value, point

SECTIONS = ("base", "grid", "case")
MOST_POINTS = 1_000_000
MOST_BYTES = 16_000_000
OTHER_NAMES = {"chip": "on", "chips": "on", "rate": "requests-per-s", "rates": "requests-per-s", "qps": "requests-per-s"}
"""What people write for an option -> its name."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One list of the grid: what each of its choices sets, one option or several together."""

    name: str
    choices: tuple[Settings, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A file that was read and whose keys are options; what the values are worth, the command that takes them says."""

    path: Path
    kinds: Mapping[str, Kind]
    base: Settings
    axes: tuple[Axis, ...]
    cases: tuple[Settings, ...]

    @property
    def count(self) -> int:
        return math.prod(len(axis.choices) for axis in self.axes) * self._has_product + len(self.cases)

    @property
    def _has_product(self) -> bool:
        return bool(self.axes) or not self.cases

    @property
    def told(self) -> str:
        """``3 on x 2 tp x 5 requests-per-s + 2 cases``: how the points come about."""
        parts = [f"{len(axis.choices)} {axis.name}" for axis in self.axes]
        product = [" x ".join(parts)] if parts else []
        cases = [f"{len(self.cases)} case{'s' * (len(self.cases) > 1)}"] if self.cases else []
        return " + ".join([*product, *cases]) or "[base] alone"

    @property
    def varied(self) -> list[str]:
        """Options that are not the same for all points, in the order of the file."""
        names = [name for axis in self.axes for choice in axis.choices for name in choice]
        names += [name for case in self.cases for name in case]
        return list(dict.fromkeys(names))

    def points(self) -> Iterator[Point]:
        """The product, the last list fastest, then the cases. Raises InvalidInputError for a file that is not there."""
        folder = self.path.absolute().parent
        for number, settings in enumerate(self._settings(), 1):
            yield point(number, settings, self.kinds, folder)

    def _settings(self) -> Iterator[Settings]:
        if self._has_product:
            for chosen in itertools.product(*(axis.choices for axis in self.axes)):
                yield dict(itertools.chain(self.base.items(), *(choice.items() for choice in chosen)))
        for case in self.cases:
            yield {**self.base, **case}

    def values(self) -> Iterator[tuple[str, str, Value]]:
        """Every setting once: where it stands (``[grid]``), the option, the value."""
        for name, value in self.base.items():
            yield "[base]", name, value
        for axis in self.axes:
            for choice in axis.choices:
                for name, value in choice.items():
                    yield "[grid]", name, value
        for case in self.cases:
            for name, value in case.items():
                yield "[[case]]", name, value


def read_sweep(path: Path, kinds: Mapping[str, Kind]) -> Sweep:
    """The sweep of a TOML file. kinds: option -> what it takes.

    Raises InvalidInputError that names the file and the key, UnknownNameError with the nearest option.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidInputError(path.name, f"is larger than {MOST_BYTES / 1e6:.0f} MB; no sweep's file is")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(path.name, f"is not TOML: {error}")
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(path.name, f"cannot be read: {error}")
    read = _Reader(path.name, kinds)
    for section in content:
        if section not in SECTIONS:
            if _option(section) in kinds:
                raise InvalidInputError(path.name, f"'{section}' stands outside; write it under [base], [grid] or [[case]]")
            raise UnknownNameError(f"part of {path.name}", section, SECTIONS)
    base = read.settings(content.get("base", {}), "[base]")
    axes = read.axes(content.get("grid", {}), base)
    cases = content.get("case", [])
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        raise InvalidInputError(path.name, "a case is a table; write [[case]]")
    found = Sweep(path, kinds, base, axes, tuple(read.settings(case, "[[case]]") for case in cases))
    if not (base or axes or found.cases):
        raise InvalidInputError(path.name, "sets nothing; write [base] and [grid]")
    if found.count > MOST_POINTS:
        raise InvalidInputError(path.name, f"{found.told} = {found.count:,} points; at most {MOST_POINTS:,}")
    return found


def _option(key: str) -> str:
    return key.replace("_", "-")


@dataclass(frozen=True, slots=True)
class _Reader:
    """Tables of one file. Where something is wrong, it says in which."""

    file: str
    kinds: Mapping[str, Kind]

    def fail(self, place: str, key: str, problem: str) -> InvalidInputError:
        return InvalidInputError(f"{self.file}, {place} {key}", problem)

    def settings(self, table: Any, place: str) -> Settings:
        if not isinstance(table, dict):
            raise self.fail(place, "", "is a table of options")
        found: dict[str, Value] = {}
        for key, value in table.items():
            name = self.option(key, place)
            if name in found:
                raise self.fail(place, key, "is set twice")
            if isinstance(value, list):
                raise self.fail(place, key, f"is a list; lists belong in [grid]: {key} = [...]")
            found[name] = self.value(name, value, place)
        return found

    def option(self, key: str, place: str) -> str:
        name = _option(key)
        if name in self.kinds:
            return name
        if name in OTHER_NAMES:
            raise self.fail(place, key, f"is called {OTHER_NAMES[name]}, as with `windtunnel simulate`")
        raise UnknownNameError(f"option in {place} of {self.file}", key, self.kinds)

    def value(self, name: str, value: Any, place: str) -> Value:
        switch = self.kinds[name] == "switch"
        if switch and not isinstance(value, bool):
            raise self.fail(place, name, "is true or false")
        if not switch and isinstance(value, bool):
            raise self.fail(place, name, f"{str(value).lower()} is no value for it")
        if not isinstance(value, str | int | float):
            raise self.fail(place, name, "is a number or a text")
        if isinstance(value, str) and not value.isprintable():
            raise self.fail(place, name, "has characters that cannot be printed")
        return value

    def axes(self, table: Any, base: Settings) -> tuple[Axis, ...]:
        if not isinstance(table, dict):
            raise self.fail("[grid]", "", "is a table of lists")
        taken: dict[str, str] = dict.fromkeys(base, "[base]")
        axes = []
        for key, choices in table.items():
            axis = self.axis(key, choices)
            for name in dict.fromkeys(name for choice in axis.choices for name in choice):
                if name in taken:
                    raise self.fail("[grid]", key, f"sets {name}, which {taken[name]} sets too; leave one of them out")
                taken[name] = key
            axes.append(axis)
        return tuple(axes)

    def axis(self, key: str, choices: Any) -> Axis:
        tables = isinstance(choices, list) and bool(choices) and all(isinstance(choice, dict) for choice in choices)
        name = key if tables else self.option(key, "[grid]")
        if not isinstance(choices, list):
            raise self.fail("[grid]", key, f"is a list: {key} = [{_shown(choices)}]")
        if not choices:
            raise self.fail("[grid]", key, "is an empty list, so that nothing would be run")
        if tables:
            return Axis(name, tuple(self.settings(choice, f"[grid] {key}") for choice in choices))
        return Axis(name, tuple({name: self.value(name, choice, "[grid]")} for choice in choices))


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
