"""The module of the device (``torch.cuda``, ``torch.npu`` ...): one set of answers under whichever name the chip has."""

from __future__ import annotations

import types
from typing import Any

import torch

from windtunnel.run.surface.graphs import graphs
from windtunnel.run.surface.memory import memory
from windtunnel.run.surface.properties import properties
from windtunnel.run.surface.randomness import randomness
from windtunnel.run.surface.state import DeviceState
from windtunnel.run.surface.streams import streams

_SENSORS = ("utilization", "memory_usage", "temperature", "power_draw", "clock_rate", "list_gpu_processes",
            "current_blas_handle", "current_solver_handle", "jiterator")  # fmt: skip
_PARTS = ("memory", "random", "streams", "graphs", "_utils")
_TYPES = {
    "FloatTensor": torch.float32, "DoubleTensor": torch.float64, "HalfTensor": torch.float16, "BFloat16Tensor": torch.bfloat16,
    "LongTensor": torch.int64, "IntTensor": torch.int32, "ShortTensor": torch.int16, "CharTensor": torch.int8,
    "ByteTensor": torch.uint8, "BoolTensor": torch.bool,
}  # fmt: skip


def answers(state: DeviceState) -> dict[str, Any]:
    """Everything that the device's module answers, by name; names with ``_`` before a class's are for ``torch`` itself."""
    flowing = streams(state)
    return {
        **{name: _refusing(state.name, name) for name in _SENSORS}, **properties(state), **flowing, **memory(state),
        **randomness(state), **graphs(state, flowing["Stream"]), **{name: _legacy(state, name) for name in _TYPES},
    }  # fmt: skip


class DeviceModule(types.ModuleType):
    """A module of the device where PyTorch has none of its own, with its submodules."""

    def __init__(self, name: str, found: dict[str, Any]) -> None:
        super().__init__(f"torch.{name}", f"The virtual {name} device.")
        self.__path__: list[str] = []
        self.__dict__.update(found)
        for part in (*_PARTS, "amp", "nvtx"):
            inner = types.ModuleType(f"torch.{name}.{part}")
            if part in _PARTS:
                inner.__dict__.update(found)
            self.__dict__.setdefault(part, inner)
        self.amp.__dict__.update(_amp(name))


def _amp(name: str) -> dict[str, Any]:
    """``torch.<device>.amp``: autocast and GradScaler for the device."""

    class autocast(torch.amp.autocast_mode.autocast):  # noqa: N801 - PyTorch's name
        def __init__(self, enabled: bool = True, dtype: Any = torch.float16, cache_enabled: bool = True) -> None:
            super().__init__(name, enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)

    class GradScaler(torch.amp.GradScaler):
        def __init__(self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
                     growth_interval: int = 2000, enabled: bool = True, **_: Any) -> None:  # fmt: skip
            super().__init__(name, init_scale, growth_factor, backoff_factor, growth_interval, enabled)

    return {"autocast": autocast, "GradScaler": GradScaler}


def _refusing(device: str, name: str) -> Any:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"torch.{device}.{name}: a virtual device has no driver or sensor to ask")

    return refuse


def _legacy(state: DeviceState, name: str) -> Any:
    """``torch.cuda.FloatTensor`` and its kin, which make a tensor of their type."""
    dtype = _TYPES[name]

    def make(*given: Any, device: Any = None) -> torch.Tensor:
        if not given or isinstance(given[0], int):
            return torch.empty(given or 0, dtype=dtype, device=state.name)
        if isinstance(given[0], torch.Size):
            return torch.empty(given[0], dtype=dtype, device=state.name)
        return torch.tensor(given[0], dtype=dtype, device=state.name)

    return make


PARTS = _PARTS
