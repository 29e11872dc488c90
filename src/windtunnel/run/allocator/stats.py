"""What an allocator counts, and the report that torch.cuda.memory_stats makes of it."""

from __future__ import annotations

from collections.abc import Iterator

POOL_METRICS = (
    "allocation",
    "allocated_bytes",
    "active",
    "active_bytes",
    "requested_bytes",
    "segment",
    "reserved_bytes",
    "inactive_split",
    "inactive_split_bytes",
)


class Stat:
    """One quantity: now, at most, and how much it rose and fell altogether."""

    __slots__ = ("base", "current", "peak", "up")

    def __init__(self) -> None:
        self.current = 0
        self.peak = 0
        self.up = 0
        self.base = 0

    @property
    def down(self) -> int:
        """Total decrease, which is what it was at the start plus what it rose less what is left."""
        return self.base + self.up - self.current

    def rise(self, amount: int) -> None:
        self.up += amount
        self.current = now = self.current + amount
        if now > self.peak:
            self.peak = now

    def fall(self, amount: int) -> None:
        self.current -= amount

    def reset_peak(self) -> None:
        self.peak = self.current

    def reset_accumulated(self) -> None:
        self.up, self.base = 0, self.current

    def flat(self, prefix: str) -> dict[str, int]:
        return {
            f"{prefix}.current": self.current,
            f"{prefix}.peak": self.peak,
            f"{prefix}.allocated": self.up,
            f"{prefix}.freed": self.down,
        }


class PoolStats:
    """The quantities that are counted for each pool and for all together; the names are those of POOL_METRICS."""

    __slots__ = POOL_METRICS

    def __init__(self) -> None:
        self.allocation = Stat()
        self.allocated_bytes = Stat()
        self.active = Stat()
        self.active_bytes = Stat()
        self.requested_bytes = Stat()
        self.segment = Stat()
        self.reserved_bytes = Stat()
        self.inactive_split = Stat()
        self.inactive_split_bytes = Stat()

    def hand_out(self, size: int, requested: int) -> None:
        """Count a block that goes to the program. Written out, since every allocation passes here."""
        stat = self.allocation
        stat.up += 1
        stat.current = now = stat.current + 1
        if now > stat.peak:
            stat.peak = now
        stat = self.active
        stat.up += 1
        stat.current = now = stat.current + 1
        if now > stat.peak:
            stat.peak = now
        stat = self.allocated_bytes
        stat.up += size
        stat.current = now = stat.current + size
        if now > stat.peak:
            stat.peak = now
        stat = self.active_bytes
        stat.up += size
        stat.current = now = stat.current + size
        if now > stat.peak:
            stat.peak = now
        stat = self.requested_bytes
        stat.up += requested
        stat.current = now = stat.current + requested
        if now > stat.peak:
            stat.peak = now

    def take_in(self, size: int, requested: int) -> None:
        """Count a block that nothing uses any more. What the program holds fell when it freed the block."""
        self.active.current -= 1
        self.active_bytes.current -= size
        self.requested_bytes.current -= requested

    def change_split(self, count: int, size: int) -> None:
        """Count free blocks that come to lie in split segments, or (negative) that no longer do."""
        if count > 0:
            self.inactive_split.rise(count)
        elif count:
            self.inactive_split.current += count
        if size > 0:
            self.inactive_split_bytes.rise(size)
        else:
            self.inactive_split_bytes.current += size


class Counters:
    """All that an allocator counts: what is in blocks and segments, and how often it had to ask, wait or give up."""

    def __init__(self, small: PoolStats, large: PoolStats) -> None:
        self.all = PoolStats()
        self.small, self.large = small, large
        self.oversize_allocations, self.oversize_segments = Stat(), Stat()
        self.reset_events()

    def reset_events(self) -> None:
        self.num_alloc_retries = self.num_ooms = self.num_sync_all_streams = 0
        self.num_device_alloc = self.num_device_free = 0

    def stats(self) -> Iterator[tuple[str, Stat]]:
        for pool, stats in (("all", self.all), ("large_pool", self.large), ("small_pool", self.small)):
            for name in POOL_METRICS:
                yield f"{name}.{pool}", getattr(stats, name)
        yield "oversize_allocations", self.oversize_allocations
        yield "oversize_segments", self.oversize_segments

    def flat(self) -> dict[str, int]:
        """Every figure under PyTorch's name for it."""
        events = ("num_alloc_retries", "num_device_alloc", "num_device_free", "num_ooms", "num_sync_all_streams")
        flat: dict[str, int] = {name: getattr(self, name) for name in events}
        for name, stat in self.stats():
            flat.update(stat.flat(name))
        return flat
