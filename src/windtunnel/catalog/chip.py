"""Chips: what each accelerator can compute, hold and move, every figure with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from windtunnel.catalog.fact import Fact
from windtunnel.catalog.store import ID, Shelf, Table, name_key, read_toml_file
from windtunnel.errors import MissingFactError, UnsupportedError, nearest

Topology = Literal["switch", "clos", "mesh", "torus", "pcie", "none"]
"""How the chips of one scale-up domain are wired: through one layer of switches, several layers (clos), in pairs
(a full mesh), along a torus, over the host's PCIe alone, or not at all."""

DTYPES = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp6", "fp4", "int4")

FIGURES: Mapping[str, tuple[str, str]] = {
    **{f"matrix_flops_per_s.{d}": ("flop/s", f"matrix unit, {d}, dense, FP32 or INT32 accumulation") for d in DTYPES},
    **{f"vector_flops_per_s.{d}": ("flop/s", f"vector unit, {d}") for d in DTYPES},
    **{f"stated_flops_per_s.{d}": ("flop/s", f"whole chip, {d}, dense, as stated: all units, any accumulation") for d in DTYPES},
    "memory_bytes": ("byte", "device memory"),
    "memory_bytes_per_s": ("byte/s", "memory bandwidth"),
    "l2_bytes": ("byte", "last cache on the chip"),
    "scaleup_bytes_per_s": ("byte/s", "scale-up links, one direction, all of the chip's links"),
    "scaleup_chips": ("count", "chips in one scale-up domain"),
    "mesh_links": ("count", "peers that share the scale-up bandwidth in a full mesh"),
    "package_bytes_per_s": ("byte/s", "link to the other dies of the package, one direction"),
    "scaleout_bytes_per_s": ("byte/s", "network per chip, one direction"),
    "pcie_gen": ("count", "PCIe generation"),
    "tdp_w": ("W", "power limit"),
    "compute_dies": ("count", "dies that compute"),
    "die_area_m2": ("m2", "die area, all logic dies of FinFET or newer processes, caches included, HBM not"),
    "transistors": ("count", "transistors"),
}
"""Every figure that a chip may have: its unit and what it is."""

_TEXTS = (
    "launched",
    "status",
    "process",
    "foundry",
    "memory_type",
    "link",
    "form_factor",
    "device",
    "plugin",
    "comms_library",
    "software",
)
_NAMES = ("id", "name", "vendor", "aliases", "engines", "part_of", "notes")
_HEAD = (*_NAMES, *_TEXTS, "datacenter", "dtypes", "dtypes_complete", "devices", "topology")

shelf = Shelf("chips", "chip")


@dataclass(frozen=True, slots=True)
class Chip:
    """One accelerator as it is sold, or one die of it where PyTorch shows dies.

    figures: the sourced numbers, by the keys of FIGURES; what no source gives is absent. dtypes: what the chip can
    compute; where dtypes_complete is false there may be others. devices: how many devices PyTorch shows for one such
    chip, ``device`` the word for them; part_of: the package that this record is one device of. topology: how a
    scale-up domain is wired, empty when not known. engines: ids of serving engines, best supported first.
    """

    id: str
    name: str
    vendor: str
    dtypes: tuple[str, ...]
    figures: Mapping[str, Fact]
    aliases: tuple[str, ...] = ()
    launched: str = ""
    status: str = ""
    process: str = ""
    foundry: str = ""
    memory_type: str = ""
    link: str = ""
    form_factor: str = ""
    device: str = ""
    plugin: str = ""
    comms_library: str = ""
    software: str = ""
    datacenter: bool = True
    dtypes_complete: bool = True
    engines: tuple[str, ...] = ()
    devices: int = 1
    part_of: str = ""
    topology: Topology | Literal[""] = ""
    notes: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((self.id, self.name))

    def has(self, key: str) -> bool:
        """Whether a source gives this figure."""
        return key in self.figures

    def figure(self, key: str) -> Fact:
        """The sourced number behind a key of FIGURES. Raises MissingFactError with the nearest chips that have it."""
        fact = self.figures.get(key)
        if fact is None:
            raise MissingFactError(self.id, key, self._who_has(key))
        return fact

    def value(self, key: str) -> float:
        """The number of a figure, in SI units. Raises MissingFactError."""
        return self.figure(key).value

    def peak(self, dtype: str) -> Fact:
        """Dense matrix throughput in one type, with FP32 (or INT32) accumulation.

        Raises UnsupportedError when the chip cannot compute the type, MissingFactError when nobody published it.
        """
        if dtype not in self.dtypes and (self.dtypes_complete or dtype not in DTYPES):
            can = f"it can: {', '.join(self.dtypes)}" if self.dtypes else f"types are: {', '.join(DTYPES)}"
            raise UnsupportedError(f"{self.id} cannot compute {' '.join(dtype.split())[:40]}; {can}")
        return self.figure(f"matrix_flops_per_s.{dtype}")

    def _who_has(self, key: str) -> str:
        """Which chips of the same maker have a figure that this one lacks."""
        if key not in FIGURES:
            close = nearest(key, FIGURES, limit=1)
            return "no chip has such a figure" + (f"; did you mean {close[0]}?" if close else "")
        kin = [c.id for c in chips() if c.vendor == self.vendor and c.id != self.id and key in c.figures]
        alike = nearest(self.id, kin) or kin[:3]
        return f"known of {self.vendor}'s {', '.join(alike)}" if alike else f"no chip of {self.vendor} has it"


def _check(chip: Chip, table: Table) -> Chip:
    """The chip, when its fields agree with each other. Raises InvalidInputError."""
    if not ID.match(chip.id):
        raise table.fail("id", f"'{chip.id}' should be lower-case letters and digits with hyphens between")
    for key in chip.figures:
        group, _, dtype = key.partition(".")
        if group in ("matrix_flops_per_s", "stated_flops_per_s") and dtype not in chip.dtypes:
            raise table.fail(key, f"a peak in {dtype}, which dtypes does not list")
    if chip.topology == "mesh" and "mesh_links" not in chip.figures:
        raise table.fail("mesh_links", "missing; in a mesh two chips share only one link of the whole")
    return chip


def parse_chip(table: Table) -> Chip:
    """A chip from its record. Raises InvalidInputError that names the field."""
    table.only((*_HEAD, *{key.partition(".")[0] for key in FIGURES}))
    figures: dict[str, Fact] = {}
    for key, (unit, _) in FIGURES.items():
        group, _, dtype = key.partition(".")
        if group in table.fields:
            source = table.table(group)
            if dtype:
                source.only(DTYPES)
                if dtype in source.fields:
                    figures[key] = source.table(dtype).fact((unit,))
            else:
                figures[key] = source.fact((unit,))
    topology = table.text("topology", "", choices=get_args(Topology))
    name = table.text("id")
    return _check(
        Chip(
            id=name,
            name=table.text("name", name),
            vendor=table.text("vendor", "unknown maker"),
            dtypes=table.texts("dtypes", choices=DTYPES),
            figures=figures,
            aliases=table.texts("aliases"),
            **{key: table.text(key, "") for key in _TEXTS},
            datacenter=table.flag("datacenter", True),
            dtypes_complete=table.flag("dtypes_complete", True),
            engines=table.texts("engines"),
            devices=table.count("devices", 1),
            part_of=table.text("part_of", ""),
            topology=next((t for t in get_args(Topology) if t == topology), ""),
            notes=table.texts("notes"),
        ),
        table,
    )


@cache
def _load(record: str) -> Chip:
    return shelf.load(record, parse_chip)


def chip(name: str) -> Chip:
    """The chip of that name or alias, or the one that a user's own ``.toml`` file describes.

    Raises UnknownNameError with the nearest names, InvalidInputError for a malformed file.
    """
    return chip_from_toml(name) if name.lower().endswith(".toml") else _load(shelf.resolve(name))


def chips() -> tuple[Chip, ...]:
    """Every chip of the catalogue, by maker and id."""
    return tuple(sorted((_load(record) for record in shelf.ids()), key=lambda c: (c.vendor, c.id)))


def chip_from_toml(path: str) -> Chip:
    """A chip that a user describes in a TOML file of the catalogue's own format. Raises InvalidInputError."""
    table = Table(path, read_toml_file(path))
    for needed in ("id", "dtypes", "memory_bytes", "memory_bytes_per_s"):
        if needed not in table.fields:
            raise table.fail(needed, "missing; a chip needs at least id, dtypes, memory_bytes and memory_bytes_per_s")
    found = parse_chip(table)
    if name_key(found.id) in shelf.ids():
        raise table.fail("id", f"'{found.id}' is a chip of the catalogue already; choose another")
    return found
