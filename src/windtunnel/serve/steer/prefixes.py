"""What each backend's prefix cache is thought to hold: the segments of prompts that it was sent, those used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence


class Prefixes:
    """Segments of all lanes at once: a number for each, whose bits are the lanes that hold it, so that one walk along a prompt
    answers for every lane. A lane drops what was used longest ago, of one prompt its end before its beginning."""

    def __init__(self) -> None:
        self._lanes: dict[int, int] = {}
        self._used: dict[int, OrderedDict[int, int]] = {}
        self._tokens: dict[int, int] = {}

    def tokens(self, lane: int) -> int:
        """Tokens that the lane is thought to hold."""
        return self._tokens.get(lane, 0)

    def held(self, segments: Sequence[int], lanes: int) -> dict[int, int]:
        """How many leading segments each of ``lanes`` (bits) holds, where that is any."""
        found: dict[int, int] = {}
        holders, left = self._lanes, lanes
        for i, segment in enumerate(segments):
            still = left & holders.get(segment, 0)
            if still != left:
                gone = left ^ still
                while gone and i:
                    bit = gone & -gone
                    found[bit] = i
                    gone ^= bit
                left = still
                if not left:
                    return found
        while left:
            bit = left & -left
            found[bit] = len(segments)
            left ^= bit
        return found

    def use(self, lane: int, segments: Sequence[int], tokens: int, room: float) -> None:
        """The lane is sent these, of ``tokens`` each, and keeps at most ``room`` tokens."""
        used = self._used.get(lane)
        if used is None:
            used = self._used[lane] = OrderedDict()
        holders, size = self._lanes, self._tokens.get(lane, 0)
        for segment in reversed(segments):
            if segment in used:
                used.move_to_end(segment)
            else:
                used[segment] = tokens
                holders[segment] = holders.get(segment, 0) | lane
                size += tokens
        while size > room and used:
            segment, count = used.popitem(last=False)
            size -= count
            left = holders[segment] & ~lane
            if left:
                holders[segment] = left
            else:
                del holders[segment]
        self._tokens[lane] = size

    def clear(self, lane: int) -> None:
        """The lane holds nothing any more."""
        self.use(lane, (), 0, -1.0)
