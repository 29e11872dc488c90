"""The prefix cache of one engine: segments of prompts in use, and those that wait to be used again or evicted."""

from __future__ import annotations

from collections import OrderedDict

from windtunnel.sim.serving.request import Task


class PrefixCache:
    """Blocks of segments that running requests share (``active``), and of what finished ones left (``idle``).

    What was used longest ago goes first; of one prompt, its end before its beginning. Blocks that nobody can ask for again
    take their place in that order too: they push out others.
    """

    def __init__(self, block_tokens: int) -> None:
        self.block_tokens = block_tokens
        self.active = self.idle = 0
        self.seen = False  # whether any request had a prefix: before that, what was left behind is as good as free
        self._used: dict[int, list[int]] = {}  # segment: [blocks, requests that hold it]
        self._idle: OrderedDict[int | tuple[int, int], int] = OrderedDict()
        self._left = 0

    def _ends(self, task: Task, segments: int) -> int:
        """Tokens of the first so many segments, in whole blocks."""
        tokens = min(segments * task.segment_tokens, task.input_tokens)
        return tokens - tokens % self.block_tokens

    def held(self, task: Task) -> int:
        """Leading segments of the task's prefix that are here."""
        used, idle = self._used, self._idle
        for i, segment in enumerate(task.prefix):
            if segment not in used and segment not in idle:
                return i
        return len(task.prefix)

    def hit_tokens(self, task: Task) -> int:
        """Tokens of the task that are here, in whole blocks."""
        return self._ends(task, self.held(task)) if task.prefix else 0

    def wake(self, task: Task) -> int:
        """Idle blocks among those that the task would share: to be counted as taken once it does."""
        return sum(self._idle.get(segment, 0) for segment in task.prefix[: self.held(task)])

    def take(self, task: Task) -> None:
        """The task holds what is here of its prefix; sets its ``segments`` and ``shared``."""
        self.seen = True
        task.segments = self.held(task)
        task.shared = self._ends(task, task.segments)
        for segment in task.prefix[: task.segments]:
            if segment in self._used:
                self._used[segment][1] += 1
            else:
                blocks = self._idle.pop(segment)
                self.idle -= blocks
                self.active += blocks
                self._used[segment] = [blocks, 1]

    def add(self, task: Task) -> None:
        """The rest of the task's prefix has been computed: others may share it from now on, unless another's copy came first."""
        start = self._ends(task, task.segments)
        for i in range(task.segments, len(task.prefix)):
            segment = task.prefix[i]
            if segment in self._used or segment in self._idle:
                break
            end = self._ends(task, i + 1)
            blocks = (end - start) // self.block_tokens
            self._used[segment] = [blocks, 1]
            self.active += blocks
            task.segments, task.shared, start = i + 1, end, end

    def leave(self, task: Task, own: int) -> None:
        """The task lets go of its segments, and leaves ``own`` blocks that were its alone."""
        if self.seen and own > 0:
            self._left += 1
            self._idle[(0, self._left)] = own
            self.idle += own
        for segment in reversed(task.prefix[: task.segments]):
            entry = self._used[segment]
            entry[1] -= 1
            if not entry[1]:
                del self._used[segment]
                self._idle[segment] = entry[0]
                self.active -= entry[0]
                self.idle += entry[0]
        task.segments = task.shared = 0

    def shrink(self, room: int) -> None:
        """Evict until what is idle takes at most ``room`` blocks."""
        while self.idle > room and self._idle:
            self.idle -= self._idle.popitem(last=False)[1]

    def clear(self) -> None:
        self._used.clear()
        self._idle.clear()
        self.active = self.idle = 0
