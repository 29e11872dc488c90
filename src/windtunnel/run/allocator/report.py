"""What an allocator's memory looks like: segments with their blocks, the table of counters, where free bytes lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from windtunnel.run.allocator.blocks import FREE, LIVE, WAITING, Block
from windtunnel.run.allocator.settings import GIB, KIB, MIB

_STATES = {FREE: "inactive", LIVE: "active_allocated", WAITING: "active_pending_free"}

SIZE_CLASSES = (4 * KIB, 64 * KIB, 1 * MIB, 10 * MIB, 64 * MIB, 1 * GIB)
"""Largest size of each class of free blocks, in bytes; one more class has no limit."""


def describe(blocks: list[Block], device: int) -> dict[str, Any]:
    """One segment in the layout of torch.cuda.memory_snapshot."""
    first = blocks[0]
    return {
        "device": device,
        "address": first.address,
        "total_size": sum(b.size for b in blocks),
        "allocated_size": sum(b.size for b in blocks if b.state == LIVE),
        "active_size": sum(b.size for b in blocks if b.state != FREE),
        "requested_size": sum(b.requested for b in blocks if b.state != FREE),
        "stream": first.stream,
        "segment_type": "small" if first.pool.is_small else "large",
        "segment_pool_id": (0, 0),
        "is_expandable": first.segment.expandable,
        "frames": [],
        "blocks": [
            {"address": b.address, "size": b.size, "requested_size": b.requested, "state": _STATES[b.state], "frames": []}
            for b in blocks
        ],
    }


@dataclass(frozen=True, slots=True)
class FreeBytes:
    """Free blocks of one pool whose sizes lie in one class: up to ``largest`` bytes each (None: no limit)."""

    pool: str
    largest: int | None
    bytes: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Fragmentation:
    """Where the bytes are that the device gave and no tensor has: reserved - allocated = cached + split + waiting.

    cached: in segments that lie wholly free and go back to the device when it runs short; split: free between blocks that
    are in use, in ``by_size`` by pool and size; waiting: freed, still used by a stream. rounding: beyond those, the bytes
    that blocks in use take up and nobody asked for.
    """

    cached: int
    split: int
    waiting: int
    rounding: int
    by_size: tuple[FreeBytes, ...]


def fragmentation(runs: Iterable[list[Block]]) -> Fragmentation:
    cached = split = waiting = rounding = 0
    classes: dict[tuple[str, int], list[int]] = {}
    for blocks in runs:
        whole = len(blocks) == 1
        for block in blocks:
            if block.state == LIVE:
                rounding += block.size - block.requested
            elif block.state == WAITING:
                waiting += block.size
            elif whole:
                cached += block.size
            else:
                split += block.size
                place = sum(block.size > limit for limit in SIZE_CLASSES)
                found = classes.setdefault((block.pool.name, place), [0, 0])
                found[0] += block.size
                found[1] += 1
    limits = (*SIZE_CLASSES, None)
    by_size = tuple(FreeBytes(pool, limits[i], size, count) for (pool, i), (size, count) in sorted(classes.items()))
    return Fragmentation(cached, split, waiting, rounding, by_size)


def _show_bytes(count: int, largest: int) -> str:
    """``count`` in the unit that suits ``largest``."""
    units = ["B  ", "KiB", "MiB", "GiB", "TiB", "PiB"]
    place, scale = 0, float(largest)
    while scale >= 768 * 1024 and place < len(units) - 1:
        count, scale, place = count // 1024, scale / 1024, place + 1
    return f"{count:6d} {units[place]}"


def _show_count(count: int, largest: int) -> str:
    units = [" ", "K", "M"]
    place, scale = 0, float(largest)
    while scale >= 750 * 1000 and place < len(units) - 1:
        count, scale, place = count // 1000, scale / 1000, place + 1
    return f"{count:7d} {units[place]} "


_BYTES = {
    "allocated_bytes": "Allocated memory",
    "active_bytes": "Active memory",
    "requested_bytes": "Requested memory",
    "reserved_bytes": "GPU reserved memory",
    "inactive_split_bytes": "Non-releasable memory",
}
_COUNTS = {
    "allocation": "Allocations",
    "active": "Active allocs",
    "segment": "GPU reserved segments",
    "inactive_split": "Non-releasable allocs",
}
_OVERSIZE = {"oversize_allocations": "Oversize allocations", "oversize_segments": "Oversize GPU segments"}
_WIDTH = 75


def summary(stats: dict[str, int], index: int, device: str, abbreviated: bool) -> str:
    """The table of torch.cuda.memory_summary, which programs print and people know how to read."""
    name = device.upper()
    lines = [
        "=" * _WIDTH,
        f"{'':17}{f' PyTorch {name} memory summary, device ID {index:<17d} ':<{_WIDTH - 17}}",
        "-" * _WIDTH,
        f"{'':11} {name} OOMs: {stats['num_ooms']:<12d} | {'':6} cudaMalloc retries: {stats['num_alloc_retries']:<8d}  ",
        "=" * _WIDTH,
        "        Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  ",
    ]
    columns = ("current", "peak", "allocated", "freed")
    sections = [(f"{key}.all", title, _show_bytes) for key, title in _BYTES.items()]
    sections += [(f"{key}.all", title, _show_count) for key, title in _COUNTS.items()]
    sections += [(key, title, _show_count) for key, title in _OVERSIZE.items()]
    for key, title, show in sections:
        rows = {key: title}
        if key.endswith(".all") and not abbreviated:
            rows[key.replace(".all", ".large_pool")] = "      from large pool"
            rows[key.replace(".all", ".small_pool")] = "      from small pool"
        lines.append("-" * _WIDTH)
        for row, label in rows.items():
            # a pool's figures stand in the unit of the sum's
            cells = (show(stats[f"{row}.{c}"], stats[f"{key}.{c}"]) for c in columns)
            lines.append(f" {label:<21} | {' | '.join(cells)} ")
    lines.append("=" * _WIDTH)
    return "".join(f"|{line:<{_WIDTH}}|\n" for line in lines)
