"""One operator as a program called it: its name, its operands' shapes and types, and where the call came from.

Nothing here needs PyTorch, so that what a call means (``work``) can be told, tested and fitted without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

ITEM_BYTES = {
    "fp64": 8, "fp32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "fp4": 1, "int64": 8, "int32": 4, "int16": 2, "int8": 1,
    "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8, "bool": 1, "complex32": 4, "complex64": 8, "complex128": 16,
}  # fmt: skip
"""Bytes of one stored element by the number type's name (fp4 comes packed, two to a byte)."""

FLOATS = frozenset({"fp64", "fp32", "bf16", "fp16", "fp8", "fp4"})

Phase = Literal["forward", "backward", "optimizer"]


@dataclass(frozen=True)
class TensorSpec:
    """What an operator sees of a tensor: sizes, number type (a key of ITEM_BYTES), strides in elements."""

    shape: tuple[int, ...]
    dtype: str
    stride: tuple[int, ...] = ()

    @cached_property
    def numel(self) -> int:
        return math.prod(self.shape)

    @cached_property
    def bytes(self) -> int:
        """Bytes of its distinct elements: a dimension of stride 0 (expanded) is read once."""
        if not self.stride:
            return self.numel * ITEM_BYTES[self.dtype]
        return math.prod(n for n, step in zip(self.shape, self.stride, strict=True) if step) * ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class Call:
    """One operator call at PyTorch's dispatcher.

    op: the overload's full name, as ``aten.addmm.default``. args, kwargs: as the overload takes them, with a TensorSpec
    for a tensor, tuples for lists, and plain numbers, strings, booleans or None for the rest. outputs: one spec for each
    tensor that comes back, in order.
    """

    op: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    @property
    def name(self) -> str:
        """The operator without namespace and overload: ``addmm``."""
        return self.op.split(".")[1]

    def option(self, key: str, place: int | None = None, default: Any = None) -> Any:
        """The value given under ``key``, or at ``place`` among the positional ones."""
        for name, value in self.kwargs:
            if name == key:
                return value
        if place is not None and place < len(self.args):
            return self.args[place]
        return default

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Every tensor among the arguments, those in lists included, in order."""
        found: list[TensorSpec] = []
        for value in (*self.args, *(v for _, v in self.kwargs)):
            if isinstance(value, TensorSpec):
                found.append(value)
            elif isinstance(value, tuple):
                found.extend(v for v in value if isinstance(v, TensorSpec))
        return tuple(found)


@dataclass(frozen=True)
class Step:
    """A call within a stretch of a program that a compiler may fuse.

    reads, writes: numbers that name the values (one for each tensor's storage and version) that it takes and makes, so
    that a value which never leaves a group of fused calls can be told.
    """

    call: Call
    reads: tuple[int, ...]
    writes: tuple[int, ...]


@dataclass(frozen=True)
class Site:
    """A place in somebody's source: file, line (from 1), the function's name."""

    file: str
    line: int
    function: str
