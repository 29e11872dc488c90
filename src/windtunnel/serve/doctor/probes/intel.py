"""Intel's GPUs: xpu-smi in JSON. Kunlunxin has a tool of the same name, whose answers name no Intel device.

**Source:** recalled from Intel XPU Manager's command-line guide.
"""

from __future__ import annotations

from windtunnel.serve.doctor.found import Accelerator, Sighting, accelerator
from windtunnel.serve.doctor.machine import Machine
from windtunnel.serve.doctor.text import found, loaded

COMMAND = ("xpu-smi", "discovery", "-j")


def look(machine: Machine) -> Sighting:
    ran = machine.run(COMMAND)
    told = loaded(ran.text)
    rows = told.get("device_list") if isinstance(told, dict) else None
    devices: list[Accelerator] = []
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and "intel" in str(row.get("vendor_name", "")).lower():
            memory = str(row.get("memory_physical_size_byte", ""))
            devices.append(accelerator(str(row.get("device_name", "")), int(memory) if memory.isdecimal() else None))
    driver = machine.read("/sys/module/xe/version").strip() or machine.read("/sys/module/i915/version").strip()
    return found("xpu", "xpu-smi", ran, devices, driver[:40])
