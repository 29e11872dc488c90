"""Kunlunxin: xpu_smi, by newer releases called xpu-smi as Intel's tool is; asked only where its driver made device nodes.

**Source:** recalled.
"""

from __future__ import annotations

import re

from windtunnel.serve.doctor.found import Accelerator, Sighting
from windtunnel.serve.doctor.machine import Machine
from windtunnel.serve.doctor.text import Screen

_ROW = r"^\|\s*\d+\s+((?:KUNLUN\s?)?[PR]\d{3}\w*)\b"
_TOTAL = r"/\s*(\d{4,7}\s*MiB)"
_DRIVER = r"Driver Version:?\s*(\d[\w.]*)"
TOOLS = tuple(Screen("kunlun", (name,), _ROW, _TOTAL, _DRIVER) for name in ("xpu_smi", "xpu-smi"))


def look(machine: Machine) -> Sighting:
    nodes = [name for name in machine.entries("/dev") if re.fullmatch(r"xpu\d+", name)]
    told = TOOLS[0].look(machine)
    if not told.devices and nodes:
        told = TOOLS[1].look(machine)
    if told.devices or not nodes:
        return told
    return Sighting("kunlun", tuple(Accelerator("Kunlun XPU") for _ in nodes), "/dev/xpu*", trouble=told.trouble)
