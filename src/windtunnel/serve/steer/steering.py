"""Which lane takes a request, and what is learned from what became of it."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Collection, Mapping

from windtunnel.serve.steer.prefixes import Prefixes
from windtunnel.serve.steer.ticket import Offer, Ticket
from windtunnel.serve.steer.traffic import Traffic, spread
from windtunnel.serve.steer.wanted import Lane, Pick, Seen, Targets, Wanted

ANSWER_TOKENS = 256.0
"""Of an answer, before any was seen. **Source:** chosen, as the figures below are; where they matter, by simulating fleets and
requests that no reported figure rests on."""
_NEW = 0.03
"""Weight of the newest answer in the mean length of answers."""
_OTHERS = 0.5
"""What an answer that others lose counts against one's own, which is surer."""
_FASTER = 0.02
"""What reaching a target exactly loses against being far below it."""
_PRICE = 0.03
"""What the dearest lane loses against one that costs nothing: less than a few hundredths of a good answer."""
_LATE = 0.03
"""What a request that will miss a target loses with each doubling of its lateness: little beside what it does to others."""


_TRIED = 1.0
"""What a lane loses on which one request is to show whether it is still slow."""
_first = operator.itemgetter(0)


class Steering:
    """Lanes, what is in flight on each, and what was seen of each. clock: seconds, never backwards.

    Not for several threads at once. Lanes may come and go while it runs: ``add``, ``remove``, ``restarted``.
    """

    def __init__(self, lanes: Mapping[str, Lane], targets: Targets, clock: Callable[[], float] = time.monotonic) -> None:
        self.targets, self._clock = targets, clock
        self._traffic: dict[str, Traffic] = {}
        self._names: dict[int, str] = {}
        self._prefixes = Prefixes()
        self._answers: dict[tuple[str, int], float] = {}
        self._priced = False
        for name, lane in lanes.items():
            self.add(name, lane)

    def add(self, name: str, lane: Lane) -> None:
        bit = 1
        while bit in self._names:
            bit <<= 1
        self._names[bit] = name
        self._priced = self._priced or lane.price_per_s > 0.0
        self._traffic[name] = Traffic(name, lane, bit, self.targets, self._clock())

    def remove(self, name: str) -> None:
        """Tickets of it that are still out may end, and are learned from no more."""
        gone = self._traffic.pop(name)
        self._prefixes.clear(gone.bit)
        del self._names[gone.bit]

    def restarted(self, name: str) -> None:
        """The backend began anew: its prefix cache is empty, and what it had in flight is gone."""
        traffic = self._traffic[name]
        self._prefixes.clear(traffic.bit)
        traffic.reset()

    def ranked(self, wanted: Wanted, able: Collection[str]) -> list[Pick]:
        """The lanes of ``able`` that have room, best first; empty where each has as many as it may have (``most_in_flight``)."""
        return [Pick(o.of.name, o.ttft_s, o.tpot_s, o.cached) for _, o in self._offers(wanted, able)]

    def _offers(self, wanted: Wanted, able: Collection[str]) -> list[tuple[float, Offer]]:
        now = self._clock()
        lanes = [self._traffic[name] for name in able]
        held = {}
        if wanted.segments:
            bits = 0
            for lane in lanes:
                bits |= lane.bit
            held = self._prefixes.held(wanted.segments, bits)
        answer, prompt, size = self._answer_tokens(wanted), wanted.prompt_tokens, wanted.segment_tokens
        ttft_s, tpot_s = self.targets.ttft_s, self.targets.tpot_s
        found = []
        for lane in lanes:
            if lane.ready(now):
                cached = held.get(lane.bit, 0) * size
                offer = lane.offer(now, prompt, cached if cached < prompt else prompt - 1, answer)
                worth = _worth(offer.ttft_s / ttft_s, offer.tpot_s / tpot_s) - _OTHERS * offer.harm
                if lane.learned.paused and lane.in_flight:
                    worth -= _TRIED
                found.append((worth, offer))
        dearest = max((o.of.lane.price_per_s * o.machine_s for _, o in found), default=0.0) if self._priced else 0.0
        if dearest > 0.0:
            found = [(worth - _PRICE * o.of.lane.price_per_s * o.machine_s / dearest, o) for worth, o in found]
        found.sort(key=_first, reverse=True)
        return found

    def _answer_tokens(self, wanted: Wanted) -> float:
        """Tokens of the answer, as those were whose prompts are of about this length."""
        mean = self._answers.get((wanted.model, wanted.prompt_tokens.bit_length())) or self._answers.get((wanted.model, 0))
        mean = mean or ANSWER_TOKENS
        return max(min(mean, wanted.answer_tokens), 1.0) if wanted.answer_tokens is not None else mean

    def _answered(self, wanted: Wanted, tokens: int) -> None:
        answers = self._answers
        every = (wanted.model, 0)
        answers[every] = answers.get(every, ANSWER_TOKENS) + _NEW * (tokens - answers.get(every, ANSWER_TOKENS))
        like = (wanted.model, wanted.prompt_tokens.bit_length())
        before = answers.get(like, answers[every])
        answers[like] = before + _NEW * (tokens - before)

    def sent(self, lane: str, wanted: Wanted) -> Ticket:
        """The request goes to the lane now."""
        now, traffic = self._clock(), self._traffic[lane]
        held = self._prefixes.held(wanted.segments, traffic.bit) if wanted.segments else {}
        cached = min(held.get(traffic.bit, 0) * wanted.segment_tokens, wanted.prompt_tokens - 1)
        answer = self._answer_tokens(wanted)
        ticket = Ticket(lane, wanted, answer, now)
        traffic.sent(ticket, traffic.offer(now, wanted.prompt_tokens, cached, answer), now)
        if wanted.segments and traffic.speed.prefix_tokens:
            room = traffic.speed.prefix_tokens - traffic.own - traffic.waiting_new
            self._prefixes.use(traffic.bit, wanted.segments, wanted.segment_tokens, room)
        return ticket

    def first(self, ticket: Ticket) -> None:
        """Its first token is there."""
        traffic = self._of(ticket)
        if traffic is not None and ticket in traffic.waiting:
            traffic.first(ticket, self._clock())

    def tokens(self, ticket: Ticket, n: int) -> None:
        """``n`` more tokens, beyond the first."""
        traffic = self._of(ticket)
        if traffic is None or n < 1:
            return
        if ticket in traffic.waiting:
            traffic.first(ticket, self._clock())
        if ticket in traffic.running:
            traffic.tokens(ticket, n, self._clock())

    def ended(self, ticket: Ticket, ok: bool, tokens: int | None = None) -> None:
        """The answer is over; ok: whole, so that it is learned from. tokens: of the answer, where they are known only now."""
        traffic = self._of(ticket)
        if ticket.done:
            return
        ticket.done = True
        told = ticket.tokens if ticket.wanted.streams else 0
        count = told if tokens is None else tokens
        if ok and count:
            self._answered(ticket.wanted, count)
        if traffic is not None:
            traffic.ended(ticket, ok, self._clock(), count)

    def _of(self, ticket: Ticket) -> Traffic | None:
        return None if ticket.done else self._traffic.get(ticket.lane)

    def seen(self, lane: str) -> Seen:
        """What is known of a lane."""
        of = self._traffic[lane]
        learned = of.learned
        return Seen(
            in_flight=of.in_flight,
            waiting=len(of.waiting),
            answers=learned.answers,
            predicted_ttft=spread([told for told, _ in learned.ttfts]),
            predicted_tpot=spread([told for told, _ in learned.tpots]),
            measured_ttft=spread([found for _, found in learned.ttfts]),
            measured_tpot=spread([found for _, found in learned.tpots]),
            learned_ttft=of.prefill.factor if learned.described else 1.0,
            learned_tpot=of.decode.factor if learned.described else 1.0,
            cached_tokens=self._prefixes.tokens(of.bit),
            known=learned.described or learned.answers > 0,
        )


def _worth(v: float, u: float) -> float:
    """Of a request that is predicted to come to ``v`` of the one target and ``u`` of the other: the chance that both are met (a
    half at a target, 0.93 a fifth below it), and between equal chances, the faster."""
    six, other = v * v * v, u * u * u
    six *= six
    other *= other
    worth = 1.0 / ((1.0 + six * six) * (1.0 + other * other)) - _FASTER * (v + u)
    if v > 1.0:
        worth -= _LATE * math.log2(v)
    if u > 1.0:
        worth -= _LATE * math.log2(u)
    return worth
