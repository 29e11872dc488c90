"""What a program sees of the virtual chip beside its tensors: ``torch.cuda``, ``torch.npu`` and their likes."""

from __future__ import annotations

from typing import Any

import torch

from windtunnel.run.machine import Machine
from windtunnel.run.surface.accelerator import install_accelerator
from windtunnel.run.surface.module import PARTS, DeviceModule, answers
from windtunnel.run.surface.plugin import install_plugin
from windtunnel.run.surface.safetensors_files import install_safetensors
from windtunnel.run.surface.settings import install_settings
from windtunnel.run.surface.state import DeviceState
from windtunnel.run.surface.workers import install_workers
from windtunnel.workload.program.device import VirtualDevice
from windtunnel.workload.program.recorder import Special


class Surface:
    """The modules of one virtual chip. special: operators that need the machine; module: answers for ``torch.<device>``."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.state = DeviceState(machine)
        self.answers = answers(self.state)
        self.special: Special = {}
        self.module: Any = DeviceModule(self.state.name, self.answers)

    def install(self, device: VirtualDevice) -> None:
        """Put the modules in place until ``device`` is left."""
        name, state = self.state.name, self.state
        state.values = device.values
        device.recorder.generator = state.generator
        device.functions.check = state.check
        existing = getattr(torch, name, None)
        if existing is None:
            device.patch(torch, name, self.module)
        elif existing is not self.module:
            for owner in (existing, *(getattr(existing, part, None) for part in PARTS)):
                for word, answer in self.answers.items():
                    if owner is existing or hasattr(owner, word):
                        device.patch(owner, word, answer)
        install_accelerator(device, state, self.answers)
        install_settings(device, state)
        install_plugin(device, state, self.module, self.answers)
        install_workers(device, state)
        install_safetensors(device)
