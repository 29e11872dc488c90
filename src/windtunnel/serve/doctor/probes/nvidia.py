"""Nvidia: nvidia-smi, else what the driver says under /proc.

**Source:** nvidia-smi's own help (``--help-query-gpu``), recalled.
"""

from __future__ import annotations

from dataclasses import replace

from windtunnel.serve.doctor.found import Sighting, accelerator
from windtunnel.serve.doctor.machine import Machine
from windtunnel.serve.doctor.text import Query, version_in

FIELDS = "index,name,memory.total,driver_version,compute_cap"
TOOL = Query("cuda", ("nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits"))
PROC = "/proc/driver/nvidia"


def look(machine: Machine) -> Sighting:
    told = TOOL.look(machine)
    if told.devices:
        return told
    driver = version_in(machine.read(f"{PROC}/version"), r"Kernel Module(?: for \S+)?\s+(\d[\d.]+)")
    models = [version_in(machine.read(f"{PROC}/gpus/{gpu}/information"), r"(?m)^Model:\s*(.+)$")
              for gpu in machine.entries(f"{PROC}/gpus")]  # fmt: skip
    devices = tuple(accelerator(model) for model in models if model)
    return replace(told, devices=devices, driver=driver, via=PROC if devices else "")
