"""What a program may ask of the device's memory, answered by the chip's allocator."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from windtunnel.run.surface.state import DeviceState


def memory(state: DeviceState) -> dict[str, Any]:
    """The functions of ``torch.<device>`` about memory, by name. All sizes in bytes."""
    machine, allocator = state.machine, state.machine.allocator
    taken: dict[int, Any] = {}

    def told(read: Callable[[], Any]) -> Callable[..., Any]:
        """A figure of the device that is asked for."""

        def tell(device: Any = None) -> Any:
            state.index(device)
            return read()

        return tell

    def stats() -> OrderedDict[str, int]:
        return OrderedDict(sorted(allocator.memory_stats().items()))

    def nested() -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for name, value in allocator.memory_stats().items():
            *path, last = name.split(".")
            at = tree
            for part in path:
                at = at.setdefault(part, {})
            at[last] = value
        return tree

    def summary(device: Any = None, abbreviated: bool = False) -> str:
        return allocator.memory_summary(state.index(device), state.name, abbreviated)

    def limit(fraction: float, device: Any = None) -> None:
        state.index(device)
        if not 0 <= fraction <= 1:
            raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
        allocator.set_memory_fraction(fraction)
        allocator.settings = replace(allocator.settings, memory_fraction=fraction)

    def fraction(device: Any = None) -> float:
        state.index(device)
        return 1.0 if allocator.settings.memory_fraction is None else allocator.settings.memory_fraction

    def alloc(size: int, device: Any = None, stream: Any = None) -> int:
        block = machine.allocate(size)
        taken[block.address] = block
        return int(block.address)

    def delete(address: int) -> None:
        machine.free(taken.pop(address))

    def empty_cache() -> None:
        machine.flush()
        allocator.empty_cache()
        machine.curve.add(machine.timeline.host_s, allocator.allocated, allocator.reserved)

    def snapshot() -> dict[str, Any]:
        return {"segments": allocator.snapshot(), "device_traces": [[]], "allocator_settings": {}}

    def dump(filename: str = "dump_snapshot.pickle", **_: Any) -> None:
        Path(filename).write_bytes(pickle.dumps(snapshot()))

    class MemPool:
        """A pool of memory that a program asks to keep apart; here all pools are one."""

        def __init__(self, *_: Any, **__: Any) -> None:
            self.id = (0, id(self))

        def use_count(self) -> int:
            return 1

        def snapshot(self) -> list[Any]:
            return allocator.snapshot()

    def use_mem_pool(pool: Any, device: Any = None) -> AbstractContextManager[None]:
        return nullcontext()

    return {
        "memory_allocated": told(lambda: allocator.allocated), "max_memory_allocated": told(lambda: allocator.peak_allocated),
        "memory_reserved": told(lambda: allocator.reserved), "max_memory_reserved": told(lambda: allocator.peak_reserved),
        "memory_cached": told(lambda: allocator.reserved), "max_memory_cached": told(lambda: allocator.peak_reserved),
        "memory_stats": told(stats), "memory_stats_as_nested_dict": told(nested), "memory_summary": summary,
        "memory_snapshot": lambda mempool_id=None: allocator.snapshot(), "_snapshot": lambda *a, **k: snapshot(),
        "_dump_snapshot": dump, "_record_memory_history": lambda *a, **k: None,
        "mem_get_info": told(allocator.mem_get_info), "get_memory_info": told(allocator.mem_get_info),
        "device_memory_used": told(lambda: allocator.capacity - allocator.mem_get_info()[0]),
        "reset_peak_memory_stats": told(allocator.reset_peak), "reset_max_memory_allocated": told(allocator.reset_peak),
        "reset_max_memory_cached": told(allocator.reset_peak),
        "reset_accumulated_memory_stats": told(allocator.reset_accumulated), "empty_cache": empty_cache,
        "set_per_process_memory_fraction": limit, "get_per_process_memory_fraction": fraction,
        "caching_allocator_alloc": alloc, "caching_allocator_delete": delete,
        "caching_allocator_enable": lambda value=True: None, "get_allocator_backend": lambda: "native",
        "host_memory_stats": dict, "host_memory_stats_as_nested_dict": dict,
        "reset_accumulated_host_memory_stats": lambda: None, "reset_peak_host_memory_stats": lambda: None,
        "MemPool": MemPool, "use_mem_pool": use_mem_pool, "OutOfMemoryError": torch.OutOfMemoryError,
    }  # fmt: skip
