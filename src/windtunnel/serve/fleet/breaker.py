"""A back end's circuit: closed while it answers, open after failures, half open to try it again."""

from __future__ import annotations

from collections import deque
from typing import Literal

State = Literal["closed", "open", "half-open"]

WINDOW = 40
"""Outcomes that the share of failures is taken of."""
LEAST = 20
"""Outcomes below which a share says nothing."""
LONGEST_OPEN_S = 30.0
"""Also how long a trial stands in others' way: an answer that does not stream may take many minutes and be well."""


class Breaker:
    """Times in seconds of any clock that does not go backwards.

    after: failures in a row that open it; share: of failures among the last outcomes that does too; open_s: for how long at
    first, twice as long each time that the trial after it fails, up to ``LONGEST_OPEN_S``.
    """

    def __init__(self, after: int, share: float, open_s: float) -> None:
        self.after, self.share, self.open_s = after, share, open_s
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._in_a_row = 0
        self._opened = 0  # times in a row without a success between
        self._until = 0.0
        self._open = False
        self._trial: float | None = None  # when it began

    def state(self, now: float) -> State:
        if not self._open:
            return "closed"
        return "half-open" if now >= self._until else "open"

    def until(self) -> float:
        """When an open circuit may be tried, or tried again beside a trial that is under way."""
        return self._until if self._trial is None else self._trial + LONGEST_OPEN_S

    def lets(self, now: float) -> bool:
        """Whether a request may go there: all while closed, one at a time while half open, a further one where it takes long."""
        return not self._open or now >= self.until()

    def taken(self, now: float) -> None:
        """A request goes there."""
        if self._open:
            self._trial = now

    def began(self) -> bool:
        """An answer has begun to come: if there is a trial, others need not wait for its end, which may take minutes. What
        failed before is remembered until an answer is whole. Whether that closed the circuit."""
        closes = self._open and self._trial is not None
        if closes:
            self._open, self._trial = False, None
        return closes

    def dropped(self) -> None:
        """The request ended without telling anything of the back end: its client left, or asked wrongly."""
        self._trial = None

    def succeeded(self) -> None:
        self._recent.append(True)
        self._in_a_row = self._opened = 0
        if self._open:
            self._recent.clear()
        self._open, self._trial = False, None

    def failed(self, now: float, *, at_once: bool = False) -> bool:
        """Whether that opened it. at_once: nothing can be there, as where a connection is refused."""
        self._recent.append(False)
        self._in_a_row += 1
        tried, self._trial = self._trial is not None, None
        if self._open and not tried:
            return False  # a request from before it opened
        bad = len(self._recent) >= LEAST and self._recent.count(False) >= self.share * len(self._recent)
        if not (tried or at_once or bad or self._in_a_row >= self.after):
            return False
        self._open = True
        self._until = now + min(self.open_s * 2.0**self._opened, LONGEST_OPEN_S)
        self._opened = min(self._opened + 1, 16)
        return True
