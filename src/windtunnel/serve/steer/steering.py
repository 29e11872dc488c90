"""Which lane takes a request, and what is learned from what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from windtunnel.serve.steer.wanted import Lane, Pick, Seen, Spread, Targets, Wanted


class Ticket:
    """A request on its way through a lane: handed back to ``first``, ``tokens`` and ``ended``."""

    __slots__ = ("done", "first_s", "lane", "pick", "sent_s", "tokens", "wanted")

    def __init__(self, lane: str, wanted: Wanted, pick: Pick, now: float) -> None:
        self.lane, self.wanted, self.pick, self.sent_s = lane, wanted, pick, now
        self.first_s, self.tokens, self.done = -1.0, 0, False


class Steering:
    """Lanes, what is in flight on each, and what was seen of each. clock: seconds, never backwards.

    Not for several threads at once. ``lanes`` may change while it runs: ``add``, ``remove``, ``restarted``.
    """

    def __init__(self, lanes: Mapping[str, Lane], targets: Targets, clock: Callable[[], float] = time.monotonic) -> None:
        self.targets, self._clock = targets, clock
        self._lanes: dict[str, Lane] = {}
        self._in_flight: dict[str, int] = {}
        for name, lane in lanes.items():
            self.add(name, lane)

    def add(self, name: str, lane: Lane) -> None:
        self._lanes[name] = lane
        self._in_flight[name] = 0

    def remove(self, name: str) -> None:
        """Tickets of it that are still out may end, and are learned from no more."""
        del self._lanes[name]
        del self._in_flight[name]

    def restarted(self, name: str) -> None:
        """The backend began anew: its prefix cache is empty, and what it had in flight is gone."""
        self._in_flight[name] = 0

    def ranked(self, wanted: Wanted, able: Collection[str]) -> list[Pick]:
        """The lanes of ``able`` that have room, best first; empty where none has."""
        found = []
        for name in able:
            lane, load = self._lanes[name], self._in_flight[name]
            if load < lane.most_in_flight:
                speed = lane.speed
                ttft = speed.prefill_s(wanted.prompt_tokens, 0.0) * (load + 1) if speed else 0.0
                tpot = speed.decode_s(load + 1, wanted.prompt_tokens) if speed else 0.0
                found.append((max(ttft / self.targets.ttft_s, tpot / self.targets.tpot_s), load, Pick(name, ttft, tpot, 0)))
        found.sort(key=lambda row: row[:2])
        return [pick for *_, pick in found]

    def sent(self, lane: str, wanted: Wanted) -> Ticket:
        """The request goes to the lane now."""
        self._in_flight[lane] += 1
        return Ticket(lane, wanted, Pick(lane, 0.0, 0.0, 0), self._clock())

    def first(self, ticket: Ticket) -> None:
        """Its first token is there."""
        ticket.first_s, ticket.tokens = self._clock(), 1

    def tokens(self, ticket: Ticket, n: int) -> None:
        """``n`` more tokens, beyond the first."""
        ticket.tokens += n

    def ended(self, ticket: Ticket, ok: bool, tokens: int | None = None) -> None:
        """The answer is over; ok: whole, so that it is learned from. tokens: of the answer, where they are known only now."""
        if not ticket.done and ticket.lane in self._in_flight:
            ticket.done = True
            self._in_flight[ticket.lane] -= 1

    def seen(self, lane: str) -> Seen:
        """What is known of a lane."""
        none = Spread()
        return Seen(self._in_flight[lane], 0, 0, none, none, none, none, 1.0, 1.0, 0, self._lanes[lane].speed is not None)
