"""What a probe finds: devices of one kind, through which tool, and what was wrong with that tool."""

from __future__ import annotations

import re
from dataclasses import dataclass

from windtunnel.run.devices import chip_of


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One device. name: as its tool prints it; memory_bytes: None where not told; capability: Nvidia's, None elsewhere;
    chip: its id in the catalogue, "" where there is none."""

    name: str
    memory_bytes: int | None = None
    capability: tuple[int, int] | None = None
    chip: str = ""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The devices of one stack of software. stack: its id in the catalogue; via: what told; trouble: why it could not tell
    more; driver: version of the kernel driver, "" where not told."""

    stack: str
    devices: tuple[Accelerator, ...] = ()
    via: str = ""
    driver: str = ""
    trouble: str = ""


_MOUNT = re.compile(r"\s+(?:\(|OAM\b|VF\b).*$", re.I)
"""What AMD's tools print after a chip's name: how it is mounted, or that it is a part lent to a guest."""
_BIREN = re.compile(r"^Biren\s*(?=\d)", re.I)
"""Biren's tool writes out what its data sheets shorten."""
ALIKE = 0.15
"""Memory that a tool tells may differ from the record by so much: firmware and ECC keep some."""


def chip_id(name: str, memory_bytes: int | None = None) -> str:
    """The catalogue's chip of a device, by the name that it prints; "" where none fits, or its memory is another's."""
    for spelling in (name, _MOUNT.sub("", name), _BIREN.sub("BR", name)):
        found = chip_of(spelling[:200]) if spelling.strip() else None
        if found is None:
            continue
        record = found.value("memory_bytes") if found.has("memory_bytes") else None
        if record and memory_bytes and abs(memory_bytes / record - 1.0) > ALIKE:
            return ""
        return found.id
    return ""


def accelerator(name: str, memory_bytes: int | None = None, capability: tuple[int, int] | None = None) -> Accelerator:
    """A device with the catalogue's chip that it is."""
    name = " ".join(name.split())[:80]
    memory = memory_bytes if memory_bytes and 0 < memory_bytes < 2**50 else None
    return Accelerator(name, memory, capability, chip_id(name, memory))
