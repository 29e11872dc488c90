"""What holds of the allocator whatever a program does, under any of its settings."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from windtunnel.run.allocator import Allocator, AllocatorSettings, Block, OutOfMemory
from windtunnel.run.allocator.settings import KIB, MIB

SETTINGS = [
    "",
    "expandable_segments:True",
    "max_split_size_mb:24",
    "roundup_power2_divisions:8",
    "garbage_collection_threshold:0.5,per_process_memory_fraction:0.8",
    "expandable_segments:True,garbage_collection_threshold:0.5,per_process_memory_fraction:0.8",
]
SIZE = st.one_of(st.integers(0, 4 * KIB), st.integers(1, 2 * MIB), st.integers(1 * MIB, 40 * MIB))
STEP = st.one_of(
    st.tuples(st.just("allocate"), SIZE, st.integers(0, 2)),
    st.tuples(st.just("allocate"), SIZE, st.integers(0, 2)),
    st.tuples(st.just("free"), st.integers(0, 1000), st.just(0)),
    st.tuples(st.just("free"), st.integers(0, 1000), st.just(0)),
    st.tuples(st.just("record"), st.integers(0, 1000), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.just(0), st.integers(0, 2)),
    st.tuples(st.just("empty"), st.just(0), st.just(0)),
    st.tuples(st.just("expand"), st.integers(0, 1), st.just(0)),
)


def check(allocator: Allocator, live: list[Block]) -> None:
    spans = sorted((b.address, b.address + b.size) for b in live if b.size)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans)), "blocks overlap"
    assert sum(b.size for b in live) == allocator.allocated
    free, total = allocator.mem_get_info()
    assert 0 <= allocator.allocated <= allocator.active <= allocator.reserved <= total - free <= total
    assert allocator.allocated <= allocator.peak_allocated <= allocator.peak_reserved
    snapshot = allocator.snapshot()
    assert sum(s["total_size"] for s in snapshot) == allocator.reserved
    assert sum(s["active_size"] for s in snapshot) == allocator.active
    for segment in snapshot:
        address, states = segment["address"], []
        for block in segment["blocks"]:
            assert block["address"] == address, "blocks of a segment follow each other"
            assert block["size"] % 512 == 0 < block["size"]
            address += block["size"]
            states.append(block["state"])
        assert ("inactive", "inactive") not in set(pairwise(states)), "free neighbours are joined"
    stats = allocator.memory_stats()
    assert min(value for name, value in stats.items() if name != "max_split_size") >= 0
    for name in ("allocated_bytes", "reserved_bytes", "active_bytes", "inactive_split_bytes", "requested_bytes", "active"):
        both = stats[f"{name}.large_pool.current"] + stats[f"{name}.small_pool.current"]
        assert stats[f"{name}.all.current"] == both
        assert stats[f"{name}.all.allocated"] - stats[f"{name}.all.freed"] == both
    found = allocator.fragmentation()
    assert found.cached + found.split + found.waiting == allocator.reserved - allocator.allocated
    if not any(s["is_expandable"] for s in snapshot):
        assert found.split == stats["inactive_split_bytes.all.current"]
        assert sum(f.blocks for f in found.by_size) == stats["inactive_split.all.current"]


@pytest.mark.parametrize("text", SETTINGS)
@settings(deadline=None, max_examples=60)
@given(steps=st.lists(STEP, max_size=60))
def test_whatever_a_program_does(text: str, steps: list[tuple[str, int, int]]) -> None:
    allocator = Allocator(200 * MIB, AllocatorSettings.parse(text), reserved_elsewhere_bytes=10 * MIB)
    live: list[Block] = []
    for action, number, stream in steps:
        if action == "allocate":
            try:
                block = allocator.allocate(number, stream)
            except OutOfMemory:
                check(allocator, live)
                continue
            assert block.size >= number
            live.append(block)
        elif action == "wait":
            allocator.stream_passed(stream)
        elif action == "empty":
            allocator.empty_cache()
        elif action == "expand":  # a program may turn expandable segments on and off as it runs
            allocator.configure(replace(allocator.settings, expandable_segments=bool(number)))
        elif live:
            if action == "free":
                allocator.free(live.pop(number % len(live)))
            else:
                allocator.record_stream(live[number % len(live)], stream)
        check(allocator, live)
    for block in live:
        allocator.free(block)
    assert allocator.allocated == 0
    allocator.empty_cache()
    check(allocator, [])
    assert (allocator.active, allocator.reserved, allocator.requested, allocator.snapshot()) == (0, 0, 0, [])


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(1, 40 * MIB), min_size=1, max_size=30))
@example(sizes=[1048577, 10485761, 10485249])
def test_a_step_that_repeats_soon_takes_no_more_memory(sizes: list[int]) -> None:
    """What training relies on: a step finds all that those before it left. The second one need not yet: the best fit for a small
    tensor can be the segment that the first step had made for a large one, as in the example."""
    allocator = Allocator(4000 * MIB)
    reserved = []
    for _ in range(len(sizes) + 3):
        blocks = [allocator.allocate(size) for size in sizes]
        for block in blocks:
            allocator.free(block)
        reserved.append(allocator.reserved)
    assert reserved[-2] == reserved[-1]
