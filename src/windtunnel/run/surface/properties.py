"""What a program may ask a device about itself: whether it is there, its name, its properties, what it computes."""

from __future__ import annotations

from typing import Any

import torch

from windtunnel.errors import MissingFactError
from windtunnel.run.surface.state import DeviceState

_BF16_SINCE = (8, 0)
_UNKNOWN = (
    "multi_processor_count", "max_threads_per_multi_processor", "max_threads_per_block", "regs_per_multiprocessor", "warp_size",
    "shared_memory_per_block", "shared_memory_per_block_optin", "shared_memory_per_multiprocessor", "L2_cache_size",
    "is_integrated", "is_multi_gpu_board", "uuid", "pci_bus_id", "pci_device_id", "pci_domain_id", "gcnArchName", "major",
    "minor", "clock_rate", "memory_clock_rate", "memory_bus_width", "cube_core_num", "vector_core_num",
)  # fmt: skip
"""Properties that real devices have and that are known of some chips or of none."""
_WARP_SIZE = {"Nvidia": 32}
"""Threads of a warp. **Source:** CUDA C++ Programming Guide."""


class DeviceProperties:
    """name, total_memory and what else the catalogue knows; asking for a property that it does not raises RuntimeError."""

    def __init__(self, state: DeviceState) -> None:
        chip, told = state.machine.chip, state.driver
        self.name = told.name
        self.total_memory = state.machine.capacity
        if told.capability is not None:
            self.major, self.minor = told.capability
        if told.multiprocessors is not None:
            self.multi_processor_count = told.multiprocessors
        if told.architecture:
            self.gcnArchName = told.architecture
        if chip.has("l2_bytes"):
            self.L2_cache_size = int(chip.value("l2_bytes"))
        if chip.vendor in _WARP_SIZE:
            self.warp_size = _WARP_SIZE[chip.vendor]
        self.__chip = chip.id

    def __getattr__(self, name: str) -> Any:
        if name in _UNKNOWN:
            raise RuntimeError(str(MissingFactError(self.__dict__["_DeviceProperties__chip"], name)))
        raise AttributeError(f"device properties have no attribute '{name}'")

    def __repr__(self) -> str:
        told = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_") and k != "total_memory")
        return f"DeviceProperties({told}, total_memory={self.total_memory // (1 << 20)}MB)"


def properties(state: DeviceState) -> dict[str, Any]:
    """The functions of ``torch.<device>`` that tell of the device, by name."""
    chip = state.machine.chip

    def is_available() -> bool:
        return True

    def is_initialized() -> bool:
        return state.initialized and not state.forked

    def init() -> None:
        state.initialize()

    def lazy_call(function: Any, **_: Any) -> None:
        function()

    def device_count() -> int:
        return state.count

    def current_device() -> int:
        state.initialize()
        return state.current

    def set_device(device: Any) -> None:
        state.initialize()
        state.current = state.index(device)

    def exchange_device(device: int) -> int:
        before = state.current
        if device >= 0:
            state.current = state.index(device)
        return before

    class device:  # noqa: N801 - PyTorch's name
        """Makes a device the current one while entered; None or a negative number changes nothing."""

        def __init__(self, device: Any) -> None:
            self.idx = state.index(device) if device is not None else -1
            self.prev_idx = -1

        def __enter__(self) -> None:
            self.prev_idx = exchange_device(self.idx)

        def __exit__(self, *_: object) -> None:
            exchange_device(self.prev_idx)

    class device_of(device):  # noqa: N801
        """Makes the device of a tensor the current one; tensors of the CPU change nothing."""

        def __init__(self, obj: Any) -> None:
            super().__init__(obj.device if obj.device.type == state.name else None)

    def get_device_name(device: Any = None) -> str:
        state.index(device)
        return state.driver.name

    def get_device_properties(device: Any = None) -> DeviceProperties:
        state.initialize()
        state.index(device)
        return DeviceProperties(state)

    def get_device_capability(device: Any = None) -> tuple[int, int] | None:
        state.index(device)
        if state.driver.capability is None and state.name == "cuda":
            raise RuntimeError(str(MissingFactError(chip.id, "compute capability")))
        return state.driver.capability

    def get_arch_list() -> list[str]:
        if state.driver.architecture:
            return [state.driver.architecture]
        return ["sm_{}{}".format(*state.driver.capability)] if state.driver.capability else []

    def get_gencode_flags() -> str:
        return " ".join(f"-gencode compute=compute_{a[3:]},code={a}" for a in get_arch_list() if a.startswith("sm_"))

    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return "bf16" in chip.dtypes or (including_emulation and chip.vendor == "Nvidia")

    def is_tf32_supported() -> bool:
        return "tf32" in chip.dtypes

    def can_device_access_peer(device: Any, peer_device: Any) -> bool:
        return state.index(device) != state.index(peer_device) and (chip.has("scaleup_bytes_per_s") or chip.vendor != "Nvidia")

    def get_amp_supported_dtype() -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    return {
        "is_available": is_available, "is_initialized": is_initialized, "init": init, "_lazy_init": init, "_lazy_call": lazy_call,
        "_is_in_bad_fork": lambda: state.forked, "device_count": device_count,
        "current_device": current_device, "set_device": set_device, "_exchange_device": exchange_device,
        "_maybe_exchange_device": exchange_device, "device": device, "_DeviceGuard": device, "device_of": device_of,
        "_get_device": lambda device: state.device(state.index(device)),
        "_get_device_index": lambda device=None, optional=False, allow_cpu=False: state.index(device),
        "get_device_name": get_device_name, "get_device_properties": get_device_properties,
        "get_device_capability": get_device_capability, "get_arch_list": get_arch_list, "get_gencode_flags": get_gencode_flags,
        "is_bf16_supported": is_bf16_supported, "is_tf32_supported": is_tf32_supported,
        "can_device_access_peer": can_device_access_peer, "get_amp_supported_dtype": get_amp_supported_dtype,
        "has_half": True, "ipc_collect": lambda: None, "set_sync_debug_mode": lambda mode: None, "get_sync_debug_mode": lambda: 0,
    }  # fmt: skip
