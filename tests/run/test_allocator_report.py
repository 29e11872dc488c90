"""What the allocator tells: the error of PyTorch, its statistics, its table, its snapshot, and where free bytes lie."""

from __future__ import annotations

import pickle

import pytest

from windtunnel.run.allocator import Allocator, FreeBytes, OutOfMemory
from windtunnel.run.allocator.out_of_memory import show_bytes
from windtunnel.run.allocator.settings import GIB, KIB, MIB


def out_of_memory() -> OutOfMemory:
    """Of 24,576 MiB, 512 are the context's, 40 in two segments of eight blocks, 24,020 in one block, and 4 are left."""
    allocator = Allocator(24 * GIB, reserved_elsewhere_bytes=512 * MIB)
    blocks = [allocator.allocate(5 * MIB) for _ in range(8)]
    allocator.allocate(24_020 * MIB)
    allocator.free(blocks[2])
    with pytest.raises(OutOfMemory) as caught:
        allocator.allocate(6 * MIB + 100 * KIB)
    return caught.value


def test_the_message_of_cuda() -> None:
    assert out_of_memory().message("cuda", 0) == (
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 24.00 GiB of which 4.00 MiB is free. "
        "Including non-PyTorch memory, this process has 24.00 GiB memory in use. Of the allocated memory 23.49 GiB is "
        "allocated by PyTorch, and 5.00 MiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is "
        "large try setting PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory "
        "Management  (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)"
    )


def test_the_message_of_npu() -> None:
    assert out_of_memory().message("npu", 3) == (
        "NPU out of memory. Tried to allocate 20.00 MiB (NPU 3; 24.00 GiB total capacity; 23.49 GiB already allocated; "
        "23.49 GiB current active; 4.00 MiB free; 23.50 GiB reserved in total by PyTorch) If reserved memory is >> "
        "allocated memory try setting max_split_size_mb to avoid fragmentation."
    )


def test_the_error_travels() -> None:
    error = out_of_memory()
    assert pickle.loads(pickle.dumps(error)).message("npu", 1) == error.message("npu", 1)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (512, "512 bytes"),
        (1024, "1024 bytes"),
        (1536, "1.50 KiB"),
        (1 * MIB, "1024.00 KiB"),
        (20 * MIB, "20.00 MiB"),
        (3 * GIB, "3.00 GiB"),
    ],
)
def test_sizes_as_pytorch_prints_them(count: int, text: str) -> None:
    assert show_bytes(count) == text


def worked() -> Allocator:
    allocator = Allocator(4 * GIB)
    blocks = [allocator.allocate(n) for n in (3 * KIB, 700 * KIB, 700 * KIB, 3 * MIB, 30 * MIB, 900 * MIB)]
    for block in (blocks[0], blocks[2], blocks[4]):
        allocator.free(block)
    allocator.allocate(1)
    return allocator


def test_statistics_carry_pytorchs_names() -> None:
    stats = worked().memory_stats()
    for metric in ("allocation", "segment", "active", "inactive_split"):
        for name in (metric, "allocated_bytes", "reserved_bytes", "active_bytes", "inactive_split_bytes", "requested_bytes"):
            for pool in ("all", "large_pool", "small_pool"):
                assert {f"{name}.{pool}.{x}" for x in ("current", "peak", "allocated", "freed")} <= set(stats)
    assert list(stats) == sorted(stats)
    assert stats["allocation.all.current"] == 4
    assert (stats["allocation.small_pool.allocated"], stats["allocation.small_pool.freed"]) == (4, 2)
    assert stats["requested_bytes.all.current"] == 700 * KIB + 3 * MIB + 900 * MIB + 1
    assert stats["allocated_bytes.all.current"] == 700 * KIB + 3 * MIB + 900 * MIB + 512
    assert stats["allocated_bytes.all.peak"] == 1403 * KIB + 933 * MIB
    assert stats["reserved_bytes.large_pool.current"] == 950 * MIB


def test_the_table_is_the_one_that_pytorch_makes_of_these_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = pytest.importorskip("torch.cuda.memory")
    allocator = worked()
    monkeypatch.setattr(memory, "memory_stats", lambda device=None: allocator.memory_stats())
    monkeypatch.setattr(memory, "_get_device_index", lambda device, optional=False: 2)
    for abbreviated in (False, True):
        assert allocator.memory_summary(2, "cuda", abbreviated) == memory.memory_summary(2, abbreviated)


def test_the_table_names_another_device_in_the_same_width() -> None:
    lines = worked().memory_summary(0, "npu").splitlines()
    assert "PyTorch NPU memory summary, device ID 0" in lines[1]
    assert {len(line) for line in lines} == {77}


def test_peaks_and_totals_start_again() -> None:
    allocator = worked()
    current = allocator.allocated
    assert allocator.peak_allocated > current
    allocator.reset_peak()
    assert (allocator.peak_allocated, allocator.peak_reserved) == (current, allocator.reserved)
    allocator.reset_accumulated()
    stats = allocator.memory_stats()
    assert (stats["allocated_bytes.all.allocated"], stats["allocated_bytes.all.freed"], allocator.num_allocs) == (0, 0, 0)
    allocator.free(allocator.allocate(512))
    assert (allocator.num_allocs, allocator.num_frees, allocator.allocated) == (1, 1, current)


def test_a_snapshot_lists_segments_and_their_blocks() -> None:
    small, packed, cached, large = worked().snapshot(device=1)
    assert (small["segment_type"], small["total_size"], small["device"], small["stream"]) == ("small", 2 * MIB, 1, 0)
    assert [(b["size"], b["requested_size"], b["state"]) for b in small["blocks"][:2]] == [
        (512, 1, "active_allocated"),
        (3 * KIB - 512, 0, "inactive"),
    ]
    assert (packed["total_size"], packed["allocated_size"]) == (20 * MIB, 3 * MIB)
    assert (cached["total_size"], cached["active_size"], len(cached["blocks"])) == (30 * MIB, 0, 1)
    assert (large["requested_size"], large["segment_type"]) == (900 * MIB, "large")
    addresses = [b["address"] for s in (small, packed, cached, large) for b in s["blocks"]]
    assert addresses == sorted(set(addresses))


def test_where_the_free_bytes_lie() -> None:
    allocator = worked()
    found = allocator.fragmentation()
    behind = 2 * MIB - 703 * KIB
    assert (found.cached, found.waiting, found.rounding) == (30 * MIB, 0, 511)
    assert found.by_size == (
        FreeBytes("large_pool", 64 * MIB, 17 * MIB, 1),
        FreeBytes("small_pool", 4 * KIB, 3 * KIB - 512, 1),
        FreeBytes("small_pool", 10 * MIB, behind, 1),
    )
    assert found.split == sum(f.bytes for f in found.by_size) == allocator.memory_stats()["inactive_split_bytes.all.current"]
    assert found.cached + found.split + found.waiting == allocator.reserved - allocator.allocated
