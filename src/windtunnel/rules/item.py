"""What may be asked about: a chip, a die of one, or a system, and the IC that decides of it."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.chip import chip as chip_named
from windtunnel.catalog.chip import shelf as chip_shelf
from windtunnel.catalog.system import System
from windtunnel.catalog.system import shelf as system_shelf
from windtunnel.catalog.system import system as system_named
from windtunnel.errors import UnknownNameError


@dataclass(frozen=True, slots=True)
class Item:
    """What was asked about and the IC that decides: a system's chip, a die's package."""

    name: str
    chip: Chip
    system: System | None = None


def item(name: str | Chip | System) -> Item:
    """The item of that name. Raises UnknownNameError with the nearest chips and systems."""
    if isinstance(name, System):
        return Item(name.id, _whole(name.its_chip()), name)
    if isinstance(name, Chip):
        return Item(name.id, _whole(name))
    try:
        return item(chip_named(name))
    except UnknownNameError:
        pass
    try:
        return item(system_named(name))
    except UnknownNameError:
        known = [*chip_shelf.ids(), *chip_shelf.aliases(), *system_shelf.ids(), *system_shelf.aliases()]
        raise UnknownNameError("chip or system", name, known) from None


def _whole(chip: Chip) -> Chip:
    """The package that a die is sold in: rules ask of the IC as it is exported."""
    return chip_named(chip.part_of) if chip.part_of else chip
