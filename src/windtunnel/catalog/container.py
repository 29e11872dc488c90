"""How containers reach accelerators: device nodes and mounts, the names of device plugins' resources, engines' images.

**Source:** data/containers.toml, row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.chip import shelf as chip_shelf
from windtunnel.catalog.driver import driver
from windtunnel.catalog.store import Table, parse_toml
from windtunnel.errors import MissingFactError

FILE = "containers.toml"
_WHO = ("vendor", "chips", "source", "recalled")
_CONTAINER = ("nodes", "mounts", "environment", "groups", "capabilities", "security")


@dataclass(frozen=True, slots=True)
class Access:
    """What a container is given to reach its devices.

    nodes: device nodes, ``{n}`` in those that are one device's own; mounts: files and folders of the server, read-only;
    environment: ``NAME=value``; groups, capabilities, security: as Docker takes them. reservation: the driver of a device
    reservation; runtime: the container runtime that brings the devices, and visible the variable that tells it which.
    renumbered: processes in the container count its devices from 0.
    """

    nodes: tuple[str, ...]
    mounts: tuple[str, ...]
    environment: tuple[str, ...]
    groups: tuple[str, ...]
    capabilities: tuple[str, ...]
    security: tuple[str, ...]
    reservation: str
    runtime: str
    visible: str
    renumbered: bool
    source: str
    recalled: bool

    def device_nodes(self, numbers: Iterable[int]) -> list[str]:
        """The nodes of the devices with these numbers, and those that all share."""
        chosen = list(numbers)
        return [node.replace("{n}", str(n)) for node in self.nodes for n in (chosen if "{n}" in node else chosen[:1])]


@dataclass(frozen=True, slots=True)
class PluginResource:
    """The name under which a device plugin offers the devices; label: a node's (key, value), where its maker writes one;
    mounts: folders of the server that a container needs besides."""

    name: str
    label: tuple[str, str] | None
    mounts: tuple[str, ...]
    source: str
    recalled: bool


@dataclass(frozen=True, slots=True)
class Image:
    """A container image that carries an engine."""

    name: str
    source: str
    recalled: bool


def access_of(chip: Chip) -> Access:
    """How a container reaches ``chip``. Raises MissingFactError where no source says."""
    row = _row("containers", chip)
    if row is None:
        raise MissingFactError(chip.name, "the device nodes in a container", f"known for {_vendors('containers')}")
    return Access(
        nodes=row.texts("nodes"),
        mounts=row.texts("mounts"),
        environment=row.texts("environment"),
        groups=row.texts("groups"),
        capabilities=row.texts("capabilities"),
        security=row.texts("security"),
        reservation=row.text("reservation", ""),
        runtime=row.text("runtime", ""),
        visible=row.text("visible", ""),
        renumbered=row.flag("renumbered", False),
        source=row.text("source"),
        recalled=row.flag("recalled", False),
    )


def resource_of(chip: Chip) -> PluginResource:
    """The Kubernetes resource of ``chip``. Raises MissingFactError where no source names one."""
    row = _row("resources", chip)
    if row is None:
        raise MissingFactError(chip.name, "the Kubernetes resource", f"known for {_vendors('resources')}")
    key, _, value = row.text("label", "").partition("=")
    if "{driver}" in value:
        told = driver(chip)
        value = told.name.replace(" ", "-") if told.source and not told.source.startswith(f"{chip.id}.toml") else ""
    return PluginResource(
        row.text("resource"),
        (key, value) if key and value else None,
        row.texts("mounts"),
        row.text("source"),
        row.flag("recalled", False),
    )


def image_of(chip: Chip, engine: str, version: str) -> Image | None:
    """The image that carries ``engine`` for ``chip``, None where no source names one."""
    row = _row("images", chip, engine)
    if row is None:
        return None
    return Image(row.text("image").replace("{version}", version), row.text("source"), row.flag("recalled", False))


def _row(kind: str, chip: Chip, engine: str = "") -> Table | None:
    for row in _rows()[kind]:
        named = row.texts("chips")
        if row.text("vendor") == chip.vendor and (not named or chip.id in named) and row.text("engine", "") == engine:
            return row
    return None


def _vendors(kind: str) -> str:
    return ", ".join(dict.fromkeys(row.text("vendor") for row in _rows()[kind]))


@cache
def _rows() -> Mapping[str, tuple[Table, ...]]:
    file = resources.files("windtunnel.catalog").joinpath("data", FILE)
    fields = {
        "containers": (*_WHO, *_CONTAINER, "reservation", "runtime", "visible", "renumbered"),
        "resources": (*_WHO, "resource", "label", "mounts"),
        "images": (*_WHO, "engine", "image"),
    }
    content = Table(FILE, parse_toml(file.read_text(encoding="utf-8"), FILE))
    content.only(fields)
    found: dict[str, tuple[Table, ...]] = {}
    for kind, known in fields.items():
        rows = content.fields[kind]
        assert isinstance(rows, list)
        found[kind] = tuple(Table(f"{FILE}, {kind}", row) for row in rows)
        for row in found[kind]:
            row.only(known)
            row.text("source")
            row.texts("chips", choices=chip_shelf.ids())
    return found
