"""How much of a fleet's work may be done again: where everything fails, trying everything twice makes it worse."""

from __future__ import annotations

from collections.abc import Callable

A_SECOND = 10.0
"""Retries that a small load may have beyond its share."""
MOST_SAVED = 200.0


class RetryBudget:
    """Retries up to a share of requests and a few a second. clock: seconds, never backwards."""

    def __init__(self, share: float, clock: Callable[[], float]) -> None:
        self.share, self._clock = share, clock
        self._left, self._at = MOST_SAVED, clock()

    def request(self) -> None:
        """One more request came."""
        self._left = min(self._left + self.share, MOST_SAVED)

    def take(self) -> bool:
        """Whether there is a retry left; takes it."""
        now = self._clock()
        self._left = min(self._left + A_SECOND * (now - self._at), MOST_SAVED)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
