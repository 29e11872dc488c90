"""Storages as programs handle them: resized to nothing and back, cloned, saved to files and loaded, set under tensors.

A storage whose bytes nothing computed is saved as zeros where it is small, and as a mere shape where it is large: such a
file holds no weights and can be read on a virtual device only.
"""

from __future__ import annotations

import threading
from typing import Any

import torch

from windtunnel.workload.program.host import HOST_KEPT_ELEMENTS
from windtunnel.workload.program.recorder import CPU, Recorder, Special
from windtunnel.workload.program.tensors import HOST, META, Held, held, mark_host, native_type, new_tensor, set_geometry, view_of

_aten = torch.ops.aten
_MOST_LOADED = 1 << 24
"""Bytes of a loaded storage up to which they are kept, so that what steers a program (counters, token numbers) is known."""

_here = threading.local()


def _behind(storage: Any) -> Held | None:
    found = getattr(storage, "_held", None)
    return found if isinstance(found, Held) else None


def _over(storage: Any) -> torch.Tensor:
    """The bytes of a storage of the device as a tensor."""
    seen = view_of(_anchor(storage), (storage.nbytes(),), (1,), 0, torch.uint8)
    assert isinstance(seen, torch.Tensor)
    return seen


def _anchor(storage: Any) -> torch.Tensor:
    tensor = torch._C._acc.create_empty_tensor((0,), torch.uint8)
    set_geometry(tensor, storage, (storage.nbytes(),), (1,), 0)
    return tensor


def set_storage(r: Recorder, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[torch.Tensor]) -> Any:
    """``tensor.set_(...)``: the tensor looks at another storage."""
    tensor, given = args[0], args[1:]
    if native_type(tensor) != r.device.type:
        return NotImplemented
    if not given:
        fresh = new_tensor(r.listener, (0,), (1,), tensor.dtype, 0)
        set_geometry(tensor, fresh.untyped_storage(), (0,), (1,), 0)
        return tensor
    source = given[0]
    if isinstance(source, torch.Tensor):
        storage, offset, size, stride = source.untyped_storage(), source.storage_offset(), source.shape, source.stride()
    else:
        storage, offset, stride = source, 0, (1,)
        size = torch.Size((source.nbytes() // tensor.dtype.itemsize,))
    if len(given) > 1:
        offset, size = given[1], torch.Size(given[2])
        stride = given[3] if len(given) > 3 and given[3] else torch.empty(size, device=META).stride()
    if _behind(storage) is None:
        raise RuntimeError(
            f'Attempted to set the storage of a tensor on device "{tensor.device}" to a storage on different device '
            f'"{storage.device}".  This is no longer allowed; the devices must match.'
        )
    set_geometry(tensor, storage, tuple(size), tuple(stride), int(offset))
    return tensor


STORAGES: Special = dict.fromkeys(
    (
        _aten.set_.default, _aten.set_.source_Storage, _aten.set_.source_Storage_storage_offset, _aten.set_.source_Tensor,
        _aten.set_.source_Tensor_storage_offset,
    ),
    set_storage,
)  # fmt: skip
"""Operators that put a storage under a tensor, by overload."""


def install_storages(device: Any) -> None:
    """Make storages of the device, and pickling over them, work until ``device`` (a VirtualDevice) is left."""
    listener, values = device.recorder.listener, device.values
    visible: torch.device = device.visible
    plain = torch.UntypedStorage
    native = {name: getattr(plain, name) for name in ("device", "nbytes", "size", "resize_", "cpu", "clone", "data_ptr")}

    def where(storage: Any) -> torch.device:
        mark = getattr(storage, "_held", None)
        if mark is None:
            found: torch.device = native["device"].__get__(storage)
            return found
        return CPU if mark is HOST else visible

    def nbytes(storage: Any) -> int:
        behind = _behind(storage)
        return int(native["nbytes"](storage)) if behind is None else behind.bytes

    def data_ptr(storage: Any) -> int:
        behind = _behind(storage)
        if behind is None or behind.block is None:
            return 0 if behind is not None else int(native["data_ptr"](storage))
        return int(behind.block.address)

    def resize(storage: Any, size: int) -> Any:
        behind = _behind(storage)
        if behind is None:
            return native["resize_"](storage, size)
        if size != behind.bytes:
            behind.release()
            behind.bytes, behind.value = size, None
            if size:
                behind.block = listener.allocate(size)
                behind.value = torch.UntypedStorage(size) if values else None
        return storage

    def cpu(storage: Any) -> Any:
        behind = _behind(storage)
        if behind is None:
            return torch.UntypedStorage(storage.nbytes()) if getattr(storage, "_held", None) is HOST else native["cpu"](storage)
        listener.copied(behind.bytes, "to host", True)
        if behind.value is not None:
            return native["clone"](behind.value)
        listener.stood_in("bytes copied to the host", "all 0")
        return torch.zeros(behind.bytes, dtype=torch.uint8).untyped_storage()

    def clone(storage: Any) -> Any:
        behind = _behind(storage)
        if behind is not None:
            return _over(storage).clone().untyped_storage()
        if getattr(storage, "_held", None) is HOST:
            return mark_host(torch.empty(storage.nbytes(), dtype=torch.uint8, device=META)).untyped_storage()
        return native["clone"](storage)

    def to_device(storage: Any) -> Any:
        """The storage's bytes on the device."""
        known = values or storage.nbytes() <= _MOST_LOADED
        made = new_tensor(listener, (storage.nbytes(),), (1,), torch.uint8, storage.nbytes())
        if known and getattr(storage, "_held", None) is None:
            held(made).value = native["clone"](storage)
        listener.copied(storage.nbytes(), "to device", True)
        return made.untyped_storage()

    device.patch(plain, "device", property(where))
    for name, answer in (("nbytes", nbytes), ("size", nbytes), ("data_ptr", data_ptr), ("resize_", resize), ("cpu", cpu)):
        device.patch(plain, name, answer)
    device.patch(plain, "clone", clone)
    write, read = plain._write_file, plain._set_from_file

    def write_file(storage: Any, *args: Any) -> Any:
        return write(storage.cpu() if _behind(storage) is not None else storage, *args)

    def set_from_file(storage: Any, *args: Any) -> Any:
        behind = _behind(storage)
        if behind is None:
            return read(storage, *args)
        behind.value = torch.UntypedStorage(behind.bytes)
        read(behind.value, *args)
        return storage

    device.patch(plain, "_write_file", write_file)
    device.patch(plain, "_set_from_file", set_from_file)
    _install_pickling(device, to_device)


def _install_pickling(device: Any, to_device: Any) -> None:
    """torch.save, torch.load, pickle and copies of tensors."""
    visible: torch.device = device.visible
    whole = torch.Tensor._reduce_ex_internal
    load = torch.load

    def reduce(tensor: Any, protocol: int) -> Any:
        with torch._C.DisableTorchFunction():
            return reduced(tensor, protocol)

    def reduced(tensor: Any, protocol: int) -> Any:
        kind = native_type(tensor)
        if tensor.layout is not torch.strided or type(tensor) not in (torch.Tensor, torch.nn.Parameter):
            return whole(tensor, protocol)
        storage = tensor.untyped_storage()
        behind = _behind(storage)
        if behind is not None:
            large = behind.bytes >= HOST_KEPT_ELEMENTS * tensor.dtype.itemsize
            shape_only = behind.value is None and large
        else:
            shape_only = kind == "meta" and getattr(storage, "_held", None) is HOST
        if not shape_only:
            return whole(tensor, protocol)
        if behind is not None:
            device.recorder.listener.copied(behind.bytes, "to host", True)
        place = str(visible) if behind is not None else "cpu"
        geometry = tuple(tensor.shape), tuple(tensor.stride()), tensor.storage_offset(), storage.nbytes()
        return shape_of_saved, (storage._cdata, geometry, tensor.dtype, tensor.requires_grad, place)

    def load_with(f: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
        outer = getattr(_here, "loading", None)
        _here.loading = (map_location, {})
        try:
            with torch.serialization.safe_globals([shape_of_saved]):
                return load(f, map_location, *args, **kwargs)
        finally:
            _here.loading = outer

    def tag(storage: Any) -> str | None:
        return str(visible) if _behind(storage) is not None else None

    def restore(storage: Any, location: str) -> Any:
        if location.split(":")[0] not in device.functions.names:
            return None
        device.functions.place(location)  # refuses a device that there is not
        return to_device(storage)

    registry = torch.serialization._package_registry
    device.patch(torch.serialization, "_package_registry", [(5, tag, restore), *registry])
    device.patch(torch.Tensor, "_reduce_ex_internal", reduce)
    device.patch(torch, "load", load_with)
    device.patch(torch.serialization, "load", load_with)


def shape_of_saved(key: int, geometry: Any, dtype: torch.dtype, requires_grad: bool, place: str) -> torch.Tensor:
    """A tensor that was saved as a shape, where the file's reader wants it."""
    loading: tuple[Any, dict[int, Any]] = getattr(_here, "loading", None) or (None, {})
    map_location, known = loading
    size, stride, offset, nbytes = geometry
    storage = known.get(key)
    if storage is None:
        restored = torch.serialization._get_restore_location(map_location)(torch.UntypedStorage(0), place)
        on_host = restored.device.type == "cpu"
        made = torch.empty(nbytes // dtype.itemsize, dtype=dtype, device=META if on_host else restored.device)
        storage = known[key] = (mark_host(made) if on_host else made).untyped_storage()
    where = storage.device
    tensor = (
        mark_host(torch.empty(0, dtype=dtype, device=META)) if where.type == "cpu" else torch.empty(0, dtype=dtype, device=where)
    )
    tensor.set_(storage, offset, size, stride)
    return tensor.requires_grad_(requires_grad)
