"""Blocks that the program has freed while other streams still use them."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from windtunnel.run.allocator.blocks import WAITING, Block


class StreamClock(Protocol):
    """When the device's streams are done, in seconds of one clock."""

    def now_s(self) -> float:
        """The host's time."""

    def done_s(self, stream: int) -> float:
        """When all that has been launched on ``stream`` up to now will be done."""


class PendingFrees:
    """Freed blocks by the streams that they wait for, in order. events: of each stream, when it is past what, and whom that
    frees; without a clock, only waiting for the stream itself tells that it has passed."""

    def __init__(self, clock: StreamClock | None) -> None:
        self.clock = clock
        self.events: dict[int, deque[tuple[float, Block]]] = {}

    def add(self, block: Block) -> None:
        """Keep a block until each stream that uses it has passed what was launched on it by now."""
        uses = sorted(block.uses or ())
        block.uses = None
        block.state = WAITING
        block.events = len(uses)
        for stream in uses:
            done_s = float("inf") if self.clock is None else self.clock.done_s(stream)
            self.events.setdefault(stream, deque()).append((done_s, block))

    def due(self) -> list[Block]:
        """The blocks that no stream uses any more by the clock's time."""
        if self.clock is None:
            return []
        now_s = self.clock.now_s()
        free: list[Block] = []
        for stream, events in list(self.events.items()):
            while events and events[0][0] <= now_s:
                self._count(events.popleft()[1], free)
            if not events:
                del self.events[stream]
        return free

    def passed(self, stream: int) -> list[Block]:
        """The blocks that waited for this stream last."""
        free: list[Block] = []
        for _, block in self.events.pop(stream, ()):
            self._count(block, free)
        return free

    @staticmethod
    def _count(block: Block, free: list[Block]) -> None:
        block.events -= 1
        if not block.events:
            free.append(block)
