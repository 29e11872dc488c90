"""What an allocator says when the device has no more memory to give."""

from __future__ import annotations

from windtunnel.run.allocator.settings import GIB, KIB, MIB


def show_bytes(count: int) -> str:
    """``count`` in the unit and with the decimals in which PyTorch prints sizes: ``20.00 MiB``."""
    if count <= KIB:
        return f"{count} bytes"
    for limit, unit, name in ((MIB, KIB, "KiB"), (GIB, MIB, "MiB")):
        if count <= limit:
            return f"{count / unit:.2f} {name}"
    return f"{count / GIB:.2f} GiB"


class OutOfMemory(Exception):  # noqa: N818 - the name by which PyTorch users know it, less the suffix that PyTorch's carries
    """The device cannot hold one more segment, cached ones given back. All in bytes.

    requested: what the program asked for; segment: what the allocator asked the device for; free: what the device had
    left; elsewhere: the share of others (context, driver); allowed: the limit that the program set itself, if it did.
    """

    def __init__(
        self,
        requested: int,
        segment: int,
        capacity: int,
        free: int,
        allocated: int,
        active: int,
        reserved: int,
        elsewhere: int,
        allowed: int | None = None,
    ) -> None:
        self.requested, self.segment, self.capacity, self.free = requested, segment, capacity, free
        self.allocated, self.active, self.reserved = allocated, active, reserved
        self.elsewhere, self.allowed = elsewhere, allowed
        super().__init__(self.message("cuda", 0))

    def __reduce__(self) -> tuple[object, ...]:
        fields = (self.requested, self.segment, self.capacity, self.free, self.allocated, self.active, self.reserved)
        return (type(self), (*fields, self.elsewhere, self.allowed))

    def message(self, device: str, index: int) -> str:
        """The text that the device type's plugin would print, so that programs which read it still find what they look for.

        **Source:** the layouts of PyTorch since 2.2 and of torch_npu, as in published error reports.
        """
        allowed = "" if self.allowed is None else f"{show_bytes(self.allowed)} allowed; "
        if device == "npu":
            return (
                f"NPU out of memory. Tried to allocate {show_bytes(self.segment)} (NPU {index}; "
                f"{show_bytes(self.capacity)} total capacity; {show_bytes(self.allocated)} already allocated; "
                f"{show_bytes(self.active)} current active; {show_bytes(self.free)} free; {allowed}"
                f"{show_bytes(self.reserved)} reserved in total by PyTorch) If reserved memory is >> allocated memory try "
                "setting max_split_size_mb to avoid fragmentation."
            )
        return (
            f"{device.upper()} out of memory. Tried to allocate {show_bytes(self.segment)}. GPU {index} has a total capacity "
            f"of {show_bytes(self.capacity)} of which {show_bytes(self.free)} is free. Including non-PyTorch memory, this "
            f"process has {show_bytes(self.elsewhere + self.reserved)} memory in use. {allowed}Of the allocated memory "
            f"{show_bytes(self.allocated)} is allocated by PyTorch, and {show_bytes(self.reserved - self.allocated)} is "
            "reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting "
            "PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory Management  "
            "(https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)"
        )
