"""Huawei Ascend: npu-smi's table, else the device nodes that the driver makes.

A 910C calls each of its two dies ``Ascend910``, as the 910A of 2019 calls itself; their memory tells them apart.

**Source:** ``npu-smi info -m`` as quoted in gpustack 0.7.1; the table of ``npu-smi info`` is recalled.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

from windtunnel.serve.doctor.found import Accelerator, Sighting, accelerator
from windtunnel.serve.doctor.machine import Machine
from windtunnel.serve.doctor.text import MIB, found, version_in

COMMAND = ("npu-smi", "info")
_NAME = re.compile(r"^\|\s*\d+\s+((?:Ascend\s?)?(?:\d{3}[A-Z]?\w*))\s*\|\s*\w+\s*\|", re.M)
"""First line of a device: its number and name, its health, power and temperature."""
_TOTAL = re.compile(r"/\s*(\d{3,7})\b")
_LARGE = 48 * 1024 * MIB


def look(machine: Machine) -> Sighting:
    ran = machine.run(COMMAND)
    devices: list[Accelerator] = []
    lines = ran.text.splitlines()
    for first, second in pairwise(lines):
        named = _NAME.match(first)
        if named and second.startswith("|"):
            totals = [int(total) * MIB for total in _TOTAL.findall(second)]
            devices.append(_device(named[1].replace(" ", ""), max(totals, default=None)))
    driver = version_in(ran.text, r"npu-smi\s+v?(\d[\w.]*)") or _driver(machine)
    told = found("ascend", "npu-smi", ran, devices, driver)
    if told.devices:
        return told
    nodes = [name for name in machine.entries("/dev") if re.fullmatch(r"davinci\d+", name)]
    seen = tuple(Accelerator("Ascend NPU") for _ in nodes)
    return replace(told, devices=seen, via="/dev/davinci*" if seen else "", driver=_driver(machine) if seen else "")


def _driver(machine: Machine) -> str:
    return version_in(machine.read("/usr/local/Ascend/driver/version.info"), r"(?im)^version\s*=\s*(\S+)")


def _device(name: str, memory: int | None) -> Accelerator:
    if name.lower() == "ascend910" and (memory is None or memory > _LARGE):
        named = accelerator("Ascend910_9392" if memory else "Ascend NPU", memory)
        return replace(named, name="Ascend910")
    return accelerator(re.sub(r"^(\D*310P)\d$", r"\1", name), memory)
