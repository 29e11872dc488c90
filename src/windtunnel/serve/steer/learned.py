"""What was learned of one lane: its real times beside the predicted ones, and how much it can take where nothing tells."""

from __future__ import annotations

import math
from collections import deque

from windtunnel.serve.steer.line import Line
from windtunnel.serve.steer.wanted import Targets

REMEMBERED = 256
FADE_AFTER_S, FADE_HALF_S = 20.0, 20.0
"""A lane that looks slow and is not asked is believed to be so less and less: from when on, and half as much after how long.
**Source:** chosen, as all the figures here are."""
_SLOW = 1.1
_SLOW_START_S = 0.05
FEWEST = 4.0
"""Requests at once that a lane of unknown room is given to begin with, and at least."""
_SHRINK = 0.85


class Learned:
    """prefill, decode: measured times over those of the cost model (or of the bare shape of a lane that is not described).
    window: requests that may be in flight, where a lane's room is not told; paused: whether what was learned is so old that
    one request has to show whether it still holds. ttfts, tpots: pairs of predicted and measured seconds of the last answers.
    """

    def __init__(self, described: bool, targets: Targets, now: float) -> None:
        self.described, self.targets = described, targets
        if described:
            self.prefill, self.decode = Line(0.0, 0.05, 1.0, 0.3), Line(0.0, 0.001, 1.0, 0.3)
        else:
            self.prefill, self.decode = Line(0.0, 0.5, 1.0, 3.0), Line(0.0, 0.02, 1.0, 1.0)
        self.window = math.inf if described else FEWEST
        self.answers = 0
        self.paused = False
        self.ttfts: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self.tpots: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self._seen_s = self._faded_s = self._shrunk_s = now

    def saw(self, now: float) -> None:
        """Something was measured."""
        self._seen_s, self.paused = now, False

    def widen(self, good: bool, in_flight: int, sent_s: float, then: int, now: float) -> None:
        """Room that is not told: one more for each good sign while about as many were there, less after a bad one.

        sent_s, then: of the request that shows it: when it was sent, and how many were in flight with it.
        """
        if self.described:
            return
        if good:
            if 2 * in_flight >= self.window:
                self.window += 1.0
        elif sent_s >= self._shrunk_s:  # one that was sent before the last step back says nothing new
            self.window, self._shrunk_s = max(_SHRINK * min(self.window, then), FEWEST), now

    def forget(self, now: float) -> None:
        """The lane is idle: what makes it look slow fades, until it is asked again; then by one request alone, to see."""
        since = max(self._seen_s + FADE_AFTER_S, self._faded_s)
        if now <= since:
            return
        if self.prefill.factor > _SLOW or self.decode.factor > _SLOW or self.prefill.start_s > _SLOW_START_S:
            share = 0.5 ** ((now - since) / FADE_HALF_S)
            self.prefill.fade(share)
            self.decode.fade(share)
            self.paused = True
        self._faded_s = now
