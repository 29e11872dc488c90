"""What a collective leaves in the tensors whose values are known, as if every rank held what this one holds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.distributed import ReduceOp

from windtunnel.workload.program.tensors import Held, is_host, native_type, value_of
from windtunnel.workload.program.transfers import worth_knowing


def known(tensor: torch.Tensor) -> torch.Tensor | None:
    """The CPU tensor that holds the values, shared with ``tensor``; None where they are not known."""
    place = native_type(tensor)
    if place == "cpu":
        return tensor.detach()
    return None if place == "meta" else value_of(tensor)


def _kept(tensor: torch.Tensor) -> torch.Tensor | None:
    """``known``, of a small tensor that fills its storage as well where nothing was known of it: it can be from here on."""
    value = known(tensor)
    if value is not None or native_type(tensor) == "meta":
        return value
    behind: Held = tensor.untyped_storage()._held  # type: ignore[attr-defined]
    if tensor.numel() * tensor.dtype.itemsize != behind.bytes or not worth_knowing(tensor.dtype, tensor.numel()):
        return None
    behind.value = torch.UntypedStorage(behind.bytes)
    return value_of(tensor)


def forget(tensor: torch.Tensor) -> None:
    """Nothing is known of what the device holds there."""
    if native_type(tensor) not in ("cpu", "meta"):
        tensor.untyped_storage()._held.value = None  # type: ignore[attr-defined]


def reduced(tensor: torch.Tensor, op: object, ranks: int) -> bool:
    """Reduce over ranks that all hold the same, in place. Whether anything was known."""
    value = known(tensor)
    if value is None:
        return False
    kind = getattr(op, "op", op)
    if kind in (ReduceOp.SUM, "sum"):
        value.mul_(ranks) if value.dtype is not torch.bool else None
    elif kind in (ReduceOp.PRODUCT, "product"):
        value.pow_(ranks)
    elif kind in (ReduceOp.BXOR, "bxor") and ranks % 2 == 0:
        value.zero_()
    return True


def copied(into: torch.Tensor, source: torch.Tensor) -> bool:
    """``into`` holds what ``source`` holds, over and over where it is larger. Whether that is known."""
    value = known(source)
    if value is None:
        forget(into)
        return False
    target = _kept(into)
    if target is None or not value.numel():
        return False
    if target.shape == value.shape:
        target.copy_(value)
        return True
    flat = value.reshape(-1)
    target.copy_(flat.repeat(-(-target.numel() // flat.numel()))[: target.numel()].reshape(target.shape))
    return True


def repeated(outputs: Sequence[torch.Tensor], source: torch.Tensor) -> bool:
    """Every output holds what ``source`` holds."""
    known = [copied(output, source) for output in outputs]
    return any(known)


def share(tensor: torch.Tensor, rank: int, ranks: int) -> torch.Tensor:
    """The values of the rank's part of the first dimension; the tensor itself where nothing is known of it."""
    value = known(tensor)
    part = tensor.shape[0] // ranks if tensor.dim() else 0
    return value.narrow(0, rank * part, part) if value is not None and part else tensor


def lies_on_chip(tensor: torch.Tensor) -> bool:
    """Whether the tensor is the virtual chip's, rather than the host's."""
    return native_type(tensor) not in ("cpu", "meta") and not is_host(tensor)
