"""The accelerator's caching allocator as PyTorch has it, over memory that is not there.

What is exact: which size a request gets, from which pool and segment, what is split, merged, kept and given back, and so
what is allocated and reserved, and when memory runs out. What is modelled: addresses (real ones depend on the driver),
the share of the context and the driver (given from outside), and when a stream has passed an event (the virtual clock's).

**Source:** the scheme of c10/cuda/CUDACachingAllocator and c10/core/AllocatorConfig.h, PyTorch 2.13; torch_npu's
NPUCachingAllocator follows it with 32 bytes more a request.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

from windtunnel.run.allocator_settings import MIB, ROUNDING_INTERVALS, AllocatorSettings
from windtunnel.run.allocator_stats import POOLS, PoolStats, Stat, summary
from windtunnel.run.out_of_memory import OutOfMemory

BLOCK = 512
"""Sizes are multiples of this."""
SMALL = 1 * MIB
"""Requests up to this come from the small pool."""
SMALL_SEGMENT = 2 * MIB
PACKED = 10 * MIB
"""Requests from SMALL up to this share the large pool's segments; larger ones get their own, in steps of LARGE_STEP."""
LARGE_STEP = 2 * MIB
FIRST_ADDRESS = 0x7F00_0000_0000

FREE, LIVE, WAITING, GONE = range(4)


class StreamClock(Protocol):
    """When the device's streams are done, in seconds of one clock."""

    def now_s(self) -> float:
        """The host's time."""

    def done_s(self, stream: int) -> float:
        """When all that has been launched on ``stream`` up to now will be done."""


class Segment:
    """A range that the device gave, or (expandable) a range of addresses that it fills as needed."""

    __slots__ = ("address", "expandable", "head", "page", "pool", "size", "stream")

    def __init__(self, pool: Pool, stream: int, address: int, size: int, page: int = 0) -> None:
        self.pool, self.stream, self.address, self.size = pool, stream, address, size
        self.expandable = page > 0
        self.page = page
        self.head = Block(pool, stream, address, size, self)


class Block:
    """A part of a segment. ``size`` is what it takes up, ``requested`` what the program asked for."""

    __slots__ = (
        "address", "events", "mapped", "next", "pool", "prev", "requested", "searches", "segment", "size", "state",
        "stream", "uses",
    )  # fmt: skip

    def __init__(self, pool: Pool, stream: int, address: int, size: int, segment: Segment | None) -> None:
        self.pool = pool
        self.stream = stream
        self.address = address
        self.size = size
        self.segment = segment
        self.requested = 0
        self.state = FREE
        self.mapped = True
        self.prev: Block | None = None
        self.next: Block | None = None
        self.uses: set[int] | None = None

    def __repr__(self) -> str:
        state = ("free", "live", "waiting", "gone")[self.state]
        return f"<Block {self.address:#x} size={self.size} requested={self.requested} {state}>"


Slot = tuple[int, int, Block]
"""Size, address, block: free blocks lie in this order, the best fit first."""


class Pool:
    """The free blocks for small requests, or for large ones, of each stream."""

    __slots__ = ("free", "is_small", "name", "searches", "stats", "unmapped")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_small = name == "small_pool"
        self.free: dict[int, list[Slot]] = {}
        self.unmapped: dict[int, list[tuple[int, Block]]] = {}
        self.stats = PoolStats()
        self.searches = 0

    def insert(self, block: Block) -> None:
        slots = self.free.get(block.stream)
        if slots is None:
            slots = self.free[block.stream] = []
        insort(slots, (block.size, block.address, block))

    def remove(self, block: Block) -> None:
        if block.mapped:
            slots = self.free[block.stream]
            del slots[bisect_left(slots, (block.size, block.address))]
        else:
            places = self.unmapped[block.stream]
            del places[bisect_left(places, (block.address,))]

    def blocks(self) -> list[Block]:
        return [slot[2] for stream in sorted(self.free) for slot in self.free[stream]]


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
        self.elsewhere = reserved_elsewhere_bytes
        self.clock = clock
        self._small, self._large = Pool("small_pool"), Pool("large_pool")
        self._all = PoolStats()
        self._oversize_allocations, self._oversize_segments = Stat(), Stat()
        self._segments: dict[int, Segment] = {}
        self._next_address = FIRST_ADDRESS
        self._pending: dict[int, deque[tuple[float, Block]]] = {}
        self._nothing = Block(self._small, 0, 0, 0, None)
        self.num_alloc_retries = self.num_ooms = self.num_sync_all_streams = 0
        self.num_device_alloc = self.num_device_free = 0
        self._allowed: int | None = None
        self.configure(settings or AllocatorSettings())

    def configure(self, settings: AllocatorSettings) -> None:
        """Change the settings; what is allocated stays as it is."""
        self.settings = settings
        self._padding = settings.padding
        self._rounds_plainly = all(d <= 1 for d in settings.roundup_divisions)
        self._max_split = settings.max_split_size
        self._expandable = settings.expandable_segments
        if settings.memory_fraction is not None:
            self.set_memory_fraction(settings.memory_fraction)
        self._prepare()

    def set_memory_fraction(self, fraction: float) -> None:
        """Allow no more than this share of the capacity, as torch.cuda.set_per_process_memory_fraction does."""
        self._allowed = int(fraction * self.capacity)
        self._prepare()

    def _prepare(self) -> None:
        self._collects = self._allowed is not None and self.settings.gc_threshold > 0
        has_expandable = self._expandable or any(s.expandable for s in self._segments.values())
        # the first free block that is large enough is the one
        self._first_fits = not (self._collects or has_expandable or self._max_split is not None)

    # -- the program's side

    def allocate(self, nbytes: int, stream: int = 0) -> Block:
        """A block for ``nbytes`` on ``stream``. Nothing asked, nothing taken: a block of size 0. Raises OutOfMemory."""
        if nbytes <= 0:
            if nbytes < 0:
                raise ValueError(f"{nbytes} bytes cannot be allocated")
            return self._nothing
        if self._pending:
            self._process_events()
        padded = nbytes + self._padding
        size = (padded + 511) & -512 if self._rounds_plainly else self.round_size(padded)
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
            split > SMALL and (self._max_split is None or size < self._max_split)
            if not (pool.is_small or self._expandable)
            else True
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
            if self._collects:
                rest.searches = pool.searches
            if not segment.expandable:  # type: ignore[union-attr]
                if was_split:
                    total.inactive_split_bytes.current -= size
                    part.inactive_split_bytes.current -= size
                else:
                    total.inactive_split_bytes.rise(split)
                    part.inactive_split_bytes.rise(split)
                    total.inactive_split.rise(1)
                    part.inactive_split.rise(1)
        else:
            size = block.size
            if was_split and not block.segment.expandable:  # type: ignore[union-attr]
                total.inactive_split_bytes.current -= size
                part.inactive_split_bytes.current -= size
                total.inactive_split.current -= 1
                part.inactive_split.current -= 1
        block.state = LIVE
        block.requested = nbytes
        for stats in (total, part):
            stat = stats.allocation
            stat.up += 1
            stat.current = now = stat.current + 1
            if now > stat.peak:
                stat.peak = now
            stat = stats.active
            stat.up += 1
            stat.current = now = stat.current + 1
            if now > stat.peak:
                stat.peak = now
            stat = stats.allocated_bytes
            stat.up += size
            stat.current = now = stat.current + size
            if now > stat.peak:
                stat.peak = now
            stat = stats.active_bytes
            stat.up += size
            stat.current = now = stat.current + size
            if now > stat.peak:
                stat.peak = now
            stat = stats.requested_bytes
            stat.up += nbytes
            stat.current = now = stat.current + nbytes
            if now > stat.peak:
                stat.peak = now
        if self._max_split is not None and size >= self._max_split:
            self._oversize_allocations.rise(1)
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
            self._oversize_allocations.fall(1)
        if block.uses:
            self._wait(block)
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
        for _, block in self._pending.pop(stream, ()):
            self._event_done(block)

    def empty_cache(self) -> None:
        """Give all that is not in use back to the device, after waiting for the streams that still use freed blocks."""
        self._release_cached()

    # -- sizes

    def round_size(self, padded: int) -> int:
        """Bytes that a request takes up (padding included already): a multiple of 512, or the next of a power of two's parts."""
        if padded >= BLOCK:
            index = min(max(padded.bit_length() - 21, 0), ROUNDING_INTERVALS - 1)
            divisions = self.settings.roundup_divisions[index]
            if divisions > 1 and padded > BLOCK * divisions:
                step = (1 << (padded.bit_length() - 1)) // divisions
                return -(-padded // step) * step
        return (padded + BLOCK - 1) // BLOCK * BLOCK

    def segment_size(self, size: int) -> int:
        """Bytes that are asked of the device for a block of ``size``."""
        if size <= SMALL:
            return SMALL_SEGMENT
        if size < PACKED:
            return self.settings.large_segment
        return -(-size // LARGE_STEP) * LARGE_STEP

    # -- finding a block

    def _find(self, pool: Pool, stream: int, size: int) -> Block | None:
        """The best fit among the free blocks, where the plain rule does not do."""
        if self._collects:
            pool.searches += 1
        slots = pool.free.get(stream, [])
        place = bisect_left(slots, (size,))
        if place == len(slots):
            return None
        if slots[place][2].segment.expandable:  # type: ignore[union-attr]
            if self._expandable:
                # a block before unmapped pages is as large as it can become: prefer those that can grow least
                while (
                    slots[place][2].segment.expandable  # type: ignore[union-attr]
                    and place + 1 < len(slots)
                    and _room(slots[place + 1][2]) < _room(slots[place][2])
                ):
                    place += 1
            else:
                while place < len(slots) and slots[place][2].segment.expandable:  # type: ignore[union-attr]
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
        """A free block from new memory: if the device has none left, give cached memory back and ask again."""
        if self._collects:
            self._collect()
        block = self._new(pool, stream, size)
        if block is None and self._release_oversize(pool, stream, size):
            block = self._new(pool, stream, size)
        if block is None:
            self._release_cached()
            self.num_alloc_retries += 1
            block = self._new(pool, stream, size)
        if block is None:
            self.num_ooms += 1
            raise OutOfMemory(
                requested=nbytes,
                segment=self.segment_size(size),
                capacity=self.capacity,
                free=self._left(),
                allocated=self.allocated,
                active=self.active,
                reserved=self.reserved,
                elsewhere=self.elsewhere,
                allowed=self._allowed,
            )
        return block

    def _left(self) -> int:
        return max(self.capacity - self.elsewhere - self.reserved, 0)

    def _new(self, pool: Pool, stream: int, size: int) -> Block | None:
        """A free block (in no list) of at least ``size`` on memory taken from the device, or None."""
        asked = self.segment_size(size)
        if self._allowed is not None and self.reserved + asked > self._allowed:
            return None
        if self._expandable:
            return self._expand(pool, stream, size)
        if asked > self._left():
            return None
        segment = self._add_segment(pool, stream, asked, 0)
        self._took(pool, asked)
        for stats in (self._all, pool.stats):
            stats.segment.rise(1)
        if self._max_split is not None and asked >= self._max_split:
            self._oversize_segments.rise(1)
        return segment.head

    def _add_segment(self, pool: Pool, stream: int, size: int, page: int) -> Segment:
        segment = Segment(pool, stream, self._next_address, size, page)
        self._segments[segment.address] = segment
        self._next_address += -(-size // LARGE_STEP) * LARGE_STEP
        return segment

    def _took(self, pool: Pool, size: int) -> None:
        self.num_device_alloc += 1
        for stats in (self._all, pool.stats):
            stats.reserved_bytes.rise(size)

    def _gave(self, pool: Pool, size: int) -> None:
        self.num_device_free += 1
        for stats in (self._all, pool.stats):
            stats.reserved_bytes.fall(size)

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
                segment.head = block  # type: ignore[union-attr]
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
        if self._collects:
            block.searches = pool.searches
        # pages of expandable segments can be given back one by one, so nothing of them counts as held by a split
        if not segment.expandable:  # type: ignore[union-attr]
            if block.prev is not None or block.next is not None:
                gone, gone_bytes = gone - 1, gone_bytes - whole
            if gone_bytes:
                for stats in (total, part):
                    stat = stats.inactive_split_bytes
                    if gone_bytes > 0:
                        stat.current -= gone_bytes
                    else:
                        stat.rise(-gone_bytes)
            if gone:
                for stats in (total, part):
                    stat = stats.inactive_split
                    if gone > 0:
                        stat.current -= gone
                    else:
                        stat.rise(-gone)
        total.active.current -= 1
        part.active.current -= 1
        total.active_bytes.current -= size
        part.active_bytes.current -= size
        total.requested_bytes.current -= requested
        part.requested_bytes.current -= requested

    def _wait(self, block: Block) -> None:
        uses = block.uses or set()
        block.uses = None
        block.state = WAITING
        block.events = len(uses)
        for stream in uses:
            done_s = float("inf") if self.clock is None else self.clock.done_s(stream)
            self._pending.setdefault(stream, deque()).append((done_s, block))

    def _event_done(self, block: Block) -> None:
        block.events -= 1
        if not block.events:
            self._release(block)

    def _process_events(self) -> None:
        """Free what streams have passed by now, each stream in order."""
        if self.clock is None:
            return
        now_s = self.clock.now_s()
        for stream in list(self._pending):
            events = self._pending[stream]
            while events and events[0][0] <= now_s:
                self._event_done(events.popleft()[1])
            if not events:
                del self._pending[stream]

    # -- memory that goes back to the device

    def _release_segment(self, block: Block) -> None:
        """Give a free block back that is a whole segment."""
        pool, size = block.pool, block.size
        pool.remove(block)
        block.state = GONE
        del self._segments[block.address]
        self._gave(pool, size)
        for stats in (self._all, pool.stats):
            stats.segment.fall(1)
        if self._max_split is not None and size >= self._max_split:
            self._oversize_segments.fall(1)

    def _release_cached(self) -> None:
        """Wait for all streams, then give every segment back of which nothing is in use, and every unused page."""
        self.num_sync_all_streams += 1
        while self._pending:
            self.stream_passed(next(iter(self._pending)))
        for pool in (self._large, self._small):
            blocks = pool.blocks()
            for block in blocks:
                if not block.segment.expandable and block.prev is None and block.next is None:  # type: ignore[union-attr]
                    self._release_segment(block)
            for block in blocks:
                if block.segment.expandable:  # type: ignore[union-attr]
                    self._unmap(block)

    def _release_oversize(self, pool: Pool, stream: int, size: int) -> bool:
        """Give enough oversize segments back for one of ``size``: the best fit, else the largest ones down."""
        if self._max_split is None:
            return False
        slots = pool.free.get(stream, [])
        wanted = max(size, self._max_split)
        place = bisect_left(slots, (wanted,))
        if place < len(slots) and not slots[place][2].segment.expandable:  # type: ignore[union-attr]
            self._release_segment(slots[place][2])
            return True
        released = 0
        for _, _, block in reversed(slots[:place]):
            if released >= wanted or block.size < self._max_split:
                break
            if not block.segment.expandable:  # type: ignore[union-attr]
                released += block.size
                self._release_segment(block)
        return released >= wanted

    def _collect(self) -> None:
        """Give cached whole segments back, those first that lay unused longest, until reserved is under the threshold."""
        target = self.reserved - int(self.settings.gc_threshold * (self._allowed or 0))
        pool = self._large
        whole = [b for b in pool.blocks() if b.prev is None and b.next is None]
        age, count = float(sum(pool.searches - b.searches for b in whole)), len(whole)
        reclaimed, found = 0, True
        while reclaimed < target and found and count:
            threshold = age / count
            found = False
            for block in list(whole):
                if not block.segment.expandable and pool.searches - block.searches >= threshold:  # type: ignore[union-attr]
                    found = True
                    reclaimed += block.size
                    age -= pool.searches - block.searches
                    count -= 1
                    whole.remove(block)
                    self._release_segment(block)

    # -- expandable segments

    def _expand(self, pool: Pool, stream: int, size: int) -> Block | None:
        """Map pages behind a free block, or at the first gap that is long enough, until ``size`` fits."""
        block = self._gap(pool, stream, size)
        if not block.mapped and not self._map(block, min(block.size, size)):
            return None
        while block.size < size:
            gap = block.next
            assert gap is not None
            if not self._map(gap, min(size - block.size, gap.size)):
                return None
            block = gap  # it has taken in the free block before it
        pool.remove(block)
        return block

    def _gap(self, pool: Pool, stream: int, size: int) -> Block:
        """The first free or unmapped block from which ``size`` bytes lie unused; at worst a new range of addresses."""
        for _, gap in pool.unmapped.get(stream, ()):
            start = gap.prev if gap.prev is not None and gap.prev.state == FREE else gap
            room, block = 0, start
            while block is not None and block.state == FREE and room < size:
                room += block.size
                block = block.next  # type: ignore[assignment]
            if room >= size:
                return start
        page = SMALL_SEGMENT if pool.is_small else self.settings.large_segment
        # an eighth more addresses than memory, so that pages unmapped in front can be mapped again at the end
        addresses = -(-(self.capacity + self.capacity // 8) // page) * page
        head = self._add_segment(pool, stream, addresses, page).head
        head.mapped = False
        insort(pool.unmapped.setdefault(stream, []), (head.address, head))
        self._first_fits = False
        return head

    def _map(self, gap: Block, size: int) -> bool:
        """Fill ``size`` bytes of a gap, rounded up to pages, and join them with free neighbours. False: no memory left."""
        segment = gap.segment
        assert segment is not None
        size = -(-size // segment.page) * segment.page
        if size > self._left():
            return False
        pool = gap.pool
        pool.remove(gap)
        gap.mapped = True
        if size < gap.size:
            rest = Block(pool, gap.stream, gap.address + size, gap.size - size, segment)
            rest.mapped = False
            gap.size = size
            _link(gap, rest, gap.next)
            insort(pool.unmapped[gap.stream], (rest.address, rest))
        _absorb_neighbours(gap)
        pool.insert(gap)
        gap.searches = pool.searches
        self._took(pool, size)
        return True

    def _unmap(self, block: Block) -> None:
        """Give the whole pages of a free block back; what is left of it on either side stays free."""
        segment, pool = block.segment, block.pool
        assert segment is not None
        start = segment.address + -(-(block.address - segment.address) // segment.page) * segment.page
        end = segment.address + (block.address + block.size - segment.address) // segment.page * segment.page
        if end <= start:
            return
        pool.remove(block)
        if block.address < start:
            before = Block(pool, block.stream, block.address, start - block.address, segment)
            before.searches = pool.searches
            if block.prev is None:
                segment.head = before
            _link(block.prev, before, block)
            pool.insert(before)
        if end < block.address + block.size:
            after = Block(pool, block.stream, end, block.address + block.size - end, segment)
            after.searches = pool.searches
            _link(block, after, block.next)
            pool.insert(after)
        block.address, block.size, block.mapped = start, end - start, False
        _absorb_neighbours(block)
        insort(pool.unmapped[block.stream], (block.address, block))
        self._gave(pool, end - start)
        if block.prev is None and block.next is None:
            pool.remove(block)
            block.state = GONE
            del self._segments[segment.address]

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

    def _stats(self) -> Iterator[tuple[str, Stat]]:
        for pool, stats in zip(POOLS, (self._all, self._large.stats, self._small.stats), strict=True):
            for name, stat in stats.stats():
                yield f"{name}.{pool}", stat
        yield "oversize_allocations", self._oversize_allocations
        yield "oversize_segments", self._oversize_segments

    def reset_peak(self) -> None:
        """Peaks start again from what is there now."""
        for _, stat in self._stats():
            stat.reset_peak()

    def reset_accumulated(self) -> None:
        """Totals of what was allocated and freed, and the counts of retries and failures, start again from 0."""
        for _, stat in self._stats():
            stat.reset_accumulated()
        self.num_alloc_retries = self.num_ooms = self.num_sync_all_streams = 0
        self.num_device_alloc = self.num_device_free = 0

    def memory_stats(self) -> dict[str, int]:
        """The figures of torch.cuda.memory_stats under its names, in their order."""
        flat: dict[str, int] = {
            "max_split_size": -1 if self._max_split is None else self._max_split,
            "num_alloc_retries": self.num_alloc_retries,
            "num_device_alloc": self.num_device_alloc,
            "num_device_free": self.num_device_free,
            "num_oom_rejections": 0,
            "num_ooms": self.num_ooms,
            "num_sync_all_streams": self.num_sync_all_streams,
        }
        for name, stat in self._stats():
            flat.update(stat.flat(name))
        return dict(sorted(flat.items()))

    def mem_get_info(self) -> tuple[int, int]:
        """(free, total) bytes of the device."""
        return self._left(), self.capacity

    def memory_summary(self, index: int = 0, device: str = "cuda", abbreviated: bool = False) -> str:
        """The table that torch.cuda.memory_summary prints."""
        return summary(self.memory_stats(), index, device, abbreviated)

    def segments(self) -> Iterator[list[Block]]:
        """The blocks of each segment in order of addresses; of expandable ones each run of mapped pages."""
        for address in sorted(self._segments):
            run: list[Block] = []
            block: Block | None = self._segments[address].head
            while block is not None:
                if block.mapped:
                    run.append(block)
                elif run:
                    yield run
                    run = []
                block = block.next
            if run:
                yield run

    def snapshot(self, device: int = 0) -> list[dict[str, Any]]:
        """Segments with their blocks, in the layout of torch.cuda.memory_snapshot."""
        return [_describe(blocks, device) for blocks in self.segments()]


def _room(block: Block) -> int:
    """What a free block can grow to."""
    after = block.next
    return block.size + (after.size if after is not None and not after.mapped else 0)


def _link(before: Block | None, block: Block, after: Block | None) -> None:
    """Put ``block`` between two neighbours."""
    block.prev, block.next = before, after
    if before is not None:
        before.next = block
    if after is not None:
        after.prev = block


def _absorb_neighbours(block: Block) -> None:
    """Join a block that is in no list with free neighbours that are mapped, or not, as it is."""
    near = block.prev
    if near is not None and near.state == FREE and near.mapped == block.mapped:
        near.pool.remove(near)
        block.address, block.size = near.address, near.size + block.size
        _link(near.prev, block, block.next)
        if near.prev is None and block.segment is not None:
            block.segment.head = block
        near.state, near.prev, near.next = GONE, None, None
    near = block.next
    if near is not None and near.state == FREE and near.mapped == block.mapped:
        near.pool.remove(near)
        block.size += near.size
        _link(block.prev, block, near.next)
        near.state, near.prev, near.next = GONE, None, None


_STATES = {FREE: "inactive", LIVE: "active_allocated", WAITING: "active_pending_free"}


def _describe(blocks: list[Block], device: int) -> dict[str, Any]:
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
        "is_expandable": first.segment is not None and first.segment.expandable,
        "frames": [],
        "blocks": [
            {"address": b.address, "size": b.size, "requested_size": b.requested, "state": _STATES[b.state], "frames": []}
            for b in blocks
        ],
    }
