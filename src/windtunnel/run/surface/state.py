"""Which devices a program sees, which of them is current, and how it names them."""

from __future__ import annotations

import os
from typing import Any

import torch

from windtunnel.catalog.chip import chip as chip_named
from windtunnel.catalog.driver import Driver, driver
from windtunnel.errors import UnsupportedError
from windtunnel.run.machine import Machine

CHIPS_A_HOST = 8
"""Packages that one host shows where the program was not told (``LOCAL_WORLD_SIZE``): what the usual server holds."""


class DeviceState:
    """The devices of one host as the program sees them: ``count`` of them under ``name``, of which ``current`` is set.

    names: every name by which the program may call them. generator: the device's default random numbers, kept on the CPU.
    forked: this process was forked from the one that has the device. values: real numbers are computed.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.name = machine.chip.device
        self.names = {self.name}
        self.driver: Driver = driver(machine.chip)
        self.count = _devices_of_a_host(machine)
        self.current = 0
        self.initialized = False
        self.forked = False
        self.values = False
        self.generator = torch.Generator(device="cpu")

    def initialize(self) -> None:
        """What the first use of a device does. Raises RuntimeError in a forked process, as there."""
        if self.forked:
            name = self.name.upper()
            raise RuntimeError(
                f"Cannot re-initialize {name} in forked subprocess. To use {name} with multiprocessing, you must use the 'spawn' "
                "start method"
            )
        self.initialized = True

    def index(self, device: Any = None) -> int:
        """The number of the device that ``device`` (a number, a name, a torch.device, None: the current one) means.

        Raises ValueError for another kind of device, torch.AcceleratorError for one that there is not, as there.
        """
        if device is None:
            return self.current
        if isinstance(device, str):
            device = torch.device(device)
        if isinstance(device, torch.device):
            if device.type not in self.names and device.type != torch._C._get_privateuse1_backend_name():
                raise ValueError(f"Expected a {self.name} device, but got: {device}")
            device = device.index
            if device is None:
                return self.current
        number = int(device)
        if number < 0:
            return self.current
        if number >= self.count:
            raise torch.AcceleratorError(f"{self.name.upper()} error: invalid device ordinal: {number} of {self.count}")
        return number

    def check(self, index: int) -> None:
        """Refuse a number that no device has, and a second device within one process, which one virtual chip cannot stand for."""
        if self.index(index) != self.current:
            raise UnsupportedError(
                f"{self.name}:{index} beside {self.name}:{self.current} in one process: a process runs on one virtual device; "
                "start one process a device (torchrun), or run on one"
            )

    def device(self, index: int | None = None) -> torch.device:
        """The device of that number under the program's name."""
        return torch.device(self.name, self.current if index is None else index)


def _devices_of_a_host(machine: Machine) -> int:
    told = os.environ.get("LOCAL_WORLD_SIZE", "")
    if told.isdecimal() and int(told):
        return min(int(told), machine.ranks)
    package = chip_named(machine.chip.part_of) if machine.chip.part_of else machine.chip
    return min(machine.ranks, CHIPS_A_HOST * max(package.devices, 1))
