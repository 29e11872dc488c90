"""What a program may set or read of the libraries under PyTorch: ``torch.backends``, ``torch.version``, NVTX."""

from __future__ import annotations

from typing import Any

import torch
from torch.backends import ContextProp

from windtunnel.run.surface.state import DeviceState
from windtunnel.workload.program.device import VirtualDevice

CUDA_VERSION = "13.0"
"""What ``torch.version.cuda`` tells on a virtual CUDA chip. A stand-in: a wheel for the CPU has none."""

HIP_VERSION = "7.1"
"""What ``torch.version.hip`` tells on a virtual chip of AMD. A stand-in likewise."""

_TF32 = ("_set_cublas_allow_tf32", "_set_cudnn_allow_tf32", "_set_float32_matmul_precision", "_set_fp32_precision_setter")


def _tf32(kind: str) -> bool:
    """Whether FP32 operands of that kind of product may be rounded to TF32."""
    return bool(torch._C._get_fp32_precision_getter("cuda", kind) == "tf32")


class _Ranges:
    """NVTX without a profiler that would see it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_: 0


class _Runtime:
    """``torch.cuda.cudart()``: what programs use to start and stop a profiler."""

    class cudaError:  # noqa: N801 - CUDA's name
        success = 0

    def cudaProfilerStart(self) -> int:  # noqa: N802
        return 0

    def cudaProfilerStop(self) -> int:  # noqa: N802
        return 0

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a virtual device has no CUDA runtime to call {name} of")


def install_settings(device: VirtualDevice, state: DeviceState) -> None:
    """Put them in place until ``device`` is left."""
    pricing = state.machine.pricing

    def follow(setter: Any) -> Any:
        def set_and_tell(*args: Any) -> Any:
            result = setter(*args)
            found = _tf32("matmul"), _tf32("conv")
            if found != (pricing.allow_tf32, pricing.allow_tf32_convolutions):
                pricing.allow_tf32, pricing.allow_tf32_convolutions = found
                device.recorder._plans.clear()  # they remember prices
            return result

        return set_and_tell

    pricing.allow_tf32, pricing.allow_tf32_convolutions = _tf32("matmul"), _tf32("conv")
    for name in _TF32:
        if hasattr(torch._C, name):
            device.patch(torch._C, name, follow(getattr(torch._C, name)))
    for setting in vars(type(torch.backends.cudnn)).values():
        if isinstance(setting, ContextProp):  # it keeps the function that it found when PyTorch was imported
            device.patch(setting, "setter", follow(setting.setter))
    if state.name != "cuda":
        return
    if state.machine.chip.vendor in ("AMD", "Hygon"):
        device.patch(torch.version, "hip", HIP_VERSION)
    else:
        device.patch(torch.version, "cuda", CUDA_VERSION)
        device.patch(torch.backends.cudnn, "is_available", lambda: True)
        kinds = torch.backends.cudnn.CUDNN_TENSOR_DTYPES
        device.patch(torch.backends.cudnn, "is_acceptable", lambda tensor: tensor.is_cuda and tensor.dtype in kinds)
    device.patch(torch.backends.cuda, "is_built", lambda: True)
    device.patch(torch.cuda.nvtx, "_nvtx", _Ranges())
    device.patch(torch.cuda, "cudart", _Runtime)
    for name in ("start", "stop"):
        device.patch(torch.cuda.profiler, name, lambda: None)
