"""The caching allocator, walked through by hand: which block comes from where, what is split, joined, kept and given back.

Addresses are offsets from the first one: segments follow each other in steps of 2 MiB.
"""

from __future__ import annotations

import pytest

from windtunnel.run.allocator import Allocator, AllocatorSettings, Block, OutOfMemory
from windtunnel.run.allocator.device import FIRST_ADDRESS
from windtunnel.run.allocator.settings import GIB, KIB, MIB


def at(block: Block) -> int:
    return block.address - FIRST_ADDRESS


def layout(allocator: Allocator) -> list[list[tuple[int, bool]]]:
    """Of each segment, its blocks: size, and whether in use."""
    return [[(b["size"], b["state"] != "inactive") for b in s["blocks"]] for s in allocator.snapshot()]


def parsed(text: str) -> AllocatorSettings:
    return AllocatorSettings.parse(text)


@pytest.mark.parametrize(
    ("asked", "taken", "segment"),
    [
        (1, 512, 2 * MIB),
        (512, 512, 2 * MIB),
        (513, 1024, 2 * MIB),
        (1 * MIB, 1 * MIB, 2 * MIB),
        (1 * MIB + 1, 1 * MIB + 512, 20 * MIB),
        (10 * MIB - 512, 10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB),
        # 2 MiB steps; a rest of no more than 1 MiB is not split off a large block
        (10 * MIB + 1, 10 * MIB + 512, 12 * MIB),
        (11 * MIB, 12 * MIB, 12 * MIB),
        (21 * MIB + 512, 22 * MIB, 22 * MIB),
    ],
)
def test_what_a_request_takes(asked: int, taken: int, segment: int) -> None:
    allocator = Allocator(1 * GIB)
    block = allocator.allocate(asked)
    assert (at(block), block.requested, block.size) == (0, asked, taken)
    assert (allocator.allocated, allocator.reserved, allocator.requested) == (taken, segment, asked)


def test_small_requests_share_a_segment_and_the_best_fit_is_taken() -> None:
    allocator = Allocator(1 * GIB)
    blocks = [allocator.allocate(n * KIB) for n in (100, 300, 100, 200, 100)]
    assert [at(b) for b in blocks] == [0, 100 * KIB, 400 * KIB, 500 * KIB, 700 * KIB]
    allocator.free(blocks[1])
    allocator.free(blocks[3])
    # 300 KiB and 200 KiB lie free between others, and 1,248 KiB at the end: 150 fits best in the 200
    assert at(allocator.allocate(150 * KIB)) == 500 * KIB
    # of 300, 50 and 1,248, the first is the smallest that holds 250
    assert at(allocator.allocate(250 * KIB)) == 100 * KIB
    # two rests of 50 KiB: the lower address first
    assert at(allocator.allocate(50 * KIB)) == 350 * KIB
    assert at(allocator.allocate(51 * KIB)) == 800 * KIB
    assert allocator.reserved == 2 * MIB


def test_small_and_large_requests_do_not_mix() -> None:
    allocator = Allocator(1 * GIB)
    large = allocator.allocate(4 * MIB)
    small = allocator.allocate(64 * KIB)
    assert (at(large), at(small)) == (0, 20 * MIB)
    assert layout(allocator) == [
        [(4 * MIB, True), (16 * MIB, False)],
        [(64 * KIB, True), (2 * MIB - 64 * KIB, False)],
    ]
    assert allocator.memory_stats()["reserved_bytes.small_pool.current"] == 2 * MIB


def test_free_neighbours_join_on_either_side() -> None:
    allocator = Allocator(1 * GIB)
    a, b, c, _ = (allocator.allocate(5 * MIB) for _ in range(4))
    assert layout(allocator) == [[(5 * MIB, True)] * 4]
    allocator.free(a)
    allocator.free(c)
    assert layout(allocator) == [[(5 * MIB, False), (5 * MIB, True), (5 * MIB, False), (5 * MIB, True)]]
    stats = allocator.memory_stats()
    assert (stats["inactive_split.all.current"], stats["inactive_split_bytes.all.current"]) == (2, 10 * MIB)
    allocator.free(b)
    assert layout(allocator) == [[(15 * MIB, False), (5 * MIB, True)]]
    stats = allocator.memory_stats()
    assert (stats["inactive_split.all.current"], stats["inactive_split_bytes.all.current"]) == (1, 15 * MIB)
    assert at(allocator.allocate(15 * MIB)) == 0


def test_a_large_block_keeps_a_rest_of_up_to_one_mebibyte() -> None:
    allocator = Allocator(1 * GIB)
    allocator.free(allocator.allocate(20 * MIB))
    kept = allocator.allocate(19 * MIB)
    assert (kept.size, layout(allocator)) == (20 * MIB, [[(20 * MIB, True)]])
    allocator.free(kept)
    cut = allocator.allocate(19 * MIB - 512)
    assert (cut.size, layout(allocator)) == (19 * MIB - 512, [[(19 * MIB - 512, True), (1 * MIB + 512, False)]])


def test_streams_do_not_share_free_memory() -> None:
    allocator = Allocator(1 * GIB)
    allocator.free(allocator.allocate(30 * MIB, stream=0))
    assert at(allocator.allocate(30 * MIB, stream=1)) == 30 * MIB
    assert at(allocator.allocate(30 * MIB, stream=0)) == 0


def test_cached_segments_go_back_before_memory_runs_out() -> None:
    allocator = Allocator(100 * MIB, reserved_elsewhere_bytes=10 * MIB)
    kept = allocator.allocate(30 * MIB)
    allocator.free(allocator.allocate(40 * MIB))
    assert (allocator.reserved, allocator.mem_get_info()) == (70 * MIB, (20 * MIB, 100 * MIB))
    # neither 40 cached nor 20 left hold 60, given back they do
    block = allocator.allocate(60 * MIB)
    assert (at(block), allocator.reserved, allocator.num_alloc_retries) == (70 * MIB, 90 * MIB, 1)
    with pytest.raises(OutOfMemory) as caught:
        allocator.allocate(5)
    found = caught.value
    assert (found.requested, found.segment, found.free, found.allocated) == (5, 2 * MIB, 0, 90 * MIB)
    assert (allocator.num_ooms, allocator.num_alloc_retries) == (1, 2)
    allocator.free(kept)
    assert allocator.allocate(5).size == 512


def test_nothing_takes_nothing() -> None:
    allocator = Allocator(1 * GIB)
    block = allocator.allocate(0)
    allocator.free(block)
    allocator.free(block)
    assert (block.size, block.address, allocator.reserved, allocator.num_allocs) == (0, 0, 0, 0)


def test_a_block_is_freed_once() -> None:
    allocator = Allocator(1 * GIB)
    block = allocator.allocate(100)
    allocator.free(block)
    with pytest.raises(ValueError, match="is not allocated"):
        allocator.free(block)
    with pytest.raises(ValueError, match="cannot be allocated"):
        allocator.allocate(-1)
