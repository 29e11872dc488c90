"""Segments that the device gives, the blocks that they are cut into, and the pools in which free blocks wait."""

from __future__ import annotations

from bisect import bisect_left, insort

from windtunnel.run.allocator.stats import PoolStats

FREE, LIVE, WAITING, GONE = range(4)
"""A block is in its pool; with the program; freed, but not yet by all streams; or part of another."""


class Segment:
    """A range that the device gave or, with pages (bytes of one), a range of addresses that it fills page by page."""

    __slots__ = ("address", "expandable", "head", "page")

    def __init__(self, pool: Pool, stream: int, address: int, size: int, page: int = 0) -> None:
        self.address = address
        self.page = page
        self.expandable = page > 0
        self.head = Block(pool, stream, address, size, self)


class Block:
    """A part of a segment. ``size`` is what it takes up, ``requested`` what the program asked for."""

    __slots__ = (
        "address", "events", "mapped", "next", "pool", "prev", "requested", "searches", "segment", "size", "state",
        "stream", "uses",
    )  # fmt: skip

    def __init__(self, pool: Pool, stream: int, address: int, size: int, segment: Segment) -> None:
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
        self.events = 0
        self.searches = pool.searches

    def __repr__(self) -> str:
        state = ("free", "live", "waiting", "gone")[self.state]
        return f"<Block {self.address:#x} size={self.size} requested={self.requested} {state}>"

    @property
    def is_whole(self) -> bool:
        """Whether it is its segment's only block."""
        return self.prev is None and self.next is None

    @property
    def room(self) -> int:
        """What a free block can grow to: the unmapped pages behind it included."""
        after = self.next
        return self.size + (after.size if after is not None and not after.mapped else 0)

    def put_between(self, before: Block | None, after: Block | None) -> None:
        """Link it with its neighbours, and them with it; the first of a segment is the segment's head."""
        self.prev, self.next = before, after
        if before is None:
            self.segment.head = self
        else:
            before.next = self
        if after is not None:
            after.prev = self

    def absorb_neighbours(self) -> None:
        """Join it, while it is in no pool, with the free blocks on either side that are mapped as it is."""
        before, after = self.prev, self.next
        if before is not None and before.state == FREE and before.mapped == self.mapped:
            before.pool.remove(before)
            self.address, self.size = before.address, before.size + self.size
            self.put_between(before.prev, after)
            before.state, before.prev, before.next = GONE, None, None
        if after is not None and after.state == FREE and after.mapped == self.mapped:
            after.pool.remove(after)
            self.size += after.size
            self.put_between(self.prev, after.next)
            after.state, after.prev, after.next = GONE, None, None


Slot = tuple[int, int, Block]
"""Size, address, block: free blocks lie in this order, the best fit first."""


class Pool:
    """The free blocks for small requests, or for large ones, of each stream. searches: how often one was looked for."""

    __slots__ = ("free", "is_small", "name", "searches", "stats", "unmapped")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_small = name == "small_pool"
        self.free: dict[int, list[Slot]] = {}
        self.unmapped: dict[int, list[tuple[int, Block]]] = {}
        self.stats = PoolStats()
        self.searches = 0

    def insert(self, block: Block) -> None:
        if block.mapped:
            block.searches = self.searches
            insort(self.free.setdefault(block.stream, []), (block.size, block.address, block))
        else:
            insort(self.unmapped.setdefault(block.stream, []), (block.address, block))

    def remove(self, block: Block) -> None:
        if block.mapped:
            slots = self.free[block.stream]
            del slots[bisect_left(slots, (block.size, block.address))]
        else:
            gaps = self.unmapped[block.stream]
            del gaps[bisect_left(gaps, (block.address,))]

    def blocks(self) -> list[Block]:
        """The free ones, by stream, size and address."""
        return [slot[2] for stream in sorted(self.free) for slot in self.free[stream]]
