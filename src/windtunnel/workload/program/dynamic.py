"""Operators whose results' shapes depend on values, or whose values steer the program.

Where the values are known they are used. Where they are not, a stated stand-in takes their place: every element of an
unknown mask counts, experts and tokens that an unknown score would choose are drawn evenly, gradients are finite.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from windtunnel.workload.program.plans import MOST_KNOWN_INTEGERS
from windtunnel.workload.program.recorder import CPU, Recorder, Special, adopt
from windtunnel.workload.program.tensors import held, native_type, value_of

_aten = torch.ops.aten
_MOST_SORTED = 1 << 22
"""Elements up to which a random order is drawn exactly."""


def shaped_by_values(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """nonzero, masked_select, unique ...: on the values, or as if every element counted and differed."""
    r.listener.waited()
    known = {id(t): _counting(r, func, t) for t in tensors}

    def filled(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return known[id(value)]
        return [filled(v) for v in value] if isinstance(value, (list, tuple)) else value

    given = tuple(filled(a) for a in args)
    return r.by_value(func, given, kwargs, tensors, told=(args, kwargs))


def _counting(r: Recorder, func: Any, tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's values on the CPU, or ones (a mask) or distinct numbers in their place."""
    if native_type(tensor) == "cpu":
        return tensor
    value = value_of(tensor) if native_type(tensor) == r.device.type else None
    if value is not None:
        return value
    if tensor.dtype is torch.bool or func is _aten.nonzero.default:
        r.listener.stood_in(f"{func.name().split('::')[1]} of values that are not computed", "every element counts")
        return torch.ones(tensor.shape, dtype=tensor.dtype)
    if func in _UNIQUE:
        r.listener.stood_in("unique of values that are not computed", "all differ")
        return torch.arange(tensor.numel()).to(tensor.dtype).reshape(tensor.shape)
    return torch.ones(tensor.shape, dtype=tensor.dtype)


def indexed(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """``x[mask]``: the mask becomes the places where it holds; plain indices go by their shapes."""
    if not any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1]):
        return NotImplemented
    source = args[0]
    indices: list[Any] = []
    for index in args[1]:
        if index is not None and index.dtype in (torch.bool, torch.uint8):
            r.listener.waited()
            indices.extend(_counting(r, _aten.nonzero.default, index).nonzero(as_tuple=True))
        else:
            indices.append(index)
    if r.is_known(source) and all(i is None or r.is_known(i) for i in indices):
        return r.by_value(func, (source, indices), {}, tensors, told=(args, {}))
    given = [source, *(i for i in indices if i is not None)]
    return r.generic(func, (source, indices), {}, given)


def chosen(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """topk, argmax, sort, multinomial: by shape, with indices drawn evenly where the scores are not known."""
    source = tensors[0]
    if r.values or r.is_known(source):
        return NotImplemented
    result = r.generic(func, args, kwargs, tensors)
    for index in result if isinstance(result, tuple) else (result,):
        if index.dtype in (torch.int64, torch.int32) and index.numel() <= MOST_KNOWN_INTEGERS:
            adopt(index, _drawn(r, func, source, index, args))
            r.listener.stood_in(f"{func.name().split('::')[1].split('.')[0]} of values that are not computed", "drawn evenly")
    return result


def _drawn(r: Recorder, func: Any, source: torch.Tensor, index: torch.Tensor, args: tuple[Any, ...]) -> torch.Tensor:
    """Indices as an even choice would give: distinct along the dimension where the operator's are. Equal calls (the layers of
    a model) get equal draws."""
    key = (func, source.shape, index.shape, index.dtype, tuple(a for a in args if isinstance(a, int)))
    found = r.drawn.get(key)
    if found is None:
        found = r.drawn[key] = _draw(r, func, source, index, args)
    return found.clone()


def _draw(r: Recorder, func: Any, source: torch.Tensor, index: torch.Tensor, args: tuple[Any, ...]) -> torch.Tensor:
    several = func in (_aten.topk.default, _aten.sort.default, _aten.sort.stable, _aten.multinomial.default)
    place = {_aten.topk.default: 2, _aten.sort.stable: 2}.get(func, 1)
    dim = args[place] if place < len(args) and isinstance(args[place], int) and func is not _aten.multinomial.default else None
    along = -1 if dim is None else int(dim)
    reach = max(source.numel() if dim is None and not several else (source.shape[along] if source.dim() else 1), 1)
    if several and source.numel() <= _MOST_SORTED and source.dim():
        order = torch.rand(source.shape, generator=r.generator).argsort(along)
        return order.narrow(along, 0, index.shape[along]).to(index.dtype).contiguous()
    return torch.randint(reach, tuple(index.shape), generator=r.generator, dtype=index.dtype)


def random_integers(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """randint, randperm: really drawn, since token numbers and orders steer a program."""
    if r.values:
        return NotImplemented
    given = {**kwargs, "generator": None} if "generator" in kwargs else kwargs
    plan = r.plan(func, args, given, tensors)
    size = math.prod(plan.outputs[0].size)  # type: ignore[union-attr]
    if size > MOST_KNOWN_INTEGERS:
        return NotImplemented
    made = r.carry_out(plan, func, args, given, tensors)
    options = {k: v for k, v in kwargs.items() if k in ("dtype", "layout")}
    drawn = getattr(torch, func.name().split("::")[1].split(".")[0])
    adopt(made, drawn(*args, generator=kwargs.get("generator") or r.generator, device=CPU, **options))
    return made


def finite(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """The gradient scaler's check: gradients that are not computed are finite."""
    if r.values:
        return NotImplemented
    before = held(args[1]).value
    result = r.generic(func, args, kwargs, tensors)
    if before is not None:
        held(args[1]).value = before
        r.listener.stood_in("whether gradients are finite", "they are")
    return result


def equal(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """``torch.equal``, ``allclose``: by the values, else no."""
    r.listener.waited()
    if all(r.is_known(t) for t in tensors):
        return func(*r.on_cpu(args), **r.on_cpu(kwargs))
    r.listener.stood_in("whether two tensors are equal", "False")
    return False


def packed(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """Sequences of unlike length one behind the other: their lengths are the CPU's, so the shape is known."""
    padded, lengths = args[0], args[1]
    batch, time = (0, 1) if args[2] else (1, 0)
    places = torch.zeros((padded.shape[time], padded.shape[batch]), dtype=torch.bool)
    for i, length in enumerate(lengths.tolist()):
        places[:length, i] = True
    steps = places.sum(1)
    indices = places.nonzero(as_tuple=True)
    with r:
        by_time = padded.transpose(0, 1) if args[2] else padded
        data = _aten.index.Tensor(by_time, list(indices))
    return data, steps[steps > 0]


def conjugated(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """A view whose elements are conjugated (or negated) when somebody reads them: here they are at once."""
    op = _aten._conj_physical.default if func is _aten._conj.default else _aten.neg.default
    return r.generic(op, args, kwargs, tensors)


_UNIQUE = {_aten._unique2.default, _aten.unique_consecutive.default, _aten.unique_dim.default, _aten._unique.default}
DYNAMIC: Special = {
    **dict.fromkeys(
        (
            _aten.nonzero.default, _aten.masked_select.default, _aten.repeat_interleave.Tensor, _aten.bincount.default, *_UNIQUE,
        ),
        shaped_by_values,
    ),
    _aten.index.Tensor: indexed,
    **dict.fromkeys(
        (
            _aten.topk.default, _aten.argmax.default, _aten.argmin.default, _aten.sort.default, _aten.sort.stable,
            _aten.argsort.default, _aten.multinomial.default, _aten.max.dim, _aten.min.dim, _aten.mode.default,
        ),
        chosen,
    ),
    **dict.fromkeys(
        (_aten.randint.default, _aten.randint.low, _aten.randperm.default, _aten.randint.generator, _aten.randint.low_generator),
        random_integers,
    ),
    _aten._amp_foreach_non_finite_check_and_unscale_.default: finite,
    _aten._conj.default: conjugated,
    _aten._neg_view.default: conjugated,
    _aten.equal.default: equal,
    _aten.allclose.default: equal,
    _aten._pack_padded_sequence.default: packed,
}  # fmt: skip
"""Operators of this kind, by overload."""
