"""Google's TPUs: their ids on the bus.

**Source:** tpu-info 0.7.1, its table of PCI device ids; the variable that TPU VMs set is recalled.
"""

from __future__ import annotations

from windtunnel.serve.doctor.found import Sighting, accelerator
from windtunnel.serve.doctor.machine import Machine
from windtunnel.serve.doctor.pci import on_the_bus
from windtunnel.serve.doctor.text import version_in

NAMES = {"0x005e": "TPU v4", "0x0063": "TPU v5e", "0x0062": "TPU v5p", "0x006f": "TPU v6e", "0x0076": "TPU7x"}
MOST = 64


def look(machine: Machine) -> Sighting:
    ids = [card.device for card in on_the_bus(machine) if card.stack == "tpu"]
    if ids:
        return Sighting("tpu", tuple(accelerator(NAMES.get(one, "TPU")) for one in ids), "PCI ids")
    kind = version_in(machine.env("TPU_ACCELERATOR_TYPE"), r"^(v\d\w*)-\d{1,4}$").replace("litepod", "e")
    nodes = [name for name in machine.entries("/dev") if name.startswith("accel") and name[5:].isdecimal()]
    if kind and nodes:
        return Sighting("tpu", tuple(accelerator(f"TPU {kind}") for _ in nodes[:MOST]), "TPU_ACCELERATOR_TYPE, /dev/accel*")
    return Sighting("tpu")
