"""Tensors of the virtual device: real PyTorch tensors whose storage lies at an address of the chip, with no bytes behind it.

A tensor here is an ordinary ``torch.Tensor`` of PyTorch's PrivateUse1 device. Its storage has the size and the address
that the chip's allocator gave it; sizes, strides, views, aliasing and lifetimes are PyTorch's own. What the storage
stands for is kept on the storage object (``Held``): it goes when the last tensor over it goes.

Large floating-point tensors that a program makes on the CPU (a model before it is moved) are tensors of PyTorch's meta
device, marked as the host's, so that they take no memory either.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, Protocol

import torch

_ON_CPU = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
_storage_at: Any = torch._C._construct_storage_from_data_pointer
_empty_native: Any = torch._C._acc.create_empty_tensor
_set = torch.ops.aten.set_.source_Storage_storage_offset._handle.redispatch_boxed
_as_strided = torch.ops.aten.as_strided.default._handle.redispatch_boxed
META = torch.device("meta")


class Memory(Protocol):
    """Who gives and takes back the chip's memory. ``allocate`` raises torch.OutOfMemoryError."""

    def allocate(self, nbytes: int) -> Any: ...

    def free(self, block: Any) -> None: ...


class Held:
    """What a storage of the virtual device stands for.

    block: the allocator's, with ``address``. value: the bytes themselves as a CPU storage where they are known, else None.
    number: its own in this process, unlike an address never used again.
    """

    __slots__ = ("block", "bytes", "memory", "number", "value")
    _numbers = count()

    def __init__(self, memory: Memory, nbytes: int) -> None:
        self.block: Any = None
        self.memory = memory
        self.bytes = nbytes
        self.number = next(self._numbers)
        self.value: torch.UntypedStorage | None = None
        self.block = memory.allocate(nbytes)

    def release(self) -> None:
        """Give the memory back before the storage goes (a storage resized to nothing)."""
        if self.block is not None:
            self.memory.free(self.block)
            self.block = None

    def __del__(self) -> None:
        self.release()


class HostMark:
    """Marks a meta storage as a tensor of the program's CPU whose values are not kept."""

    __slots__ = ()


HOST = HostMark()


class Disguise:
    """Whether tensors tell the program the device that it asked for rather than where PyTorch's core sees them."""

    on = True


DISGUISE = Disguise()


native_device_of = torch._C.TensorBase.device.__get__
"""Where PyTorch's core sees a tensor, whatever ``tensor.device`` tells the program."""


def native_type(tensor: torch.Tensor) -> str:
    """The type of that device: cpu, meta or the virtual chip's."""
    kind: str = native_device_of(tensor).type
    return kind


def native_device() -> torch.device:
    """The device under which PyTorch's core sees the virtual chip, whatever the program calls it."""
    return torch.device(torch._C._get_privateuse1_backend_name(), 0)


def new_tensor(memory: Memory, size: Sequence[int], stride: Sequence[int], dtype: torch.dtype, nbytes: int) -> torch.Tensor:
    """A tensor of the virtual device over fresh memory of ``nbytes``."""
    held = Held(memory, nbytes)
    storage = _storage_at(held.block.address, native_device(), nbytes)
    storage._held = held
    made: torch.Tensor = _set(_ON_CPU, _empty_native([0], dtype), storage, 0, size, stride)
    return made


def view_of(base: torch.Tensor, size: Sequence[int], stride: Sequence[int], offset: int, dtype: torch.dtype) -> torch.Tensor:
    """Another geometry over the storage of ``base``; offset in elements of ``dtype``."""
    if dtype == base.dtype:
        seen: torch.Tensor = _as_strided(_ON_CPU, base, size, stride, offset)
        return seen
    made: torch.Tensor = _set(_ON_CPU, _empty_native([0], dtype), base.untyped_storage(), offset, size, stride)
    return made


def set_geometry(tensor: torch.Tensor, storage: Any, size: Sequence[int], stride: Sequence[int], offset: int) -> None:
    """Make ``tensor`` look at ``storage`` with that geometry, in place."""
    _set(_ON_CPU, tensor, storage, offset, size, stride)


def held(tensor: torch.Tensor) -> Held:
    """What stands behind a tensor of the virtual device."""
    found: Held = tensor.untyped_storage()._held  # type: ignore[attr-defined]
    return found


def is_host(tensor: torch.Tensor) -> bool:
    """Whether a meta tensor is one of the program's CPU whose values are not kept."""
    return getattr(tensor.untyped_storage(), "_held", None) is HOST


def mark_host(tensor: torch.Tensor) -> torch.Tensor:
    """Say that a meta tensor is the program's CPU's."""
    tensor.untyped_storage()._held = HOST  # type: ignore[attr-defined]
    return tensor


def pinned(tensor: torch.Tensor) -> torch.Tensor:
    """Say that a tensor of the program's CPU lies in page-locked memory."""
    tensor.untyped_storage()._pinned = True  # type: ignore[attr-defined]
    return tensor


def is_pinned(tensor: torch.Tensor) -> bool:
    """Whether that was said of a tensor's storage."""
    return getattr(tensor.untyped_storage(), "_pinned", False)


def value_of(tensor: torch.Tensor) -> torch.Tensor | None:
    """The CPU tensor that holds what ``tensor`` holds, sharing memory with every other view, or None where it is not known."""
    value = held(tensor).value
    if value is None:
        return None
    return torch.empty(0, dtype=tensor.dtype).set_(value, tensor.storage_offset(), tensor.shape, tensor.stride())


def extent(size: Sequence[int], stride: Sequence[int]) -> int:
    """Elements from the first to the last that a geometry touches."""
    if 0 in size:
        return 0
    return 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))


def as_meta(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor of the same geometry, over a storage of its own."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
