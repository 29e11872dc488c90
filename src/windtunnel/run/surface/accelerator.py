"""What PyTorch answers without naming a device: ``torch.accelerator``, ``torch.Stream``, ``torch.Event``, ``torch.Generator``."""

from __future__ import annotations

from typing import Any

import torch

from windtunnel.run.surface.state import DeviceState
from windtunnel.workload.program.device import VirtualDevice

_SAME = (
    "device_count", "is_available", "current_stream", "set_stream", "synchronize", "empty_cache", "memory_stats",
    "memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved", "reset_peak_memory_stats",
    "reset_accumulated_memory_stats", "get_memory_info", "Graph",
)  # fmt: skip
"""Functions of ``torch.accelerator`` that the device's module has under the same name."""


def install_accelerator(device: VirtualDevice, state: DeviceState, found: dict[str, Any]) -> None:
    """Put them in place until ``device`` is left."""
    accelerator = torch.accelerator

    def current_accelerator(check_available: bool = False) -> torch.device:
        return torch.device(state.name)

    def get_device_capability(device: Any = None) -> dict[str, Any]:
        state.index(device)
        names = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        types = {dtype for name, dtype in names.items() if name in state.machine.chip.dtypes}
        return {"supported_dtypes": types | {torch.int8, torch.uint8, torch.int32, torch.int64, torch.bool}}

    class device_index:  # noqa: N801 - PyTorch's name
        def __init__(self, device: int | None) -> None:
            self._context = found["device"](device)

        def __enter__(self) -> None:
            self._context.__enter__()

        def __exit__(self, *problem: object) -> None:
            self._context.__exit__(*problem)

    given = {name: found[name] for name in _SAME}
    given |= {
        "current_accelerator": current_accelerator, "get_device_capability": get_device_capability, "device_index": device_index,
        "current_device_index": found["current_device"], "current_device_idx": found["current_device"],
        "set_device_index": found["set_device"], "set_device_idx": found["set_device"], "empty_host_cache": lambda: None,
    }  # fmt: skip
    for name, answer in given.items():
        device.patch(accelerator, name, answer)
        if hasattr(accelerator.memory, name):
            device.patch(accelerator.memory, name, answer)
    for name, answer in {
        "_accelerator_getAccelerator": lambda: torch.device(state.name),
        "_get_accelerator": lambda check=None: torch.device(state.name),
        "_accelerator_getDeviceIndex": found["current_device"],
        "_accelerator_setDeviceIndex": found["set_device"],
        "_accelerator_exchangeDevice": found["_exchange_device"],
        "_accelerator_maybeExchangeDevice": found["_exchange_device"],
        "_accelerator_getStream": found["current_stream"],
        "_accelerator_setStream": found["set_stream"],
        "_accelerator_synchronizeDevice": found["synchronize"],
        "_accelerator_emptyCache": found["empty_cache"],
    }.items():
        device.patch(torch._C, name, answer)
    if hasattr(torch.get_device_module, "__wrapped__"):  # it remembers answers
        device.patch(torch, "get_device_module", torch.get_device_module.__wrapped__)
    device.patch(torch, "Stream", found["Stream"])
    device.patch(torch, "Event", found["_Event"])
    device.patch(torch, "Generator", found["_Generator"])
