"""Functional collectives, with which tensor parallelism and traced programs communicate: operators that give new tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from windtunnel.run.distributed import values
from windtunnel.run.distributed.group import VirtualGroup
from windtunnel.run.distributed.waiting import Pending
from windtunnel.workload.program.observe import name_of
from windtunnel.workload.program.recorder import Recorder, Special
from windtunnel.workload.program.tensors import new_tensor

_c10d: Any = torch.ops._c10d_functional
Args = tuple[Any, ...]
Fill = Callable[[VirtualGroup, torch.Tensor, torch.Tensor, Args], None]


def _group(args: Args, kwargs: dict[str, Any]) -> VirtualGroup:
    """The group that a functional collective names, last among its arguments."""
    name = kwargs.get("group_name") or next(a for a in reversed(args) if isinstance(a, (str, VirtualGroup)))
    if isinstance(name, VirtualGroup):
        return name
    found = torch._C._distributed_c10d._resolve_process_group(name)  # type: ignore[arg-type]
    assert isinstance(found, VirtualGroup)
    return found


def _fresh(r: Recorder, like: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """A contiguous tensor of the chip."""
    stride, step = [], 1
    for n in reversed(size):
        stride.append(step)
        step *= max(n, 1)
    nbytes = math.prod(size) * like.dtype.itemsize
    return new_tensor(r.listener, tuple(size), tuple(reversed(stride)), like.dtype, nbytes)


def _reduced(group: VirtualGroup, output: torch.Tensor, given: torch.Tensor, args: Args) -> None:
    if output is given or values.copied(output, given):
        group.repeats("all_reduce", values.reduced(output, args[1], group.size()))


def _gathered(group: VirtualGroup, output: torch.Tensor, given: torch.Tensor, args: Args) -> None:
    group.repeats("all_gather", values.copied(output, given))


def _scattered(group: VirtualGroup, output: torch.Tensor, given: torch.Tensor, args: Args) -> None:
    if values.copied(output, values.share(given, group.rank(), group.size())):
        group.repeats("reduce_scatter", values.reduced(output, args[1], group.size()))


def _exchanged(group: VirtualGroup, output: torch.Tensor, given: torch.Tensor, args: Args) -> None:
    group.repeats("all_to_all", values.copied(output, values.share(given, group.rank(), group.size())))


def _passed(group: VirtualGroup, output: torch.Tensor, given: torch.Tensor, args: Args) -> None:
    if output is not given:
        values.copied(output, given)


def _same(given: torch.Tensor, args: Args, ranks: int) -> list[int]:
    return list(given.shape)


def _larger(given: torch.Tensor, args: Args, ranks: int) -> list[int]:
    return [given.shape[0] * ranks, *given.shape[1:]] if given.dim() else [ranks]


def _smaller(given: torch.Tensor, args: Args, ranks: int) -> list[int]:
    return [given.shape[0] // ranks, *given.shape[1:]]


def _split(given: torch.Tensor, args: Args, ranks: int) -> list[int]:
    return [sum(int(n) for n in args[1]), *given.shape[1:]]


def _turned(given: torch.Tensor, args: Args, ranks: int) -> list[int]:
    """shard_dim_alltoall(input, gather_dim, shard_dim, group): whole in one dimension, a shard of another."""
    size = list(given.shape)
    size[args[1]] *= ranks
    size[args[2]] //= ranks
    return size


def _makes(size: Callable[[torch.Tensor, Args, int], list[int]], fill: Fill) -> Callable[..., Any]:
    """The handler of a collective whose output (one for each input) has ``size``."""

    def run(r: Recorder, func: Any, args: Args, kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
        group = _group(args, kwargs)
        given = list(args[0]) if isinstance(args[0], (list, tuple)) else [args[0]]
        out = kwargs.get("out")
        outputs = [out] if out is not None else [_fresh(r, t, size(t, args, group.size())) for t in given]
        return _carry_out(func, group, args, given, outputs, fill)

    return run


def _writes(fill: Fill) -> Callable[..., Any]:
    """The handler of a collective that works in place."""

    def run(r: Recorder, func: Any, args: Args, kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
        given = list(args[0]) if isinstance(args[0], (list, tuple)) else [args[0]]
        return _carry_out(func, _group(args, kwargs), args, given, given, fill)

    return run


def _carry_out(
    func: Any, group: VirtualGroup, args: Args, given: list[torch.Tensor], outputs: list[torch.Tensor], fill: Fill
) -> Any:
    pending = group.exchange(name_of(func), given, args)
    for output, one in zip(outputs, given, strict=True):
        fill(group, output, one, args)
        output.untyped_storage()._pending = pending  # type: ignore[attr-defined]
    return outputs if isinstance(args[0], (list, tuple)) else outputs[0]


def wait_tensor(r: Recorder, func: Any, args: Args, kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """What comes after waits for the collective that made the tensor."""
    storage: Any = args[0].untyped_storage()
    pending: Pending | None = getattr(storage, "_pending", None)
    if pending is not None:
        pending.wait()
        del storage._pending
    return args[0]


def wrapped(r: Recorder, func: Any, args: Args, kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """The same tensor, to be waited for when it is first used."""
    # imported only now: with it PyTorch imports much that most programs do not need
    from torch.distributed._functional_collectives import AsyncCollectiveTensor

    return AsyncCollectiveTensor(args[0])


COLLECTIVES: Special = {
    _c10d.all_reduce.default: _makes(_same, _reduced),
    _c10d.all_reduce_coalesced.default: _makes(_same, _reduced),
    _c10d.all_reduce_.default: _writes(_reduced),
    _c10d.all_reduce_coalesced_.default: _writes(_reduced),
    _c10d.broadcast.default: _makes(_same, _passed),
    _c10d.broadcast_.default: _writes(_passed),
    _c10d.all_gather_into_tensor.default: _makes(_larger, _gathered),
    _c10d.all_gather_into_tensor_coalesced.default: _makes(_larger, _gathered),
    _c10d.all_gather_into_tensor_out.default: _makes(_larger, _gathered),
    _c10d.reduce_scatter_tensor.default: _makes(_smaller, _scattered),
    _c10d.reduce_scatter_tensor_coalesced.default: _makes(_smaller, _scattered),
    _c10d.reduce_scatter_tensor_out.default: _makes(_smaller, _scattered),
    _c10d.all_to_all_single.default: _makes(_split, _exchanged),
    _c10d.wait_tensor.default: wait_tensor,
    torch.ops._dtensor.shard_dim_alltoall.default: _makes(_turned, _exchanged),
}
"""By overload; what PyTorch writes in Python is added where a group is made.

An operator with a gradient, ``_c10d_functional_autograd``, calls these.
"""
