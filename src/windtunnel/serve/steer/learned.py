"""What was learned of one lane: its real times beside the predicted ones, and how much it can take where nothing tells."""

from __future__ import annotations

import math
from collections import deque

from windtunnel.serve.steer.line import Line
from windtunnel.serve.steer.wanted import Targets

REMEMBERED = 256
FADE_AFTER_S, FADE_HALF_S = 20.0, 10.0
"""A lane that looks slow and is passed over is believed to be so less and less: from when on, and half as much after how long.
**Source:** chosen, as all the figures here are."""
_GAP_S = 2.0
"""Seconds that count, at most, between two requests which passed it over: a night without any is no reason to forget."""
_SLOW = 1.1
_SLOW_START_S = 0.05
FEWEST = 4.0
"""Requests at once that are thought to go well on a lane of unknown room to begin with, and at least."""
_SHRINK = 0.85


class Learned:
    """prefill, decode: measured times over those of the cost model (or of the bare shape of a lane that is not described).
    window: requests in flight that were seen to go well, where a lane's room is not told: with more, its times are thought to
    grow in proportion. paused: whether what was learned is so old that one request has to show whether it still holds.
    ttfts, tpots: pairs of predicted and measured seconds of the last answers.
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
        self._asked_s = self._shrunk_s = now
        self._passed_s = 0.0

    def saw(self, now: float) -> None:
        """Something was measured."""
        self._asked_s, self._passed_s, self.paused = now, 0.0, False

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
        """The lane is idle while requests come: what makes it look slow fades, until it is given one, and one alone, to see."""
        passed = now - self._asked_s
        if passed > _GAP_S:
            passed = _GAP_S
        self._asked_s = now
        self._passed_s += passed
        if self._passed_s <= FADE_AFTER_S:
            return
        if self.prefill.factor > _SLOW or self.decode.factor > _SLOW or self.prefill.start_s > _SLOW_START_S:
            share = 0.5 ** (passed / FADE_HALF_S)
            self.prefill.fade(share)
            self.decode.fade(share)
            self.paused = True
