"""What an operator gives back, told from its operands' shapes: found once for each pattern of arguments, then remembered."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch.utils import _pytree as pytree

from windtunnel.errors import UnsupportedError
from windtunnel.workload.program.call import Call, TensorSpec
from windtunnel.workload.program.observe import dtype_name, name_of, plain, spec_of
from windtunnel.workload.program.tensors import DISGUISE, META, as_meta

MOST_KNOWN_FLOATS = 1 << 12
"""Elements up to which a floating-point tensor made from known values is computed: schedules, counters, frequencies."""

MOST_KNOWN_INTEGERS = 1 << 24
"""The same for integers and booleans: token numbers, masks, the experts that a router chose."""

_TRIAL_ELEMENTS = 1 << 22
"""Up to how many elements an operator without a shape rule is tried on zeros of the CPU."""


@dataclass(frozen=True, slots=True)
class Made:
    """An output with memory of its own."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    nbytes: int


@dataclass(frozen=True, slots=True)
class Viewed:
    """An output that looks at the storage of the tensor argument number ``base``; offset: beyond the base's, in elements."""

    base: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Same:
    """An output that is the tensor argument number ``base`` itself; reshaped: its new geometry, where that changed."""

    base: int
    reshaped: tuple[tuple[int, ...], tuple[int, ...], int] | None = None


@dataclass(frozen=True, slots=True)
class Plain:
    """An output that is no tensor."""

    value: Any


@dataclass(slots=True)
class Plan:
    """What a call with these operands gives back, and what it is.

    outputs: in order, with ``spec`` to put them back into the operator's own structure. written: numbers of the tensor
    arguments that it changes in place. computable: its results may be computed when every operand is known. price: whatever
    the listener keeps here (the call's work and its time on the chip).
    """

    call: Call
    outputs: tuple[Made | Viewed | Same | Plain, ...]
    spec: Any
    written: tuple[int, ...]
    computable: bool
    launches: bool
    price: Any = None
    extra: dict[str, Any] = field(default_factory=dict)


def to_meta(value: Any, twins: dict[int, torch.Tensor]) -> Any:
    """An argument with meta tensors for tensors and the meta device for any device."""
    if isinstance(value, torch.Tensor):
        twin = twins.get(id(value))
        if twin is None:
            twin = twins[id(value)] = as_meta(value)
        return twin
    if isinstance(value, torch.device):
        return META
    if isinstance(value, (list, tuple)):
        return type(value)(to_meta(v, twins) for v in value) if type(value) in (list, tuple) else value
    return value


@contextmanager
def shape_rules() -> Iterator[None]:
    """For running PyTorch's shape rules: tensors tell their true device, and the compiler stays unimported.

    The rules ask the compiler to leave them alone, and for that import it, which takes longer than many a program. Where
    nobody has imported it, they find one that leaves everything alone.
    """
    told, DISGUISE.on = DISGUISE.on, False
    stub = None
    if "torch._dynamo" not in sys.modules:
        stub = ModuleType("torch._dynamo")
        stub.disable = lambda fn, *_, **__: fn  # type: ignore[attr-defined]
        sys.modules["torch._dynamo"] = torch._dynamo = stub
    try:
        yield
    finally:
        DISGUISE.on = told
        if stub is not None and sys.modules.get("torch._dynamo") is stub:
            del sys.modules["torch._dynamo"]
            del torch._dynamo


def redraws(func: Any) -> bool:
    """Whether an operator fills its first operand with random numbers."""
    return torch.Tag.nondeterministic_seeded in func.tags and func._schema.name.endswith("_")


def _itself(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return tensor


def infer(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: Sequence[torch.Tensor],
    meta: Callable[..., Any] | None = None,
) -> Plan:  # fmt: skip
    """The plan of one call, from a run on meta tensors (of ``meta`` in place of ``func`` where PyTorch has no shape rule).

    tensors: every tensor among the arguments, in order. Raises whatever the operator raises for operands that do not fit,
    UnsupportedError where PyTorch knows no shape rule for it.
    """
    twins: dict[int, torch.Tensor] = {}
    meta_args = tuple(to_meta(a, twins) for a in args)
    meta_kwargs = {k: to_meta(v, twins) for k, v in kwargs.items()}
    before = [(tuple(t.shape), tuple(t.stride())) for t in tensors]
    if meta is None and redraws(func):
        meta = _itself  # PyTorch's rule draws numbers even for the meta device
    try:
        with shape_rules():
            result = (meta or func)(*meta_args, **meta_kwargs)
    except NotImplementedError as problem:
        result = _tried(func, args, kwargs, problem)
    flat, spec = pytree.tree_flatten(result)
    if any(isinstance(value, torch.Tensor) and value.layout is not torch.strided for value in flat):
        raise UnsupportedError(f"{func}: sparse tensors are not modelled on virtual chips")
    storages = {twins[id(t)].untyped_storage()._cdata: i for i, t in reversed(list(enumerate(tensors)))}
    identities = {id(twins[id(t)]): i for i, t in reversed(list(enumerate(tensors)))}
    outputs: list[Made | Viewed | Same | Plain] = []
    for value in flat:
        if not isinstance(value, torch.Tensor):
            outputs.append(Plain(value))
            continue
        size, stride = tuple(value.shape), tuple(value.stride())
        if id(value) in identities:
            base = identities[id(value)]
            changed = (size, stride) != before[base]
            outputs.append(Same(base, (size, stride, int(value.storage_offset())) if changed else None))
        elif value.untyped_storage()._cdata in storages:
            outputs.append(
                Viewed(storages[value.untyped_storage()._cdata], size, stride, int(value.storage_offset()), value.dtype)
            )
        else:
            outputs.append(Made(size, stride, value.dtype, value.untyped_storage().nbytes()))
    call = _call(func, args, kwargs, outputs, tensors)
    made = [o for o in outputs if isinstance(o, Made)]
    random = torch.Tag.nondeterministic_seeded in func.tags
    computable = not random and all(_small(o) for o in made)
    views_only = not made and not func._schema.is_mutable and bool(outputs)
    return Plan(call, tuple(outputs), spec, _written(func, args, kwargs, tensors), computable, not views_only)


def _tried(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], problem: Exception) -> Any:
    """Shapes of an operator that has no shape rule: its result over zeros on the CPU, where that is small."""
    if sum(t.numel() for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)) > _TRIAL_ELEMENTS:
        raise UnsupportedError(f"{func}: PyTorch has no shape rule for it") from problem

    def zeros(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype).zero_()
        return torch.device("cpu") if isinstance(value, torch.device) else value

    try:
        return pytree.tree_map(zeros, func(*pytree.tree_map(zeros, args), **pytree.tree_map(zeros, kwargs)))
    except (NotImplementedError, RuntimeError):
        raise UnsupportedError(f"{func}: PyTorch has no shape rule for it") from problem


def _small(output: Made) -> bool:
    count = output.nbytes // max(output.dtype.itemsize, 1)
    exact = not (output.dtype.is_floating_point or output.dtype.is_complex)
    return count <= (MOST_KNOWN_INTEGERS if exact else MOST_KNOWN_FLOATS)


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: Sequence[torch.Tensor]) -> tuple[int, ...]:
    """Numbers of the tensor arguments that the operator writes."""
    place = {id(t): i for i, t in enumerate(tensors)}
    found: list[int] = []
    for i, argument in enumerate(func._schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        value = args[i] if i < len(args) else kwargs.get(argument.name)
        found.extend(place[id(v)] for v in pytree.tree_leaves(value) if isinstance(v, torch.Tensor))
    return tuple(found)


def _call(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Sequence[Made | Viewed | Same | Plain],
    tensors: Sequence[torch.Tensor],
) -> Call:  # fmt: skip
    """The call as plain data."""

    def spec(output: Made | Viewed | Same | Plain) -> TensorSpec | None:
        if isinstance(output, Same):
            return spec_of(tensors[output.base])
        if isinstance(output, Plain):
            return None
        return TensorSpec(output.size, dtype_name(output.dtype), output.stride)

    specs = tuple(s for s in map(spec, outputs) if s is not None)
    return Call(name_of(func), tuple(map(plain, args)), tuple((k, plain(v)) for k, v in kwargs.items()), specs)
