"""Large tensors of the program's CPU, kept as shapes, so that a model larger than this machine can be made."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.utils import _pytree as pytree

from windtunnel.workload.program.kinds import FACTORIES, NEW
from windtunnel.workload.program.plans import redraws, shape_rules
from windtunnel.workload.program.tensors import META, mark_host, native_device_of

HOST_KEPT_ELEMENTS = 1 << 20
"""Floating-point tensors of the CPU from this size on are kept as shapes."""


def makes_large(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an operator makes a large floating-point tensor on the CPU."""
    if func not in FACTORIES:
        return False
    like = args[0] if args and isinstance(args[0], torch.Tensor) else None
    dtype = kwargs.get("dtype") or (torch.get_default_dtype() if like is None else like.dtype)
    if not dtype.is_floating_point or getattr(kwargs.get("device"), "type", "cpu") != "cpu":
        return False
    size = args[1] if func in NEW else (args[0] if like is None else like.shape)
    return math.prod(size) >= HOST_KEPT_ELEMENTS


def shaped(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """An operator of the CPU over shapes: nothing is computed, nothing launched."""
    if redraws(func) and native_device_of(args[0]).type == "meta":
        return args[0]

    def meta(value: Any) -> Any:
        if isinstance(value, torch.device):
            return META if value.type == "cpu" else value
        if isinstance(value, torch.Tensor) and native_device_of(value).type == "cpu":
            return value.to(META)
        return value

    kwargs = {k: v for k, v in kwargs.items() if k != "pin_memory"}
    if not tensors:
        kwargs["device"] = META
    with shape_rules():
        result = func(*pytree.tree_map(meta, args), **pytree.tree_map(meta, kwargs))
    pytree.tree_map_only(torch.Tensor, mark_host, result)
    return result
