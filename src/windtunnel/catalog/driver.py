"""What a chip's driver tells a program of it: the name that it prints, its compute capability, its multiprocessors.

**Source:** data/drivers.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.chip import shelf as chip_shelf
from windtunnel.catalog.store import Table, parse_toml

_FIELDS = ("chip", "name", "capability", "architecture", "multiprocessors", "source")


@dataclass(frozen=True, slots=True)
class Driver:
    """What the driver tells. capability: (major, minor), architecture: a name for it ("gfx942"), multiprocessors: how many;
    None and "" where no source tells."""

    name: str
    capability: tuple[int, int] | None = None
    architecture: str = ""
    multiprocessors: int | None = None
    source: str = ""


def driver(chip: Chip) -> Driver:
    """What the driver of ``chip`` tells; where no record says what it prints, the chip's own name stands in."""
    found = _records().get(chip.id)
    return found or Driver(chip.name.removeprefix(f"{chip.vendor} "), source=f"{chip.id}.toml: the chip's name")


@cache
def _records() -> Mapping[str, Driver]:
    file = resources.files("windtunnel.catalog").joinpath("data", "drivers.toml")
    records: dict[str, Driver] = {}
    rows = parse_toml(file.read_text(encoding="utf-8"), "drivers.toml").get("drivers", [])
    assert isinstance(rows, list)
    for row in rows:
        table = Table("drivers.toml", row)
        table.only(_FIELDS)
        major, _, minor = table.text("capability", "").partition(".")
        count = table.count("multiprocessors") if "multiprocessors" in row else None
        for name in table.texts("chip", choices=chip_shelf.ids()):
            records[name] = Driver(
                table.text("name"), (int(major), int(minor)) if major else None, table.text("architecture", ""), count,
                table.text("source"),
            )  # fmt: skip
    return records
