"""Processes that the program forks (a DataLoader's workers): they see no device, and make real tensors of the CPU."""

from __future__ import annotations

import os
from contextlib import ExitStack
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch
from torch.utils.data._utils import collate

from windtunnel.run.surface.state import DeviceState
from windtunnel.workload.program.device import VirtualDevice
from windtunnel.workload.program.tensors import is_host, native_type

_active: list[tuple[VirtualDevice, DeviceState]] = []


def install_workers(device: VirtualDevice, state: DeviceState) -> None:
    """Prepare for forks, and for tensors between processes, until ``device`` is left."""
    if not _registered:
        os.register_at_fork(after_in_child=_in_child)
        _registered.append(True)
    _active.append((device, state))
    undo = ExitStack()
    undo.callback(_active.remove, (device, state))
    reducers: dict[Any, Any] = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    for kind in (torch.Tensor, torch.nn.Parameter):
        plain = reducers[kind]
        reducers[kind] = _reduced(plain)
        undo.callback(reducers.__setitem__, kind, plain)
    device.enter(undo)


_registered: list[bool] = []


def _reduced(plain: Any) -> Any:
    """How a tensor travels to another process: one of the host whose values are not kept, as its shape."""

    def reduce(tensor: Any) -> Any:
        with torch._C.DisableTorchFunction():
            if native_type(tensor) == "meta" and is_host(tensor):
                return tensor.__reduce_ex__(2)
            if native_type(tensor) == torch._C._get_privateuse1_backend_name():
                raise RuntimeError("tensors of a virtual device cannot be shared with other processes")
        return plain(tensor)

    return reduce


def _in_child() -> None:
    """What a forked process has of the device: nothing. Its own tensors are real ones, and of what it inherited without
    values, what it hands back is filled with zeros."""
    for device, state in _active:
        state.forked = True
        functions = device.functions
        device.recorder.keeps_shapes_of_host = False

        def place(where: Any, place: Any = functions.place, native: Any = functions.native, state: DeviceState = state) -> Any:
            found = place(where)
            if found == native:
                state.initialize()  # says that a forked process cannot use the device
            return found

        functions.place = place  # type: ignore[method-assign, assignment]
    if not _active:
        return
    plain = collate.default_collate_fn_map[torch.Tensor]

    def collated(batch: Any, **options: Any) -> Any:
        with torch._C.DisableTorchFunction():
            batch = [torch.zeros(t.shape, dtype=t.dtype) if native_type(t) == "meta" else t for t in batch]
        return plain(batch, **options)

    collate.default_collate_fn_map[torch.Tensor] = collated
