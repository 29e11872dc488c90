"""Reads what tools print: rows of CSV, and tables whose layout changes from release to release. Garbage gives nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from windtunnel.serve.doctor.found import Accelerator, Sighting, accelerator
from windtunnel.serve.doctor.machine import Machine, Ran

MIB = 2**20
MOST_DEVICES = 1024
"""No machine has as many; what reads as more is no list of devices."""

_UNITS = {"": MIB, "B": 1, "KIB": 2**10, "KB": 2**10, "MIB": MIB, "MB": MIB, "GIB": 2**30, "GB": 2**30}
_SIZE = re.compile(r"^\s*(\d{1,15}(?:\.\d{1,6})?)\s*([kKmMgG]?i?[bB]?)\s*$")


def size(text: str) -> int | None:
    """Bytes of ``81559``, ``81559 MiB`` or ``64 GB`` (binary, whatever tools call it); a bare number counts MiB."""
    found = _SIZE.match(text)
    unit = _UNITS.get(found[2].upper()) if found else None
    return int(float(found[1]) * unit) if found and unit else None


def version_in(text: str, pattern: str) -> str:
    """The first group of ``pattern`` in a text, "" where it is not there."""
    found = re.search(pattern, text)
    return found[1].strip()[:40] if found else ""


def loaded(text: str) -> Any:
    """The JSON of a text, whatever stands before it; None where it holds none."""
    start = min((i for i in (text.find("{"), text.find("[")) if i >= 0), default=-1)
    if start < 0:
        return None
    try:
        return json.JSONDecoder().raw_decode(text[start:])[0]
    except (ValueError, RecursionError):
        return None


def trouble(tool: str, ran: Ran) -> str:
    """Why a tool told nothing, "" where it ran."""
    if ran.outcome == "no tool":
        return f"no tool: {tool} is not installed"
    if ran.outcome == "ok":
        return ""
    return f"{tool}: {ran.error}"[:200]


@dataclass(frozen=True, slots=True)
class Query:
    """A tool that takes nvidia-smi's questions, and answers in CSV: index, name, memory, driver version."""

    stack: str
    command: tuple[str, ...]

    def look(self, machine: Machine) -> Sighting:
        ran = machine.run(self.command)
        devices: list[Accelerator] = []
        driver = ""
        for line in ran.text.splitlines():
            cells = [cell.strip() for cell in line.split(",")]
            if len(cells) < 4 or not cells[0].isdecimal() or not cells[1]:
                continue
            devices.append(accelerator(cells[1], size(cells[2]), _capability(cells[4] if len(cells) > 4 else "")))
            driver = driver or version_in(cells[3], r"^v?(\d[\w.-]*)")
        return found(self.stack, self.command[0], ran, devices, driver)


@dataclass(frozen=True, slots=True)
class Screen:
    """A tool that prints a table or paragraphs. name: finds each device's name, in order; memory: each device's total;
    driver: the driver's version. Groups are the first of each pattern."""

    stack: str
    command: tuple[str, ...]
    name: str
    memory: str = ""
    driver: str = ""

    def look(self, machine: Machine) -> Sighting:
        ran = machine.run(self.command)
        names = [m[1].strip() for m in re.finditer(self.name, ran.text, re.M)]
        sizes = [size(m[1]) for m in re.finditer(self.memory, ran.text, re.M)] if self.memory else []
        paired: Sequence[int | None] = sizes if len(sizes) == len(names) else [None] * len(names)
        devices = [accelerator(name, memory) for name, memory in zip(names, paired, strict=True)]
        return found(self.stack, self.command[0], ran, devices, version_in(ran.text, self.driver) if self.driver else "")


def found(stack: str, tool: str, ran: Ran, devices: Sequence[Accelerator], driver: str) -> Sighting:
    """What a tool told; one that ran and told of no device says so."""
    if len(devices) > MOST_DEVICES:
        return Sighting(stack, trouble=f"{tool}: what it printed is no list of devices")
    said = trouble(tool, ran)
    if not devices and not said:
        said = f"{tool}: names no device"
    return Sighting(stack, tuple(devices), tool if devices else "", driver if devices else "", said)


def _capability(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d{1,2})\.(\d{1,2})", text)
    return (int(found[1]), int(found[2])) if found else None
