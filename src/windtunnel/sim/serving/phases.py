"""Where the time of answered requests went: waiting, prefill, transfer, decode; in memory that does not grow with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from windtunnel.sim.serving.request import Task

LOST: Final = "lost to failures"
WAITING: Final = "waiting"
PREFILL: Final = "prefill"
TRANSFER: Final = "KV transfer"
PLACE: Final = "waiting to decode"
DECODE: Final = "decode"
AROUND: Final = "around the engine"
ORDER: Final = (LOST, WAITING, PREFILL, TRANSFER, PLACE, DECODE, AROUND)

_WIDTH = math.log(1.05)
"""Requests whose times to the first token differ by less than 5 % are kept together."""


class Phases:
    """Sums of the seconds in each phase, kept apart by the time to the first token, so that the slow ones can be told from all.

    Waiting is for a first place in a batch; prefill ends with the first token; decode holds what preemptions cost. Where
    prefill is apart, the transfer ends with the first token, and a request may wait again to decode. The phases of a
    request add up to its time from end to end.
    """

    __slots__ = ("_buckets", "_decode_s", "_place_s", "count", "fixed_s")

    def __init__(self) -> None:
        self.count = 0
        self.fixed_s = 0.0
        self._decode_s = self._place_s = 0.0
        self._buckets: dict[int, list[float]] = {}

    def add(self, task: Task, at: float, fixed_s: float) -> None:
        """A request was answered: its last token left the engine at ``at``, and the server around it takes ``fixed_s``."""
        first = task.first_s + task.late_s
        done = task.handed_s if task.handed_s >= 0.0 else first
        lost = task.begun_s - task.arrival_s
        if task.joined_s >= 0.0:
            self._place_s += task.joined_s - first
            self._decode_s += at - task.joined_s
        else:
            self._decode_s += at - first
        self.count += 1
        self.fixed_s = fixed_s
        ttft = first - task.arrival_s
        index = math.ceil(math.log(ttft if ttft > 1e-9 else 1e-9) / _WIDTH)
        kept = self._buckets.get(index)
        if kept is None:
            kept = self._buckets[index] = [0.0] * 5
        kept[0] += 1
        kept[1] += lost
        kept[2] += task.admitted_s - task.begun_s
        kept[3] += done - task.admitted_s
        kept[4] += first - done

    def mean(self) -> Mapping[str, float]:
        """Seconds of a request in each phase, on average, from end to end; empty of no requests."""
        if not self.count:
            return {}
        return _named({**self.to_first(1.0), PLACE: self._place_s / self.count, DECODE: self._decode_s / self.count})

    def to_first(self, slowest: float = 1.0) -> Mapping[str, float]:
        """Mean seconds in each phase up to the first token, of the share ``slowest`` that waited longest for it."""
        wanted = left = slowest * self.count
        if not wanted:
            return {}
        sums = [0.0] * 4
        for index in sorted(self._buckets, reverse=True):
            count, *seconds = self._buckets[index]
            part = min(left / count, 1.0)
            sums = [s + part * own for s, own in zip(sums, seconds, strict=True)]
            left -= part * count
            if left <= 0.0:
                break
        lost, waiting, prefill, transfer = (s / wanted for s in sums)
        return _named({LOST: lost, WAITING: waiting, PREFILL: prefill, TRANSFER: transfer, AROUND: self.fixed_s})


def _named(seconds: Mapping[str, float]) -> Mapping[str, float]:
    """In order, without those that took no time at all."""
    return {name: seconds[name] for name in ORDER if seconds.get(name, 0.0) > 1e-12}
