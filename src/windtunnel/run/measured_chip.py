"""A measured device as a chip: a TOML file in the catalogue's own layout, every figure with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from windtunnel.catalog.store import name_key
from windtunnel.errors import InvalidInputError
from windtunnel.run.devices import Device


@dataclass(frozen=True, slots=True)
class DeviceFigures:
    """What was measured of the device as a whole, in SI units; None where it could not be.

    peaks: the fastest operator's FLOP/s by number type; launch_s: the host's time for launching one tiny operator without
    waiting for it; to_device, to_host: bytes/s of copies from and to pinned memory of the host.
    """

    peaks: Mapping[str, float]
    memory_bytes_per_s: float | None
    launch_s: float | None
    to_device_bytes_per_s: float | None = None
    to_host_bytes_per_s: float | None = None


def chip_id(on: Device, file: Path) -> str:
    """An id that no chip of the catalogue has: the file's name, ``measured`` before it."""
    return f"measured-{name_key(file.stem) or on.kind}"


def chip_toml(on: Device, found: DeviceFigures, source: str, file: Path) -> str:
    """The text of the chip's file. The peaks are what operators reached, so that no estimate is above what was seen."""
    lines = [
        "# Written by `windtunnel measure`. Peaks are the fastest that any measured operator ran, not a maker's figure.",
        f"id = {_quoted(chip_id(on, file))}",
        f"name = {_quoted(on.name)}",
        f"device = {_quoted(on.kind)}",
        f"dtypes = [{', '.join(_quoted(dtype) for dtype in found.peaks)}]",
        "dtypes_complete = false",
        f"notes = [{', '.join(_quoted(note) for note in _notes(found))}]",
    ]
    for dtype, peak in found.peaks.items():
        lines += _fact(f"matrix_flops_per_s.{dtype}", peak, "flop/s", "measured", source, "the fastest product or convolution")
    if found.memory_bytes_per_s:
        note = "the fastest pass over more than the cache holds, bytes read and written"
        lines += _fact("memory_bytes_per_s", found.memory_bytes_per_s, "byte/s", "measured", source, note)
    told = "the operating system" if on.module is None else "the device's driver"
    for key, value in (("memory_bytes", on.memory()), ("l2_bytes", on.cache())):
        if value:
            lines += _fact(key, value, "byte", "reported", f"{told}, {source.partition(', ')[2]}")
    return "\n".join(lines) + "\n"


def _notes(found: DeviceFigures) -> list[str]:
    """What a chip's record has no field for."""
    notes = []
    if found.launch_s:
        notes.append(f"launching one tiny operator took the host {found.launch_s * 1e6:.3g} us")
    for way, speed in (("to the device", found.to_device_bytes_per_s), ("to the host", found.to_host_bytes_per_s)):
        if speed:
            notes.append(f"copies {way} ran at {speed / 1e9:.3g} GB/s")
    return notes


def _fact(key: str, value: float, unit: str, kind: str, source: str, note: str = "") -> list[str]:
    shown = str(value) if isinstance(value, int) else f"{value:.4e}"
    lines = [
        "",
        f"[{key}]",
        f"value = {shown}",
        f"unit = {_quoted(unit)}",
        f"kind = {_quoted(kind)}",
        f"source = {_quoted(source)}",
    ]
    return [*lines, f"note = {_quoted(note)}"] if note else lines


def _quoted(text: str) -> str:
    flat = "".join(c if c.isprintable() else " " for c in text)
    return '"' + flat.replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_chip(file: Path, on: Device, found: DeviceFigures, source: str) -> None:
    """Writes the chip's file. Raises InvalidInputError where that cannot be."""
    try:
        file.write_text(chip_toml(on, found, source, file), encoding="utf-8")
    except OSError as problem:
        raise InvalidInputError(str(file), f"cannot be written: {problem.strerror}")
