"""Hygon's DCUs: hy-smi, or the rocm-smi that its toolkit brings.

**Source:** a Z100L's output quoted in gpustack 0.7.1; that hy-smi takes the same options is recalled.
"""

from __future__ import annotations

from windtunnel.serve.doctor.found import Sighting
from windtunnel.serve.doctor.machine import Machine
from windtunnel.serve.doctor.probes.amd import COMMAND, cards
from windtunnel.serve.doctor.text import found


def look(machine: Machine) -> Sighting:
    for tool in ("hy-smi", "rocm-smi"):
        ran = machine.run((tool, *COMMAND[1:]))
        devices, driver = cards(ran, hygon=True)
        if devices or (tool == "hy-smi" and ran.outcome not in ("no tool", "ok")):
            return found("dcu", tool, ran, devices, driver)
    return Sighting("dcu", trouble="no tool: hy-smi is not installed")
