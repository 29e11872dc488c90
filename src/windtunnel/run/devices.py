"""The devices that this machine really has: which, how they are waited for, timed and named, and the chip that they are."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from windtunnel.catalog.chip import Chip, chip, chips, shelf
from windtunnel.catalog.store import name_key
from windtunnel.errors import UnknownNameError, UnsupportedError

PLUGINS = {"npu": "torch_npu", "musa": "torch_musa", "mlu": "torch_mlu"}
"""Devices that come with a package of their own, which adds ``torch.NAME``."""
KINDS = ("cpu", "cuda", "npu", "musa", "mlu", "xpu", "mps")


class Mark(Protocol):
    """A point on a device's timeline."""

    def record(self) -> None: ...
    def elapsed_time(self, end: Any) -> float: ...


@dataclass(frozen=True)
class Device:
    """One real device. kind: PyTorch's word (``cuda``); name: as it calls itself; module: ``torch.cuda`` or its like, None
    for the CPU."""

    kind: str
    index: int
    name: str
    module: Any = None

    @property
    def torch_name(self) -> str:
        return self.kind if self.module is None or self.kind == "mps" else f"{self.kind}:{self.index}"

    @property
    def software(self) -> str:
        """What runs on it: PyTorch's version, and of the CPU how many threads, which its speed hangs on."""
        import torch

        threads = torch.get_num_threads()
        return f"PyTorch {torch.__version__}" + ("" if self.module else f", {threads} thread{'s' * (threads != 1)}")

    @property
    def asynchronous(self) -> bool:
        """Whether an operator returns before it is done."""
        return self.module is not None

    def wait(self) -> None:
        """Until everything that was launched is done."""
        if self.module is not None:
            self.module.synchronize()

    def mark(self) -> Mark:
        """A new event that can be timed."""
        events = getattr(self.module, "event", self.module) if self.kind == "mps" else self.module
        event: Mark = events.Event(enable_timing=True)
        return event

    def reset_peak(self) -> Callable[[], int | None]:
        """Starts to watch memory; what comes back tells the bytes at most since, None where the device does not tell."""
        if self.module is None:
            return _resident_peak()
        if not hasattr(self.module, "max_memory_allocated"):
            return lambda: None
        with contextlib.suppress(RuntimeError, AttributeError):
            self.module.reset_peak_memory_stats()
        return lambda: int(self.module.max_memory_allocated())

    def memory(self) -> int | None:
        """Bytes of its memory."""
        if self.module is None:
            return _host_memory()
        with contextlib.suppress(Exception):  # each plugin fails in its own way
            return int(self.module.get_device_properties(self.index).total_memory)
        return None

    def cache(self) -> int | None:
        """Bytes of its last cache."""
        if self.module is None:
            return _host_cache()
        with contextlib.suppress(Exception):  # older releases and other plugins do not tell
            return int(self.module.get_device_properties(self.index).L2_cache_size) or None
        return None

    def head_start(self, seconds: float) -> None:
        """Keeps the device busy for about so long, that the host can launch ahead of it; nothing where that cannot be."""
        spin = getattr(self.module, "_sleep", None) if self.kind == "cuda" else None
        if spin is not None and seconds > 0:
            spin(int(min(seconds, 0.5) * SPIN_HZ))


SPIN_HZ = 1.6e9
"""Cycles a second that a head start counts with; GPUs run at 1.2 to 2.5 GHz, and the length matters little."""


def _status(field: str) -> int | None:
    """Bytes that Linux tells of this process."""
    with contextlib.suppress(OSError, ValueError):
        found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.M)
        return int(found[1]) * 1024 if found else None
    return None


def _resident_peak() -> Callable[[], int | None]:
    """Of the CPU: what the process holds at most beyond what it holds now (Linux alone tells)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high-water mark starts anew
    before = _status("VmRSS")

    def peak() -> int | None:
        most = _status("VmHWM")
        return None if most is None or before is None else max(most - before, 0)

    return peak


def _host_memory() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        found = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"), re.M)
        return int(found[1]) * 1024 if found else None
    return None


_SIZES = {"K": 2**10, "M": 2**20, "G": 2**30}


def _host_cache() -> int | None:
    """The largest cache that the first core sees (Linux alone tells)."""
    sizes = []
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            text = file.read_text(encoding="ascii").strip()
            sizes.append(int(text[:-1]) * _SIZES[text[-1]])
    return max(sizes, default=None)


def _module(kind: str) -> Any:
    """``torch.KIND`` of a device that is there, else None."""
    plugin = PLUGINS.get(kind)
    if plugin is not None:
        if importlib.util.find_spec(plugin) is None:
            return None
        try:
            importlib.import_module(plugin)
        except Exception:  # a plugin of another PyTorch, or without its driver, fails in many ways
            return None
    import torch

    module = getattr(torch, kind, None)
    there = torch.backends.mps.is_available() if kind == "mps" else module is not None and _works(module)
    return module if there else None


def _works(module: Any) -> bool:
    with contextlib.suppress(Exception):
        return bool(module.is_available())
    return False


def present() -> tuple[str, ...]:
    """The kinds of devices that this machine has, as ``--on`` takes them."""
    return ("cpu", *(kind for kind in KINDS[1:] if _module(kind) is not None))


def is_real(name: str) -> bool:
    """Whether a name is of a kind of device, rather than of a chip: ``cpu``, ``cuda``, ``cuda:1``, ``npu`` ..."""
    kind, _, index = name.lower().partition(":")
    return kind in KINDS and (not index or index.isdecimal())


def device_named(name: str) -> Device:
    """The device behind ``cuda``, ``cuda:1``, ``cpu`` ... Raises UnknownNameError, UnsupportedError that names what is there."""
    if not is_real(name):
        raise UnknownNameError("device", name, KINDS)
    kind, _, place = name.lower().partition(":")
    index = int(place or 0)
    if kind == "cpu":
        return Device("cpu", 0, cpu_name())
    module = _module(kind)
    if module is None:
        raise UnsupportedError(f"this machine has no {kind} device; it has: {', '.join(present())}")
    count = int(module.device_count())
    if index >= count:
        raise UnsupportedError(f"this machine has no {kind}:{index}; it has {count} {kind} device{'s' * (count != 1)}")
    if kind == "mps":
        return Device(kind, 0, platform.processor() or "Apple GPU", module)
    module.set_device(index)
    return Device(kind, index, str(module.get_device_name(index)), module)


def cpu_name() -> str:
    """The processor as the operating system calls it."""
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine() or "CPU"


_WORDS = re.compile(r"^(nvidia|amd|tesla|geforce|instinct|huawei|intel|moore-threads)-")
_DIE = re.compile(r"^ascend-?910-93\d\d$")
"""What torch_npu calls each of a 910C's dies (the catalogue's alias ``ascend-910-93xx``)."""


def chip_of(device_name: str) -> Chip | None:
    """The catalogue's chip that calls itself so, by its id, name or alias; hyphens do not matter. None where there is none."""
    key = name_key(device_name)
    if _DIE.match(key):
        return next((c for c in chips() if c.part_of == "ascend-910c"), None)
    keys = [key]
    while found := _WORDS.match(keys[-1]):
        keys.append(keys[-1][found.end() :])
    index = {**{name: name for name in shelf.ids()}, **shelf.aliases()}
    for one in keys:
        if one in index:
            return chip(index[one])
    close: dict[str, set[str]] = {}
    for name, record in index.items():
        close.setdefault(name.replace("-", ""), set()).add(record)
    for one in keys:
        records = close.get(one.replace("-", ""), set())
        if len(records) == 1:
            return chip(next(iter(records)))
    return None
