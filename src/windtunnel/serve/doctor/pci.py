"""The floor that needs no tool: which makers' accelerators sit on PCI Express.

**Source:** pci.ids of 2023-04-11 for makers' ids; those marked recalled are not in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.serve.doctor.machine import Machine
from windtunnel.serve.doctor.text import version_in

DISPLAY, ACCELERATOR, COPROCESSOR = "0x03", "0x12", "0x0b40"
"""Beginnings of PCI classes: display controllers, processing accelerators, co-processors (PCI Code and ID Assignment)."""


@dataclass(frozen=True, slots=True)
class Maker:
    """A maker's 16-bit id. classes: of its accelerators; devices: ids instead, where classes do not tell them apart."""

    vendor: str
    stack: str
    classes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()


MAKERS = (
    Maker("0x10de", "cuda", (DISPLAY,)),
    Maker("0x1002", "rocm", (DISPLAY, ACCELERATOR)),
    Maker("0x8086", "xpu", (DISPLAY,)),
    Maker("0x1da3", "gaudi", (ACCELERATOR,)),
    Maker("0x19e5", "ascend", (ACCELERATOR,)),  # its display controllers are servers' consoles
    Maker("0xcabc", "mlu", (ACCELERATOR, DISPLAY)),  # recalled
    Maker("0x1ed5", "musa", (DISPLAY, ACCELERATOR)),
    Maker("0x9999", "metax", (DISPLAY, ACCELERATOR)),  # recalled
    Maker("0x1e3e", "iluvatar", (DISPLAY, ACCELERATOR)),  # recalled
    Maker("0x1d94", "dcu", (DISPLAY, ACCELERATOR, COPROCESSOR)),
    Maker("0x1ee0", "biren", (DISPLAY, ACCELERATOR)),  # recalled
    Maker("0x1d22", "kunlun", (ACCELERATOR, DISPLAY)),
    Maker("0x1e36", "enflame", (ACCELERATOR, DISPLAY)),
    Maker("0x1ded", "t-head", (DISPLAY, ACCELERATOR)),  # the maker's id; that its PPUs bear it is recalled
    Maker("0x1ae0", "tpu", devices=("0x0027", "0x005e", "0x0063", "0x0062", "0x006f", "0x0076")),  # tpu-info 0.7.1
    Maker("0x1d0f", "neuron", devices=("0x7064", "0x7164", "0x7264", "0x7364")),  # the last, Trainium2, recalled
)
INTEGRATED = "0000:00:02.0"
"""Where Intel's processors have their own graphics, which nobody serves on."""
FOLDER = "/sys/bus/pci/devices"
MOST_READ = 4096


@dataclass(frozen=True, slots=True)
class Card:
    """One accelerator on the bus. device: its 16-bit id, driver: the kernel's driver that holds it, "" where none does."""

    stack: str
    device: str
    driver: str


IDLE = ("", "vfio-pci", "pci-stub", "nouveau")
"""Drivers under which nothing computes: none, one that lends the card to a guest, one for the screen alone."""


def on_the_bus(machine: Machine) -> tuple[Card, ...]:
    """The accelerators on the bus. What cannot be read is not there."""
    found = []
    for address in machine.entries(FOLDER)[:MOST_READ]:
        vendor = machine.read(f"{FOLDER}/{address}/vendor").strip().lower()
        maker = next((m for m in MAKERS if m.vendor == vendor), None)
        if maker is None or address == INTEGRATED:
            continue
        device = machine.read(f"{FOLDER}/{address}/device").strip().lower()
        kind = machine.read(f"{FOLDER}/{address}/class").strip().lower()
        if device in maker.devices or any(kind.startswith(one) for one in maker.classes):
            driver = version_in(machine.read(f"{FOLDER}/{address}/uevent"), r"(?m)^DRIVER=(\S+)")
            found.append(Card(maker.stack, device, driver))
    return tuple(found)
