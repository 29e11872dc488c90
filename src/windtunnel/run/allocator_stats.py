"""What an allocator counts, and the report that torch.cuda.memory_stats makes of it."""

from __future__ import annotations

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
POOLS = ("all", "large_pool", "small_pool")


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

    def stats(self) -> list[tuple[str, Stat]]:
        return [(name, getattr(self, name)) for name in POOL_METRICS]


def show_count_of_bytes(count: int, largest: int) -> str:
    """``count`` in the unit that suits ``largest``: the unit grows from 768 of a thousand-and-twenty-four on."""
    units = ["B  ", "KiB", "MiB", "GiB", "TiB", "PiB"]
    place = 0
    while largest >= 768 * 1024 and place < len(units) - 1:
        count, largest, place = count // 1024, largest // 1024, place + 1
    return f"{count:6d} {units[place]}"


def show_count(count: int, largest: int) -> str:
    units = [" ", "K", "M"]
    place = 0
    while largest >= 750 * 1000 and place < len(units) - 1:
        count, largest, place = count // 1000, largest // 1000, place + 1
    return f"{count:7d} {units[place]} "


_BYTE_ROWS = (
    ("allocated_bytes", "Allocated memory"),
    ("active_bytes", "Active memory"),
    ("requested_bytes", "Requested memory"),
    ("reserved_bytes", "GPU reserved memory"),
    ("inactive_split_bytes", "Non-releasable memory"),
)
_COUNT_ROWS = (
    ("allocation", "Allocations"),
    ("active", "Active allocs"),
    ("segment", "GPU reserved segments"),
    ("inactive_split", "Non-releasable allocs"),
)
_OVERSIZE_ROWS = (("oversize_allocations", "Oversize allocations"), ("oversize_segments", "Oversize GPU segments"))


def summary(stats: dict[str, int], index: int, device: str, abbreviated: bool) -> str:
    """The table of torch.cuda.memory_summary, which programs print and people know how to read."""
    width = 75
    lines = ["=" * width]
    lines.append(f"{f'PyTorch {device.upper()} memory summary, device ID {index}':^{width}}")
    lines.append("-" * width)
    ooms, retries = stats["num_ooms"], stats["num_alloc_retries"]
    lines.append(
        f"{'':2}{'':9} {device.upper()} OOMs: {ooms:<12d} | {'':6} cudaMalloc retries: {retries:<8d}  "[:width].ljust(width)
    )
    lines.append("=" * width)
    lines.append("        Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  ")
    columns = ("current", "peak", "allocated", "freed")
    sections = [(key, name, show_count_of_bytes, True) for key, name in _BYTE_ROWS]
    sections += [(key, name, show_count, True) for key, name in _COUNT_ROWS]
    sections += [(key, name, show_count, False) for key, name in _OVERSIZE_ROWS]
    for key, name, show, by_pool in sections:
        lines.append("-" * width)
        rows = [(f"{key}.all" if by_pool else key, name)]
        if by_pool and not abbreviated:
            rows += [(f"{key}.large_pool", "      from large pool"), (f"{key}.small_pool", "      from small pool")]
        for row, title in rows:
            # a pool's figures are shown in the unit of the sum's
            cells = [show(stats[f"{row}.{c}"], stats[f"{rows[0][0]}.{c}"]) for c in columns]
            lines.append(f" {title:<21} | {' | '.join(cells)} ")
    lines.append("=" * width)
    return "".join(f"|{line}|\n" for line in lines)
