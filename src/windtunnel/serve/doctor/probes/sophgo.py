"""Sophgo: the device nodes of its driver; its bm-smi takes the whole screen and cannot be asked. **Source:** recalled."""

from __future__ import annotations

import re

from windtunnel.serve.doctor.found import Accelerator, Sighting
from windtunnel.serve.doctor.machine import Machine
from windtunnel.serve.doctor.text import version_in


def look(machine: Machine) -> Sighting:
    nodes = [name for name in machine.entries("/dev") if re.fullmatch(r"bm-sophon\d+", name)]
    driver = version_in(machine.read("/proc/bmsophon/driver_version"), r"(\d+\.\d+[\w.]*)")
    devices = tuple(Accelerator("Sophgo TPU") for _ in nodes)
    return Sighting("sophgo", devices, "/dev/bm-sophon*" if nodes else "", driver if nodes else "")
