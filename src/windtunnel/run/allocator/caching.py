"""The allocator itself: requests in, blocks out."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any

from windtunnel.run.allocator import report
from windtunnel.run.allocator.blocks import FREE, GONE, LIVE, Block, Pool, Segment
from windtunnel.run.allocator.device import SMALL, DeviceMemory
from windtunnel.run.allocator.out_of_memory import OutOfMemory
from windtunnel.run.allocator.settings import AllocatorSettings
from windtunnel.run.allocator.stats import Counters
from windtunnel.run.allocator.streams import PendingFrees, StreamClock


class Allocator:
    """Gives blocks of a device's memory and takes them back, as PyTorch's does. All sizes in bytes.

    capacity_bytes: the device's whole memory; reserved_elsewhere_bytes: what the context and the driver hold of it.
    clock: when streams are done, for blocks that were used on several; without it they wait for ``stream_passed``.
    """

    def __init__(
        self,
        capacity_bytes: int,
        settings: AllocatorSettings | None = None,
        reserved_elsewhere_bytes: int = 0,
        clock: StreamClock | None = None,
    ) -> None:
        self.capacity = capacity_bytes
        self._small, self._large = Pool("small_pool"), Pool("large_pool")
        self._counters = Counters(self._small.stats, self._large.stats)
        self._all = self._counters.all
        settings = settings or AllocatorSettings()
        self._device = DeviceMemory(capacity_bytes, reserved_elsewhere_bytes, settings, self._counters)
        self._pending = PendingFrees(clock)
        self._nothing = Segment(self._small, 0, 0, 0).head
        self.configure(settings)

    def configure(self, settings: AllocatorSettings) -> None:
        """Change the settings; what is allocated stays as it is."""
        self.settings = self._device.settings = settings
        self._padding = settings.padding
        self._rounds_plainly = all(d <= 1 for d in settings.roundup_divisions)
        self._max_split = settings.max_split_size
        self._expandable = settings.expandable_segments
        if settings.memory_fraction is not None:
            self._device.allowed = int(settings.memory_fraction * self.capacity)
        self._prepare()

    def set_memory_fraction(self, fraction: float) -> None:
        """Allow no more than this share of the capacity, as torch.cuda.set_per_process_memory_fraction does."""
        self._device.allowed = int(fraction * self.capacity)
        self._prepare()

    def _prepare(self) -> None:
        self._collects = self._device.allowed is not None and self.settings.gc_threshold > 0
        has_expandable = self._expandable or any(s.expandable for s in self._device.segments.values())
        # whether the first free block that is large enough is the one
        self._first_fits = not (self._collects or has_expandable or self._max_split is not None)

    # -- the program's side

    def allocate(self, nbytes: int, stream: int = 0) -> Block:
        """A block for ``nbytes`` on ``stream``. Nothing asked, nothing taken: a block of size 0. Raises OutOfMemory."""
        if nbytes <= 0:
            if nbytes < 0:
                raise ValueError(f"{nbytes} bytes cannot be allocated")
            return self._nothing
        if self._pending.events:
            self._settle(self._pending.due())
        padded = nbytes + self._padding
        size = (padded + 511) & -512 if self._rounds_plainly else self.settings.round_size(padded)
        pool = self._small if size <= SMALL else self._large
        block: Block | None = None
        if self._first_fits:
            slots = pool.free.get(stream)
            if slots:
                place = bisect_left(slots, (size,))
                if place < len(slots):
                    block = slots.pop(place)[2]
        else:
            block = self._find(pool, stream, size)
        if block is None:
            block = self._from_device(pool, stream, size, nbytes)

        total, part = self._all, pool.stats
        split = block.size - size
        was_split = block.prev is not None or block.next is not None
        if split and (
            pool.is_small or self._expandable or (split > SMALL and (self._max_split is None or size < self._max_split))
        ):
            segment = block.segment
            rest = Block(pool, stream, block.address + size, split, segment)
            block.size = size
            rest.prev = block
            rest.next = after = block.next
            if after is not None:
                after.prev = rest
            block.next = rest
            slots = pool.free.get(stream)
            if slots is None:
                slots = pool.free[stream] = []
            insort(slots, (split, rest.address, rest))
            if not segment.expandable:
                count, change = (0, -size) if was_split else (1, split)
                total.change_split(count, change)
                part.change_split(count, change)
        else:
            size = block.size
            if was_split and not block.segment.expandable:
                total.change_split(-1, -size)
                part.change_split(-1, -size)
        block.state = LIVE
        block.requested = nbytes
        total.hand_out(size, nbytes)
        part.hand_out(size, nbytes)
        if self._max_split is not None and size >= self._max_split:
            self._counters.oversize_allocations.rise(1)
        return block

    def free(self, block: Block) -> None:
        """Take a block back; where other streams used it, once they have passed this moment."""
        size = block.size
        if block.state != LIVE:
            if block is self._nothing:
                return
            raise ValueError(f"{block!r} is not allocated")
        total, part = self._all, block.pool.stats
        total.allocation.current -= 1
        part.allocation.current -= 1
        total.allocated_bytes.current -= size
        part.allocated_bytes.current -= size
        if self._max_split is not None and size >= self._max_split:
            self._counters.oversize_allocations.fall(1)
        if block.uses:
            self._pending.add(block)
        else:
            self._release(block)

    def record_stream(self, block: Block, stream: int) -> None:
        """Say that ``stream`` too uses the block: freed, it is not given out again before that stream has passed."""
        if stream != block.stream and block.state == LIVE:
            if block.uses is None:
                block.uses = set()
            block.uses.add(stream)

    def stream_passed(self, stream: int) -> None:
        """Everything launched on ``stream`` is done (the host has waited for it): what was kept for it is free."""
        self._settle(self._pending.passed(stream))

    def empty_cache(self) -> None:
        """Give all that is not in use back to the device, after waiting for the streams that still use freed blocks."""
        self._counters.num_sync_all_streams += 1
        for stream in list(self._pending.events):
            self.stream_passed(stream)
        self._device.release_all(self._large)
        self._device.release_all(self._small)

    # -- finding a block

    def _find(self, pool: Pool, stream: int, size: int) -> Block | None:
        """The best fit among the free blocks, where the plain rule does not do."""
        pool.searches += 1
        slots = pool.free.get(stream, [])
        place = bisect_left(slots, (size,))
        if place == len(slots):
            return None
        if slots[place][2].segment.expandable:
            if self._expandable:
                # a block before unmapped pages is as large as it can become: prefer those that can grow least
                while (
                    slots[place][2].segment.expandable
                    and place + 1 < len(slots)
                    and slots[place + 1][2].room < slots[place][2].room
                ):
                    place += 1
            else:
                while place < len(slots) and slots[place][2].segment.expandable:
                    place += 1
                if place == len(slots):
                    return None
        found = slots[place][0]
        if self._max_split is not None:
            if size < self._max_split <= found:
                return None
            if size >= self._max_split and found >= size + self.settings.max_non_split_rounding:
                return None
        return slots.pop(place)[2]

    def _from_device(self, pool: Pool, stream: int, size: int, nbytes: int) -> Block:
        """A free block on new memory: if the device has none left, give cached memory back and ask again."""
        device = self._device
        if self._collects:
            device.release_old(self._large)
        block = device.take(pool, stream, size)
        if block is None and device.release_oversize(pool, stream, size):
            block = device.take(pool, stream, size)
        if block is None:
            self.empty_cache()
            self._counters.num_alloc_retries += 1
            block = device.take(pool, stream, size)
        if block is None:
            self._counters.num_ooms += 1
            raise OutOfMemory(
                requested=nbytes,
                segment=device.segment_size(size),
                capacity=self.capacity,
                free=device.left,
                allocated=self.allocated,
                active=self.active,
                reserved=self.reserved,
                elsewhere=device.elsewhere,
                allowed=device.allowed,
            )
        return block

    # -- blocks that come back

    def _release(self, block: Block) -> None:
        """Put a block among the free ones, joined with free neighbours."""
        pool = block.pool
        total, part = self._all, pool.stats
        size, requested = block.size, block.requested
        slots = pool.free.get(block.stream)
        if slots is None:
            slots = pool.free[block.stream] = []
        segment = block.segment
        gone = gone_bytes = 0
        near = block.prev
        if near is not None and near.state == FREE and near.mapped:
            del slots[bisect_left(slots, (near.size, near.address))]
            gone, gone_bytes = 1, near.size
            block.address = near.address
            block.prev = before = near.prev
            if before is None:
                segment.head = block
            else:
                before.next = block
            near.state = GONE
            near.prev = near.next = None
        near = block.next
        if near is not None and near.state == FREE and near.mapped:
            del slots[bisect_left(slots, (near.size, near.address))]
            gone, gone_bytes = gone + 1, gone_bytes + near.size
            block.next = after = near.next
            if after is not None:
                after.prev = block
            near.state = GONE
            near.prev = near.next = None
        block.size = whole = size + gone_bytes
        block.state = FREE
        insort(slots, (whole, block.address, block))
        block.searches = pool.searches
        # pages of expandable segments can be given back one by one, so nothing of them counts as held by a split
        if not segment.expandable:
            if block.prev is not None or block.next is not None:
                gone, gone_bytes = gone - 1, gone_bytes - whole
            total.change_split(-gone, -gone_bytes)
            part.change_split(-gone, -gone_bytes)
        total.take_in(size, requested)
        part.take_in(size, requested)

    def _settle(self, blocks: list[Block]) -> None:
        for block in blocks:
            self._release(block)

    # -- what is told

    @property
    def allocated(self) -> int:
        return self._all.allocated_bytes.current

    @property
    def peak_allocated(self) -> int:
        return self._all.allocated_bytes.peak

    @property
    def reserved(self) -> int:
        return self._all.reserved_bytes.current

    @property
    def peak_reserved(self) -> int:
        return self._all.reserved_bytes.peak

    @property
    def active(self) -> int:
        """Bytes in blocks that are allocated, or freed and still used by a stream."""
        return self._all.active_bytes.current

    @property
    def requested(self) -> int:
        """Bytes that the program asked for, before rounding, in active blocks."""
        return self._all.requested_bytes.current

    @property
    def num_allocs(self) -> int:
        return self._all.allocation.up

    @property
    def num_frees(self) -> int:
        return self._all.allocation.down

    @property
    def num_alloc_retries(self) -> int:
        """How often the device had no memory left and cached segments were given back."""
        return self._counters.num_alloc_retries

    @property
    def num_ooms(self) -> int:
        return self._counters.num_ooms

    def reset_peak(self) -> None:
        """Peaks start again from what is there now."""
        for _, stat in self._counters.stats():
            stat.reset_peak()

    def reset_accumulated(self) -> None:
        """Totals of what was allocated and freed, and the counts of retries and failures, start again from 0."""
        for _, stat in self._counters.stats():
            stat.reset_accumulated()
        self._counters.reset_events()

    def memory_stats(self) -> dict[str, int]:
        """The figures of torch.cuda.memory_stats under its names, in its order."""
        limit = -1 if self._max_split is None else self._max_split
        return dict(sorted({"max_split_size": limit, "num_oom_rejections": 0, **self._counters.flat()}.items()))

    def mem_get_info(self) -> tuple[int, int]:
        """(free, total) bytes of the device."""
        return self._device.left, self.capacity

    def memory_summary(self, index: int = 0, device: str = "cuda", abbreviated: bool = False) -> str:
        """The table that torch.cuda.memory_summary prints."""
        return report.summary(self.memory_stats(), index, device, abbreviated)

    def snapshot(self, device: int = 0) -> list[dict[str, Any]]:
        """Segments with their blocks, in the layout of torch.cuda.memory_snapshot."""
        return [report.describe(blocks, device) for blocks in self._device.runs()]

    def fragmentation(self) -> report.Fragmentation:
        """Where the bytes are that the device gave and no tensor has."""
        return report.fragmentation(self._device.runs())
