"""What a program sees of the virtual chip beside its tensors: ``torch.cuda``, ``torch.npu`` and their likes."""

from __future__ import annotations

from typing import Any

from windtunnel.run.machine import Machine
from windtunnel.workload.program.device import VirtualDevice
from windtunnel.workload.program.recorder import Special


class Surface:
    """The modules of one virtual chip. special: operators that need the machine; module: answers for ``torch.<device>``."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.special: Special = {}
        self.module: Any = None

    def install(self, device: VirtualDevice) -> None:
        """Put the modules in place until ``device`` is left."""
