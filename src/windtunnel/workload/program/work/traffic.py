"""What a call moves through memory: bytes read and written, in which order, and the pass that this makes.

In-place operators read and write their first operand; an ``out=`` operand is only written; an expanded dimension counts
once. What an operator returns that is one of its operands is what it wrote.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from windtunnel.workload.ops import Op, Pass, PassKind
from windtunnel.workload.program.call import Call, TensorSpec
from windtunnel.workload.program.work.naming import in_place

Ops = tuple[Op, ...]
Rule = Callable[[Call], Ops]

ROW_ON_CHIP_BYTES = 65536
"""A row up to which a kernel keeps it on the chip between two walks over it: what a core's own memory holds twice over (100 to
228 KiB of shared memory on NVIDIA GPUs of compute capability 8.0 to 10.0, CUDA C++ Programming Guide, table of technical
specifications; 192 KiB of unified buffer on Ascend 910B)."""

_WRITTEN = frozenset({"out", "out0", "out1", "out2", "grad_input"})
"""Keyword arguments that name where the result goes."""


def operands(call: Call) -> list[TensorSpec]:
    """The tensors that a call is given, those of lists included, without the ones that only take its result."""
    found: list[TensorSpec] = []
    for value in call.args:
        if isinstance(value, TensorSpec):
            found.append(value)
        elif isinstance(value, tuple):
            found.extend(v for v in value if isinstance(v, TensorSpec))
    for key, value in call.kwargs:
        if key not in _WRITTEN:
            if isinstance(value, TensorSpec):
                found.append(value)
            elif isinstance(value, tuple):
                found.extend(v for v in value if isinstance(v, TensorSpec))
    return found


def size(specs: Iterable[TensorSpec]) -> float:
    """Bytes of all of them."""
    return float(sum(spec.bytes for spec in specs))


def tensors(value: object) -> tuple[TensorSpec, ...]:
    """The tensors of an argument, be it one, a list or nothing."""
    if isinstance(value, TensorSpec):
        return (value,)
    return tuple(v for v in value if isinstance(v, TensorSpec)) if isinstance(value, tuple) else ()


def read(call: Call) -> float:
    """Bytes of everything that it is given."""
    return size(operands(call))


def results(call: Call) -> tuple[TensorSpec, ...]:
    """What it writes: its outputs, or where an in-place operator returns nothing, its first operand (or list of them)."""
    if call.outputs:
        return call.outputs
    for key, value in call.kwargs:
        if key in _WRITTEN:
            return tensors(value)
    return tensors(call.args[0]) if call.args and in_place(call.name) else ()


def written(call: Call) -> float:
    """Bytes of everything that it makes."""
    return size(results(call))


def innermost(spec: TensorSpec) -> int:
    """The dimension, counted from the last as 1, along which neighbours lie side by side in memory.

    0 where any would do (one element, or expanded from one), -1 where there is none.
    """
    if not spec.stride:
        return next((i for i, n in enumerate(reversed(spec.shape), 1) if n > 1), 0)
    if 0 in spec.stride and any(n > 1 and not step for n, step in zip(spec.shape, spec.stride, strict=True)):
        return 0  # expanded: its few elements come from the cache
    spread = False
    for i in range(len(spec.shape) - 1, -1, -1):
        if spec.shape[i] > 1:
            if spec.stride[i] == 1:
                return len(spec.shape) - i
            spread = spread or spec.stride[i] > 1
    return -1 if spread else 0


def alike(specs: Iterable[TensorSpec]) -> bool:
    """Whether all can be walked in one order, neighbours after neighbours."""
    orders = {innermost(spec) for spec in specs} - {0}
    return len(orders) <= 1 and -1 not in orders


def channels_last(spec: TensorSpec) -> bool:
    """Whether memory holds the channels (dimension 1) innermost, and that makes a difference."""
    shape, stride = spec.shape, spec.stride
    return len(shape) > 2 and bool(stride) and stride[1] == 1 and shape[1] > 1 and math.prod(shape[2:]) > 1


def walk(
    call: Call,
    kind: PassKind,
    *,
    reads: float | None = None,
    writes: float | None = None,
    row: float = 1.0,
    flops_each: float = 0.0,
    contiguous: bool | None = None,
    name: str = "",
) -> Ops:
    """One pass over what the call is given and makes; flops_each: per element of its largest operand.

    Nothing where every operand is empty: PyTorch launches no kernel then. contiguous None: told from the strides of the
    operands that are as large as the largest.
    """
    given, made = operands(call), results(call)
    largest = max((*given, *made), key=lambda spec: spec.numel, default=None)
    if largest is None or largest.numel == 0 or (made and not any(spec.numel for spec in made)):
        return ()
    numel = float(largest.numel)
    if contiguous is None:
        contiguous = alike(spec for spec in (*given, *made) if spec.numel == largest.numel)
    return (
        Pass(
            name or call.name,
            kind,
            size(given) if reads is None else reads,
            size(made) if writes is None else writes,
            numel,
            largest.dtype,
            row,
            contiguous,
            flops_each * numel,
        ),
    )


def fill(call: Call, spec: TensorSpec, name: str = "fill") -> Ops:
    """A constant written all over ``spec``."""
    if not spec.numel:
        return ()
    return (Pass(name, "pointwise", 0.0, float(spec.bytes), float(spec.numel), spec.dtype),)


def copied(spec: TensorSpec, name: str = "copy") -> Ops:
    """``spec`` read and written elsewhere in the same order."""
    if not spec.numel:
        return ()
    return (Pass(name, "copy", float(spec.bytes), float(spec.bytes), float(spec.numel), spec.dtype),)
