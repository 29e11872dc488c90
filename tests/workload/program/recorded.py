"""Calls as PyTorch's dispatcher makes them, recorded from real, meta or fake tensors for tests."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from windtunnel.workload.program.call import Call, TensorSpec

DTYPES = {
    torch.float64: "fp64", torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16", torch.float8_e4m3fn: "fp8",
    torch.float8_e5m2: "fp8", torch.int64: "int64", torch.int32: "int32", torch.int16: "int16", torch.int8: "int8",
    torch.uint8: "uint8", torch.bool: "bool", torch.complex64: "complex64", torch.complex128: "complex128",
    torch.complex32: "complex32",
}  # fmt: skip


def spec(tensor: torch.Tensor) -> TensorSpec:
    return TensorSpec(tuple(map(int, tensor.shape)), DTYPES[tensor.dtype], tuple(map(int, tensor.stride())))


def plain(value: Any) -> Any:
    """An argument as a Call holds it."""
    if isinstance(value, torch.Tensor):
        return spec(value)
    if isinstance(value, (list, tuple)):
        return tuple(map(plain, value))
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for v in value for t in tensors(v)] if isinstance(value, (list, tuple)) else []


def call_of(func: Any, args: Any, kwargs: Any, made: Any) -> Call:
    return Call(
        str(func),
        tuple(map(plain, args)),
        tuple((key, plain(value)) for key, value in kwargs.items()),
        tuple(map(spec, tensors(made))),
    )


class Recorder(TorchDispatchMode):
    """Every dispatcher call within it, in order, as ``calls``."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.calls.append(call_of(func, args, kwargs or {}, made))
        return made
