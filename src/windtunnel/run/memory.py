"""Memory over a run: the curve of what was allocated, and who held it at the peak."""

from __future__ import annotations

from collections.abc import Iterable

from windtunnel.run.record import Holder
from windtunnel.workload.program.call import Site

Sample = tuple[float, int, int]
"""Seconds of the virtual clock, bytes allocated, bytes reserved."""

_Numbered = tuple[float, int, int, int]
"""A sample and its number: several may bear the same time."""

Tag = tuple[str, str, Site | None]
"""What a storage is (kind), whose (name), and where it was made."""


class MemoryCurve:
    """Samples of a run of any length in at most ``limit`` points, peaks exact.

    Samples are gathered in runs of equal length, of each the lowest and the highest is kept; when there are too many
    runs, neighbours join and the length doubles. So both edges of a sawtooth stay, and every part is as fine as any other.
    """

    def __init__(self, limit: int = 4096) -> None:
        if limit < 8:
            raise ValueError(f"{limit} points are too few for a curve; give at least 8")
        self.peak = 0
        self.peak_at_s = 0.0
        self.reserved_peak = 0
        self._most = (limit - 3) // 2  # two points a run; the run still open, and the reserved peak, need room as well
        self._count = 0
        self._lows: list[_Numbered] = []
        self._highs: list[_Numbered] = []
        self._length = 1
        self._filled = 0
        self._low: _Numbered = (0.0, 0, 0, 0)
        self._high: _Numbered = (0.0, 0, 0, 0)
        self._reserved_high: _Numbered | None = None
        self._last: _Numbered | None = None

    def add(self, time_s: float, allocated: int, reserved: int) -> None:
        """Record that so much was allocated and reserved from ``time_s`` on."""
        self._count = number = self._count + 1
        sample = (time_s, allocated, reserved, number)
        if allocated > self.peak:
            self.peak = allocated
            self.peak_at_s = time_s
        if reserved > self.reserved_peak:
            self.reserved_peak = reserved
            self._reserved_high = sample
        self._last = sample
        if not self._filled:
            self._low = self._high = sample
        elif allocated > self._high[1]:
            self._high = sample
        elif allocated < self._low[1]:
            self._low = sample
        self._filled += 1
        if self._filled == self._length:
            self._lows.append(self._low)
            self._highs.append(self._high)
            self._filled = 0
            if len(self._lows) == self._most:
                self._join()

    def _join(self) -> None:
        """Make one run of every two. A last one without a neighbour goes back to being open."""
        lows, highs = self._lows, self._highs
        if len(lows) % 2:
            self._low, self._high, self._filled = lows.pop(), highs.pop(), self._length
        self._lows = [min(pair, key=_allocated) for pair in zip(lows[::2], lows[1::2], strict=True)]
        self._highs = [max(pair, key=_allocated) for pair in zip(highs[::2], highs[1::2], strict=True)]
        self._length *= 2

    def points(self) -> tuple[Sample, ...]:
        """The curve in the order in which it was recorded."""
        kept = {*self._lows, *self._highs}
        if self._filled:
            kept.update((self._low, self._high))
        if self._reserved_high is not None:
            kept.add(self._reserved_high)
        if self._last is not None:
            kept.add(self._last)
        return tuple(sample[:3] for sample in sorted(kept, key=_number))


def _allocated(sample: _Numbered) -> int:
    return sample[1]


def _number(sample: _Numbered) -> int:
    return sample[3]


class Holders:
    """Who holds memory now, and who held it when it was most.

    At a peak nothing is copied: each storage knows the number of its own arrival, the peak the number of the last one
    before it, and those that leave later are kept until the next peak. A peak that is only reached again counts as the
    first one does.
    """

    def __init__(self) -> None:
        self.total = 0
        self.peak = 0
        self._live: dict[int, tuple[int, Tag, int]] = {}
        self._left: list[tuple[int, Tag, int]] = []
        self._arrivals = 0
        self._arrivals_at_peak = 0

    def add(self, id: int, nbytes: int, tag: Tag) -> None:  # noqa: A002 - what it is
        """A storage has come; ``id`` names it until it is removed."""
        if id in self._live:
            raise ValueError(f"storage {id} is here already")
        self._arrivals = arrival = self._arrivals + 1
        self._live[id] = (nbytes, tag, arrival)
        self.total = total = self.total + nbytes
        if total > self.peak:
            self.peak = total
            self._arrivals_at_peak = arrival
            if self._left:
                self._left.clear()

    def remove(self, id: int) -> None:  # noqa: A002
        """A storage has gone. Raises KeyError for one that is not here."""
        entry = self._live.pop(id)
        self.total -= entry[0]
        if entry[2] <= self._arrivals_at_peak:
            self._left.append(entry)

    def retag(self, id: int, tag: Tag) -> None:  # noqa: A002
        """Say better what a storage is: a tensor turns out to be a gradient, say. Raises KeyError."""
        nbytes, _, arrival = self._live[id]
        self._live[id] = (nbytes, tag, arrival)

    def at_peak(self) -> list[Holder]:
        """What was live at the (first) moment of most bytes, by kind, name and site, largest first."""
        limit = self._arrivals_at_peak
        return _grouped(e for e in (*self._live.values(), *self._left) if e[2] <= limit)

    def at_present(self) -> list[Holder]:
        """What is live now, by kind, name and site, largest first."""
        return _grouped(self._live.values())


def _grouped(entries: Iterable[tuple[int, Tag, int]]) -> list[Holder]:
    groups: dict[Tag, tuple[int, int]] = {}
    for nbytes, tag, _ in entries:
        held, count = groups.get(tag, (0, 0))
        groups[tag] = (held + nbytes, count + 1)
    holders = [Holder(kind, name, held, count, site) for (kind, name, site), (held, count) in groups.items()]
    return sorted(holders, key=lambda h: (-h.bytes, h.kind, h.name))
