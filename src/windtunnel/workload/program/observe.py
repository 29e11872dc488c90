"""Real tensors and the operator calls on them as the records that the rest of the program understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from windtunnel.workload.program.call import Call, TensorSpec

_NAMES: Mapping[str, str] = {
    "float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "qint8": "int8", "quint8": "uint8",
    "qint32": "int32", "complex32": "complex32", "complex64": "complex64", "complex128": "complex128", "bool": "bool",
}  # fmt: skip
_BY_WIDTH = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64"}


@cache
def dtype_name(dtype: torch.dtype) -> str:
    """The short name of a number type (a key of ITEM_BYTES): fp32, bf16, fp8 (every 8-bit float), int64 ...

    Types that hold bits for somebody else's format are named by their width.
    """
    text = str(dtype).removeprefix("torch.")
    if text in _NAMES:
        return _NAMES[text]
    if text.startswith("float8"):
        return "fp8"
    if text.startswith("float4"):
        return "fp4"
    if text in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        return text
    return _BY_WIDTH.get(dtype.itemsize, "uint8")


def spec_of(tensor: torch.Tensor) -> TensorSpec:
    """What an operator sees of a real tensor; without strides where its layout has none (sparse, nested)."""
    if tensor.is_nested:
        return TensorSpec((tensor.numel(),), dtype_name(tensor.dtype))
    shape = tuple(int(n) for n in tensor.shape)
    if tensor.layout is not torch.strided:
        return TensorSpec(shape, dtype_name(tensor.dtype))
    return TensorSpec(shape, dtype_name(tensor.dtype), tuple(int(n) for n in tensor.stride()))


def plain(value: Any) -> Any:
    """An argument of an operator without PyTorch in it: specs for tensors, tuples for lists, names for types and devices."""
    if isinstance(value, torch.Tensor):
        return spec_of(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return tuple(plain(v) for v in value)
    if isinstance(value, torch.dtype):
        return dtype_name(value)
    if isinstance(value, torch.device):
        return value.type
    if isinstance(value, torch.SymInt):
        return int(value)
    if isinstance(value, complex):
        return str(value)
    return str(value).removeprefix("torch.")


def call_of(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], outputs: Any) -> Call:
    """One call of an overload (``torch.ops.aten.mm.default``) with what it was given and what it gave back."""
    made = tuple(spec_of(t) for t in tree_leaves(outputs) if isinstance(t, torch.Tensor))
    return Call(name_of(func), tuple(plain(a) for a in args), tuple((k, plain(v)) for k, v in kwargs.items()), made)


@cache
def name_of(func: Any) -> str:
    """The overload's full name: ``aten.mm.default``."""
    namespace, _, name = str(func.name()).rpartition("::")
    return f"{namespace}.{name}" if "." in name else f"{namespace}.{name}.default"
