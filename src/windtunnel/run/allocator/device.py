"""The device's memory as the allocator takes it and gives it back: in whole segments, or in pages of expandable ones."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.run.allocator.blocks import FREE, GONE, Block, Pool, Segment
from windtunnel.run.allocator.settings import MIB, AllocatorSettings
from windtunnel.run.allocator.stats import Counters

SMALL = 1 * MIB
"""Requests up to this come from the small pool."""
SMALL_SEGMENT = 2 * MIB
PACKED = 10 * MIB
"""Requests from SMALL up to this share the large pool's segments; larger ones get their own, in steps of LARGE_STEP."""
LARGE_STEP = 2 * MIB
FIRST_ADDRESS = 0x7F00_0000_0000
"""Where made-up addresses begin. They are given out once, so that none ever means two things."""


class DeviceMemory:
    """What is left of ``capacity`` bytes, and which segments have been made of the rest. allowed: the program's own limit."""

    def __init__(self, capacity: int, elsewhere: int, settings: AllocatorSettings, counters: Counters) -> None:
        self.capacity = capacity
        self.elsewhere = elsewhere
        self.settings = settings
        self.counters = counters
        self.allowed: int | None = None
        self.segments: dict[int, Segment] = {}
        self._next_address = FIRST_ADDRESS

    @property
    def left(self) -> int:
        """Bytes that the driver would call free."""
        return max(self.capacity - self.elsewhere - self.counters.all.reserved_bytes.current, 0)

    def segment_size(self, size: int) -> int:
        """Bytes that are asked of the device for a block of ``size``."""
        if size <= SMALL:
            return SMALL_SEGMENT
        if size < PACKED:
            return self.settings.large_segment
        return -(-size // LARGE_STEP) * LARGE_STEP

    def take(self, pool: Pool, stream: int, size: int) -> Block | None:
        """A free block (in no pool) of at least ``size`` on new memory, or None where there is not enough."""
        asked = self.segment_size(size)
        if self.allowed is not None and self.counters.all.reserved_bytes.current + asked > self.allowed:
            return None
        if self.settings.expandable_segments:
            return self._expand(pool, stream, size)
        if asked > self.left:
            return None
        segment = self._add_segment(pool, stream, asked)
        self._took(pool, asked)
        self.counters.all.segment.rise(1)
        pool.stats.segment.rise(1)
        if self.settings.is_oversize(asked):
            self.counters.oversize_segments.rise(1)
        return segment.head

    def release(self, block: Block) -> None:
        """Give a free block back that is a whole segment."""
        pool, size = block.pool, block.size
        pool.remove(block)
        block.state = GONE
        del self.segments[block.address]
        self._gave(pool, size)
        self.counters.all.segment.fall(1)
        pool.stats.segment.fall(1)
        if self.settings.is_oversize(size):
            self.counters.oversize_segments.fall(1)

    def release_all(self, pool: Pool) -> None:
        """Give back every segment of which nothing is in use, and every unused page."""
        blocks = pool.blocks()
        for block in blocks:
            if not block.segment.expandable and block.is_whole:
                self.release(block)
        for block in blocks:
            if block.segment.expandable:
                self._unmap(block)

    def release_oversize(self, pool: Pool, stream: int, size: int) -> bool:
        """Give enough oversize segments back for one of ``size``: the best fit, else the largest ones down."""
        limit = self.settings.max_split_size
        if limit is None:
            return False
        wanted = max(size, limit)
        blocks = [slot[2] for slot in pool.free.get(stream, ())]
        fitting = next((b for b in blocks if b.size >= wanted), None)
        if fitting is not None and not fitting.segment.expandable:
            self.release(fitting)
            return True
        released = 0
        for block in reversed(blocks if fitting is None else blocks[: blocks.index(fitting)]):
            if released >= wanted or block.size < limit:
                break
            if not block.segment.expandable:
                released += block.size
                self.release(block)
        return released >= wanted

    def release_old(self, pool: Pool) -> None:
        """Give back whole cached segments, those first that lay unused longest, until reserved is under the threshold."""
        target = self.counters.all.reserved_bytes.current - int(self.settings.gc_threshold * (self.allowed or 0))
        whole = [b for b in pool.blocks() if b.is_whole]
        age, count = float(sum(pool.searches - b.searches for b in whole)), len(whole)
        reclaimed, found = 0, True
        while reclaimed < target and found and count:
            threshold = age / count
            found = False
            for block in list(whole):
                if not block.segment.expandable and pool.searches - block.searches >= threshold:
                    found = True
                    reclaimed += block.size
                    age -= pool.searches - block.searches
                    count -= 1
                    whole.remove(block)
                    self.release(block)

    def runs(self) -> Iterator[list[Block]]:
        """The blocks of each segment in order of addresses; of expandable ones, each run of mapped pages."""
        for address in sorted(self.segments):
            run: list[Block] = []
            block: Block | None = self.segments[address].head
            while block is not None:
                if block.mapped:
                    run.append(block)
                elif run:
                    yield run
                    run = []
                block = block.next
            if run:
                yield run

    def _add_segment(self, pool: Pool, stream: int, size: int, page: int = 0) -> Segment:
        segment = Segment(pool, stream, self._next_address, size, page)
        self.segments[segment.address] = segment
        self._next_address += -(-size // LARGE_STEP) * LARGE_STEP
        return segment

    def _took(self, pool: Pool, size: int) -> None:
        self.counters.num_device_alloc += 1
        self.counters.all.reserved_bytes.rise(size)
        pool.stats.reserved_bytes.rise(size)

    def _gave(self, pool: Pool, size: int) -> None:
        self.counters.num_device_free += 1
        self.counters.all.reserved_bytes.fall(size)
        pool.stats.reserved_bytes.fall(size)

    def _expand(self, pool: Pool, stream: int, size: int) -> Block | None:
        """Map pages behind a free block, or at the first gap that is long enough, until ``size`` fits."""
        block = self._gap(pool, stream, size)
        if not block.mapped and not self._map(block, min(block.size, size)):
            return None
        while block.size < size:
            gap = block.next
            assert gap is not None, "the gap was found to be long enough"
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
            while room < size and block.state == FREE:
                room += block.size
                if block.next is None:
                    break
                block = block.next
            if room >= size:
                return start
        page = SMALL_SEGMENT if pool.is_small else self.settings.large_segment
        # an eighth more addresses than memory, so that pages unmapped in front can be mapped again at the end
        addresses = -(-(self.capacity + self.capacity // 8) // page) * page
        head = self._add_segment(pool, stream, max(addresses, -(-size // page) * page), page).head
        head.mapped = False
        pool.insert(head)
        return head

    def _map(self, gap: Block, size: int) -> bool:
        """Fill ``size`` bytes of a gap, rounded up to pages, and join them with free neighbours. False: no memory left."""
        segment, pool = gap.segment, gap.pool
        size = -(-size // segment.page) * segment.page
        if size > self.left:
            return False
        pool.remove(gap)
        gap.mapped = True
        if size < gap.size:
            rest = Block(pool, gap.stream, gap.address + size, gap.size - size, segment)
            rest.mapped = False
            gap.size = size
            rest.put_between(gap, gap.next)
            pool.insert(rest)
        gap.absorb_neighbours()
        pool.insert(gap)
        self._took(pool, size)
        return True

    def _unmap(self, block: Block) -> None:
        """Give the whole pages of a free block back; what is left of it on either side stays free."""
        segment, pool = block.segment, block.pool
        start = segment.address + -(-(block.address - segment.address) // segment.page) * segment.page
        stop = block.address + block.size
        end = segment.address + (stop - segment.address) // segment.page * segment.page
        if end <= start:
            return
        pool.remove(block)
        if block.address < start:
            before = Block(pool, block.stream, block.address, start - block.address, segment)
            before.put_between(block.prev, block)
            pool.insert(before)
        if end < stop:
            after = Block(pool, block.stream, end, stop - end, segment)
            after.put_between(block, block.next)
            pool.insert(after)
        block.address, block.size, block.mapped = start, end - start, False
        block.absorb_neighbours()
        self._gave(pool, end - start)
        if block.is_whole:
            block.state = GONE
            del self.segments[segment.address]
        else:
            pool.insert(block)
