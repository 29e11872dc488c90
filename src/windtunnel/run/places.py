"""What ``--on`` names: a chip or a system, and how many devices of it a program sees."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.catalog.chip import Chip, chip, chips
from windtunnel.catalog.system import System, system, systems
from windtunnel.cost.links import Links
from windtunnel.errors import InvalidInputError, UnknownNameError


@dataclass(frozen=True, slots=True)
class Place:
    """``ranks`` devices, each a ``chip`` (a die, where a package shows as several), over ``links``; name as the user gave it.

    server: devices in one host, 0 where that is not known.
    """

    name: str
    chip: Chip
    ranks: int
    links: Links
    server: int = 0


def place(text: str) -> Place:
    """``h20``, ``ascend-910c:8`` (eight packages: sixteen devices), ``cloudmatrix-384`` (all of it), ``h20:4``.

    A chip alone is one device. Raises UnknownNameError with the nearest, InvalidInputError for a count that is none.
    """
    name, _, count = text.strip().partition(":")
    if count and (not count.isdecimal() or not int(count)):
        raise InvalidInputError("--on", f"'{text}': after the colon comes a number of chips, as in {name}:8")
    whole = _system(name)
    package = chip(whole.chip) if whole is not None else chip(name)
    device = next((c for c in chips() if package.devices > 1 and c.part_of == package.id), package)
    if whole is not None and not count:
        packages = whole.chips
    else:
        packages = int(count or 1)
    ranks = packages * package.devices if (count or whole is not None) else 1
    links = Links.of(device, whole, package.devices if whole is not None else 1)
    return Place(text, device, ranks, links, _server(package, whole) * package.devices)


def _server(package: Chip, whole: System | None) -> int:
    """Packages in one host: the system's own, or what every server with that chip takes; 0 where no source tells."""
    if whole is not None and whole.nodes:
        return whole.chips // whole.nodes
    found = {s.chips for s in systems() if s.nodes == 1 and s.chip == package.id}
    return found.pop() if len(found) == 1 else 0


def _system(name: str) -> System | None:
    """The system of that name, None where there is none: it may be a chip's."""
    try:
        return system(name)
    except UnknownNameError:
        return None
