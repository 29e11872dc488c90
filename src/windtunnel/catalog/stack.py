"""Stacks of software: for each maker's accelerators, which versions of driver, toolkit, PyTorch, plugin and engine go together.

A record says what is known; a version that no row names is not known, which is not the same as wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from windtunnel.catalog.store import ID, Shelf, Table
from windtunnel.catalog.version import clauses

shelf = Shelf("stacks", "stack")

ANY_BUILD = "any"


@dataclass(frozen=True, slots=True)
class Need:
    """What versions of a package ask for beyond their own metadata. toolkit, driver, python: as specifiers, "" where no
    source says; packages: name -> specifier."""

    package: str
    versions: str
    source: str
    toolkit: str = ""
    driver: str = ""
    python: str = ""
    packages: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Build:
    """What a build of PyTorch asks of driver and chip. versions: of its toolkit, as a specifier; capability: of the chip."""

    versions: str
    source: str
    driver: str = ""
    capability: str = ""


@dataclass(frozen=True, slots=True)
class Waiver:
    """A requirement in a package's metadata that does not count once the stack's plugin for vLLM is installed."""

    package: str
    packages: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Release:
    """Versions that go together and serve; install: the lines that put them there, in order. The rest as in Need."""

    engine: str
    install: tuple[str, ...]
    source: str
    toolkit: str = ""
    driver: str = ""
    python: str = ""
    capability: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable that engines are started with unless the user has set it. engines: packages that it is for,
    every one where there are none."""

    name: str
    value: str
    why: str
    source: str
    engines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stack:
    """One maker's software. device: PyTorch's word; builds: the kinds of PyTorch that drive it (``cuda``, ``rocm``, ``xpu``,
    ``cpu`` with a plugin, a vendor's label, or any); plugins: packages that bring PyTorch the device, platforms: those that
    bring it to vLLM; engines: packages that serve, best first; private: takes PyTorch's one place for an outside backend;
    visible: the variable that tells a process which devices it may use, "" where no source names one; toolkit_files: where
    the toolkit's version is written, and the pattern that finds it."""

    id: str
    name: str
    vendor: str
    device: str
    builds: tuple[str, ...]
    plugins: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    private: bool = False
    visible: str = ""
    visible_source: str = ""
    variables: tuple[Variable, ...] = ()
    toolkit: str = ""
    toolkit_env: tuple[str, ...] = ()
    toolkit_files: tuple[str, ...] = ()
    toolkit_pattern: str = ""
    needs: tuple[Need, ...] = ()
    torch: tuple[Build, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    releases: tuple[Release, ...] = ()
    notes: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def named(self) -> tuple[str, ...]:
        """Every package that the record names as part of the stack."""
        return tuple(dict.fromkeys((*self.plugins, *self.platforms, *self.engines, *(need.package for need in self.needs))))


_SPECS = ("toolkit", "driver", "python", "capability")


def _spec(table: Table, key: str) -> str:
    spec = table.text(key, "")
    if clauses(spec) is None:
        raise table.fail(key, f"'{spec}' is no specifier, as >=8.3,<9 is")
    return spec


def _need(table: Table) -> Need:
    table.only(("package", "versions", "source", "toolkit", "driver", "python", "packages"))
    others = table.table("packages")
    return Need(
        table.text("package"), _spec(table, "versions"), table.text("source"), _spec(table, "toolkit"), _spec(table, "driver"),
        _spec(table, "python"), {name: _spec(others, name) for name in others.fields},
    )  # fmt: skip


def _build(table: Table) -> Build:
    table.only(("versions", "source", "driver", "capability"))
    return Build(_spec(table, "versions"), table.text("source"), _spec(table, "driver"), _spec(table, "capability"))


def _waiver(table: Table) -> Waiver:
    table.only(("package", "packages", "source"))
    return Waiver(table.text("package"), table.texts("packages"), table.text("source"))


def _release(table: Table) -> Release:
    table.only(("engine", "install", "source", "system", *_SPECS))
    specs = {name: _spec(table, name) for name in _SPECS}
    return Release(table.text("engine"), table.texts("install"), table.text("source"), system=table.text("system", ""), **specs)


def _variable(table: Table) -> Variable:
    table.only(("name", "value", "why", "source", "engines"))
    return Variable(
        table.text("name"), table.text("value"), table.text("why"), table.text("source"), table.texts("engines")
    )  # fmt: skip


def parse_stack(table: Table) -> Stack:
    """A stack from its record. Raises InvalidInputError that names the field."""
    table.only((
        "id", "name", "vendor", "device", "builds", "plugins", "platforms", "engines", "private", "visible",
        "visible_source", "variables", "toolkit", "toolkit_env", "toolkit_files", "toolkit_pattern", "needs", "torch", "waivers",
        "releases", "notes",
    ))  # fmt: skip
    name = table.text("id")
    if not ID.match(name):
        raise table.fail("id", f"'{name}' should be lower-case letters and digits with hyphens between")
    pattern = table.text("toolkit_pattern", "")
    if re.compile(pattern).groups != (1 if pattern else 0):
        raise table.fail("toolkit_pattern", "should have one group, the version")
    return Stack(
        id=name,
        name=table.text("name"),
        vendor=table.text("vendor"),
        device=table.text("device"),
        builds=table.texts("builds"),
        plugins=table.texts("plugins"),
        platforms=table.texts("platforms"),
        engines=table.texts("engines"),
        private=table.flag("private", False),
        visible=table.text("visible", ""),
        visible_source=table.text("visible_source") if table.text("visible", "") else "",
        variables=tuple(_variable(row) for row in table.tables("variables")),
        toolkit=table.text("toolkit", ""),
        toolkit_env=table.texts("toolkit_env"),
        toolkit_files=table.texts("toolkit_files"),
        toolkit_pattern=pattern,
        needs=tuple(_need(row) for row in table.tables("needs")),
        torch=tuple(_build(row) for row in table.tables("torch")),
        waivers=tuple(_waiver(row) for row in table.tables("waivers")),
        releases=tuple(_release(row) for row in table.tables("releases")),
        notes=table.texts("notes"),
    )


@cache
def _load(record: str) -> Stack:
    return shelf.load(record, parse_stack)


def stack(name: str) -> Stack:
    """The stack of that id. Raises UnknownNameError with the nearest names."""
    return _load(shelf.resolve(name))


def stacks() -> tuple[Stack, ...]:
    """Every stack of the catalogue, by id."""
    return tuple(_load(record) for record in shelf.ids())
