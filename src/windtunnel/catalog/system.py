"""Systems: servers, racks and pods, and the links between the chips in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from windtunnel.catalog.chip import Chip, Topology
from windtunnel.catalog.chip import chip as chip_named
from windtunnel.catalog.fact import Fact
from windtunnel.catalog.store import ID, Shelf, Table
from windtunnel.errors import MissingFactError, nearest

FIGURES: Mapping[str, tuple[str, str]] = {
    **{f"matrix_flops_per_s.{d}": ("flop/s", f"all chips together, {d}, dense, as printed") for d in ("bf16", "fp8", "fp4")},
    "memory_bytes": ("byte", "device memory of all chips"),
    "memory_bytes_per_s": ("byte/s", "memory bandwidth of all chips"),
    "scaleup_chips": ("count", "chips in one scale-up domain"),
    "scaleup_bytes_per_s": ("byte/s", "scale-up links of a chip, one direction"),
    "scaleup_latency_s": ("s", "latency over the scale-up links"),
    "mesh_links": ("count", "peers that share the scale-up bandwidth in a full mesh"),
    "scaleout_bytes_per_s": ("byte/s", "network per chip, one direction"),
    "scaleout_chips": ("count", "chips that a source describes its network to join"),
    "racks": ("count", "racks"),
    "power_w": ("W", "power, hosts and network included"),
    "price_usd": ("USD", "price of the whole"),
}
"""Every figure that a system may have: its unit and what it is."""

shelf = Shelf("systems", "system")


@dataclass(frozen=True, slots=True)
class System:
    """A server, rack or pod of equal chips.

    chip: catalogue id of its chip; chips: how many; nodes: hosts, 0 when not known. topology: how a scale-up domain is
    wired, as for chips, empty when not known, ``wiring`` the same in words; scaleout: the network's kind. figures: by
    the keys of FIGURES; what is printed of all chips together may differ from the chip's record times their number.
    """

    id: str
    name: str
    vendor: str
    chip: str
    chips: int
    figures: Mapping[str, Fact]
    aliases: tuple[str, ...] = ()
    nodes: int = 0
    status: str = ""
    topology: Topology | Literal[""] = ""
    wiring: str = ""
    scaleout: str = ""
    notes: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.id)

    def has(self, key: str) -> bool:
        """Whether a source gives this figure of the system itself."""
        return key in self.figures

    def figure(self, key: str) -> Fact:
        """The sourced number behind a key of FIGURES. Raises MissingFactError."""
        fact = self.figures.get(key)
        if fact is None:
            close = nearest(key, self.figures, limit=2)
            raise MissingFactError(self.id, key, f"nearest that is known: {', '.join(close)}" if close else "")
        return fact

    def value(self, key: str) -> float:
        """The number of a figure, in SI units. Raises MissingFactError."""
        return self.figure(key).value

    def its_chip(self) -> Chip:
        """The record of the chip that it is made of."""
        return chip_named(self.chip)


def parse_system(table: Table) -> System:
    """A system from its record. Raises InvalidInputError that names the field."""
    texts = ("vendor", "status", "wiring", "scaleout")
    head = ("id", "name", "chip", "chips", "aliases", "nodes", "topology", "notes", *texts)
    table.only((*head, *{key.partition(".")[0] for key in FIGURES}))
    figures: dict[str, Fact] = {}
    for key, (unit, _) in FIGURES.items():
        group, _, dtype = key.partition(".")
        if dtype and group in table.fields:
            parts = table.table(group)
            parts.only(("bf16", "fp8", "fp4"))
            if dtype in parts.fields:
                figures[key] = parts.table(dtype).fact((unit,))
        elif group in table.fields:
            figures[key] = table.table(group).fact((unit,))
    name = table.text("id")
    if not ID.match(name):
        raise table.fail("id", f"'{name}' should be lower-case letters and digits with hyphens between")
    topology = table.text("topology", "", choices=get_args(Topology))
    return System(
        id=name,
        name=table.text("name", name),
        chip=table.text("chip"),
        chips=table.count("chips"),
        figures=figures,
        aliases=table.texts("aliases"),
        nodes=table.count("nodes", 0, low=0),
        topology=next((t for t in get_args(Topology) if t == topology), ""),
        notes=table.texts("notes"),
        **{key: table.text(key, "") for key in texts},
    )


@cache
def _load(record: str) -> System:
    return shelf.load(record, parse_system)


def system(name: str) -> System:
    """The system of that name or alias. Raises UnknownNameError with the nearest names."""
    return _load(shelf.resolve(name))


def systems() -> tuple[System, ...]:
    """Every system of the catalogue, by maker and id."""
    return tuple(sorted((_load(record) for record in shelf.ids()), key=lambda s: (s.vendor, s.id)))
