"""Stop strings: an answer ends before the first of them, so what could be the beginning of one waits for what follows."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """The stop strings of one answer. found: whether one has come."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops, self._held = tuple(stops), ""
        self.found = False

    def add(self, text: str) -> str:
        """What may be shown now; nothing any more after a stop."""
        if self.found or not self._stops:
            return "" if self.found else text
        text = self._held + text
        at = min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=-1)
        if at >= 0:
            self.found, self._held = True, ""
            return text[:at]
        shown = len(text) - max(overlap(text, stop) for stop in self._stops)
        self._held = text[shown:]
        return text[:shown]

    def end(self) -> str:
        """What was held back, once no more comes."""
        held, self._held = self._held, ""
        return held


def overlap(text: str, word: str) -> int:
    """Characters at the end of ``text`` with which ``word`` begins, without being whole."""
    return next((size for size in range(min(len(text), len(word) - 1), 0, -1) if text.endswith(word[:size])), 0)
