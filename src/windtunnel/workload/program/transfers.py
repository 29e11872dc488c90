"""What crosses between the host and the device, and what the program reads back."""

from __future__ import annotations

from typing import Any

import torch

from windtunnel.workload.program.host import HOST_KEPT_ELEMENTS
from windtunnel.workload.program.plans import MOST_KNOWN_FLOATS, MOST_KNOWN_INTEGERS
from windtunnel.workload.program.recorder import Recorder, Special
from windtunnel.workload.program.tensors import (
    META,
    as_meta,
    held,
    is_host,
    mark_host,
    native_device_of,
    native_type,
    new_tensor,
    value_of,
)
from windtunnel.workload.program.tensors import is_pinned as pinned

_aten = torch.ops.aten
STAND_INS = {"float": 1.0, "integer": 1, "bool": False}
"""What a program reads where nothing was computed: a number that can be divided by, taken the logarithm of and used as an
index; and a condition that does not hold (no overflow found, not converged)."""


def kind_of(dtype: torch.dtype) -> str:
    """float, integer or bool: which stand-in a type takes."""
    if dtype is torch.bool:
        return "bool"
    return "float" if dtype.is_floating_point or dtype.is_complex else "integer"


def worth_knowing(dtype: torch.dtype, numel: int) -> bool:
    """Whether values of this type and size are kept where they are known."""
    return numel <= (MOST_KNOWN_FLOATS if dtype.is_floating_point or dtype.is_complex else MOST_KNOWN_INTEGERS)


def to_copy(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """``_to_copy``: to the device, from it, or within it."""
    source = tensors[0]
    target = kwargs.get("device") or native_device_of(source)
    from_device, to_device = native_device_of(source).type == r.device.type, target.type == r.device.type
    if from_device and to_device:
        return NotImplemented
    blocking = not kwargs.get("non_blocking", False)
    layout = {k: v for k, v in kwargs.items() if k in ("dtype", "memory_format")}
    if to_device:
        blocking = blocking or not page_locked(source)
        return _upload(r, func, source, layout, blocking)
    if from_device:
        return _download(r, func, source, target, layout, blocking)
    if target.type == "cpu" or target.type == "meta":
        return mark_host(func(source, device=META, **layout))
    return NotImplemented


def _upload(r: Recorder, func: Any, source: torch.Tensor, layout: dict[str, Any], blocking: bool) -> torch.Tensor:
    known = native_type(source) != "meta" and (r.values or worth_knowing(source.dtype, source.numel()))
    if known:
        made = r.from_cpu(func(source, **layout))
    else:
        shape = func(as_meta(source), **layout)
        made = new_tensor(r.listener, shape.shape, shape.stride(), shape.dtype, shape.untyped_storage().nbytes())
    r.listener.copied(source.numel() * source.dtype.itemsize, "to device", blocking)
    return made


def _download(
    r: Recorder, func: Any, source: torch.Tensor, target: torch.device, layout: dict[str, Any], blocking: bool
) -> torch.Tensor:
    if target.type == "meta":
        meta: torch.Tensor = func(as_meta(source), **layout)
        return meta
    r.listener.copied(source.numel() * source.dtype.itemsize, "to host", blocking)
    value = value_of(source)
    if value is not None:
        copy: torch.Tensor = func(value, **layout)
        return copy.clone() if copy.untyped_storage()._cdata == value.untyped_storage()._cdata else copy
    shape = func(as_meta(source), **layout)
    if kind_of(source.dtype) == "float" and source.numel() >= HOST_KEPT_ELEMENTS:
        return mark_host(shape)
    given = STAND_INS[kind_of(source.dtype)]
    r.listener.stood_in("values copied to the host", f"all {given}")
    return torch.full(shape.shape, given, dtype=shape.dtype)


def copy_(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """``copy_`` between the host and the device; within the device it is an operator like others."""
    into, source = args[0], args[1]
    on_device = [native_device_of(t).type == r.device.type for t in (into, source)]
    if all(on_device):
        return NotImplemented
    blocking = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
    nbytes = source.numel() * source.dtype.itemsize
    if on_device[0]:
        func(as_meta(into), as_meta(source))  # refuses shapes that do not fit
        _fill_device(r, into, source)
        blocking = blocking or not page_locked(source)
        r.listener.copied(nbytes, "to device", blocking)
    elif on_device[1]:
        r.listener.copied(nbytes, "to host", blocking)
        if native_type(into) != "meta":
            value = value_of(source)
            if value is not None:
                func(into, value)
            else:
                given = STAND_INS[kind_of(source.dtype)]
                r.listener.stood_in("values copied to the host", f"all {given}")
                into.fill_(given)
    elif native_type(into) != "meta" and native_type(source) == "meta":
        given = STAND_INS[kind_of(source.dtype)]
        r.listener.stood_in("values of a large tensor of the host", f"all {given}")
        into.fill_(given)
    return into


def _fill_device(r: Recorder, into: torch.Tensor, source: torch.Tensor) -> None:
    behind = held(into)
    if native_type(source) == "meta":
        behind.value = None
        return
    if behind.value is None and into.numel() * into.dtype.itemsize == behind.bytes and worth_knowing(into.dtype, into.numel()):
        behind.value = torch.UntypedStorage(behind.bytes)
    target = value_of(into)
    if target is not None:
        target.copy_(source)


def item(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """``.item()``: the value where it is known, else a stand-in; the host waits either way."""
    source = tensors[0]
    if native_type(source) == "meta" and not is_host(source):
        return NotImplemented
    if native_type(source) != "meta":
        r.listener.waited()
        value = value_of(source)
        if value is not None:
            return func(value)
    given = STAND_INS[kind_of(source.dtype)]
    r.listener.stood_in(f"a {kind_of(source.dtype)} read from the device", str(given))
    return given


def page_locked(tensor: torch.Tensor) -> bool:
    """Whether a copy from this tensor of the host can run while the host goes on: from pageable memory it cannot.

    **Source:** CUDA Runtime API, "API synchronization behavior".
    """
    return pinned(tensor)


def is_pinned(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """No tensor of the device or of the host's shapes is pinned."""
    return False


def nothing(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """An operator that only informs the allocator."""
    return None


TRANSFERS: Special = {
    _aten._to_copy.default: to_copy,
    _aten.copy_.default: copy_,
    _aten._local_scalar_dense.default: item,
    _aten.is_pinned.default: is_pinned,
    _aten.record_stream.default: nothing,
}
