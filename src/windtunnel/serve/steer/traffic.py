"""One lane while it works: what is on it, and what a request would meet there and do to the others."""

from __future__ import annotations

import math

from windtunnel.serve.steer.learned import Learned
from windtunnel.serve.steer.speed import Speed, Undescribed
from windtunnel.serve.steer.wanted import Lane, Spread, Targets, Wanted

OVER_S = 10.0
"""Seconds over which the share of a lane's time that prompts take, and the rate of requests, are averaged. **Source:** chosen, as
the figures below are; where they matter, by simulating fleets and requests that no reported figure rests on."""
LEARN_EVERY = 32
"""Tokens of an answer after which its pace is learned from, and not only at its end."""
_STAY = 0.5
"""Of its own time, how long an answer that is under way still has to share with one that comes, as a mean."""
_UNEVEN = 2.0
"""A prompt that comes between counts for so many times its mean delay to a token: prompts do not come evenly."""
_TO_COME = 0.3
"""Of the requests that a lane will be sent while a prompt is in its queue, how many count as if they were there."""


class Ticket:
    """A request on its way through a lane: handed back to ``first``, ``tokens`` and ``ended``.

    answer: tokens that it is thought to be answered with; own_s: its prefill, from the cost model alone; queue_s: that with
    what was before it; beside_s: of its predicted TTFT, what is not prefill; waits: whether it was thought to find no room;
    in_flight: how many there were with it. mark: where its pace was learned from last.
    """

    __slots__ = (
        "answer", "beside_s", "cached", "done", "first_s", "in_flight", "lane", "mark_decode_s", "mark_prefill_s", "mark_s",
        "mark_tokens", "new", "own_s", "queue_s", "sent_s", "tokens", "tpot_s", "ttft_s", "waits", "wanted",
    )  # fmt: skip

    def __init__(self, lane: str, wanted: Wanted, answer: float, now: float) -> None:
        self.lane, self.wanted, self.answer, self.sent_s = lane, wanted, answer, now
        self.first_s, self.tokens, self.done, self.waits = -1.0, 0, False, False
        self.new = self.cached = self.mark_tokens = self.in_flight = 0
        self.own_s = self.queue_s = self.beside_s = self.ttft_s = self.tpot_s = 0.0
        self.mark_s = self.mark_decode_s = self.mark_prefill_s = 0.0


class Offer:
    """What a request would meet on a lane, and what it would do to others. harm: answers that would be good without it and are
    not with it, as a mean; machine_s: of the whole lane, what the request takes."""

    __slots__ = ("beside_s", "cached", "harm", "lane", "machine_s", "own_s", "queue_s", "score", "tpot_s", "ttft_s", "waits")
    cached: int
    waits: bool
    ttft_s: float
    tpot_s: float
    own_s: float
    queue_s: float
    beside_s: float
    harm: float
    machine_s: float
    score: float

    def __init__(self, lane: str) -> None:
        self.lane = lane


class Traffic:
    """A lane's requests in flight, those that wait for their first token in the order in which they were sent.

    bit: the lane among those of ``Prefixes``. Sums are kept as requests come and go, so that an offer costs the same however
    many there are.
    """

    def __init__(self, name: str, lane: Lane, bit: int, targets: Targets, now: float) -> None:
        self.name, self.lane, self.bit, self.targets = name, lane, bit, targets
        self.learned = Learned(lane.speed is not None, targets, now)
        self.prefill, self.decode = self.learned.prefill, self.learned.decode
        speed = self.speed = lane.speed or Undescribed()
        self.engines, self.apart = speed.engines, speed.prefillers > 0
        self.prefillers = speed.prefillers or speed.engines
        self.chunk, self.kv, self.most_running = speed.chunk_tokens, speed.kv_tokens, speed.most_running
        self.beside, self.fixed_s = speed.beside, speed.fixed_s
        self.now = now
        self.reset()

    speed: Speed

    def reset(self) -> None:
        """Nothing is in flight."""
        self.waiting: dict[Ticket, None] = {}
        self.running: dict[Ticket, None] = {}
        self.waiting_s = 0.0
        self.waiting_new = self.waiting_prompts = 0
        self.head_s = self.now  # when the first in the queue came to be it
        self.context = self.own = 0  # tokens of those that run, and of them those that they do not share
        self.each = 0.0  # one over the tokens that each is thought to answer with, summed
        self.share = self.rate = 0.0  # of the time that prompts take; requests that are sent, 1/s
        self.share_s = self.now
        self.decode_sum_s = self.prefill_sum_s = 0.0  # time-weighted step from the cost model; prompts, as learned
        self._changed()

    @property
    def in_flight(self) -> int:
        return len(self.waiting) + len(self.running)

    # what a request would meet

    def room(self) -> bool:
        """Whether it may be given one more."""
        load = len(self.waiting) + len(self.running)
        return load < self.lane.most_in_flight and load < self.learned.window and not (self.learned.paused and load)

    def offer(self, now: float, prompt: int, cached: int, answer: float) -> Offer:
        """For a prompt of which ``cached`` tokens are there, and an answer of about ``answer`` tokens."""
        speed, targets, running, there = self.speed, self.targets, len(self.running), len(self.waiting) + len(self.running)
        new, engines, offer = prompt - cached, self.engines, Offer(self.name)
        # decode: with all that are there, at the contexts that they will have
        held = self.own + self.waiting_new + new
        at_once = min(there + 1, self.most_running)
        full = (held + (there + 1) * 0.5 * answer) / self.kv
        if full > 1.0:
            at_once = max(at_once / full, 1.0)
        context = (self.context + self.waiting_prompts + prompt) / (there + 1) + 0.5 * answer
        step = self.decode.at(speed.decode_s(at_once / engines, context))
        kept = math.exp((self.share_s - now) / OVER_S)
        slower = 1.0 / (1.0 - min(self.share * kept, 0.9))
        tpot = step * slower
        # prefill: what is before it in the queue, and the tokens that others make meanwhile
        own = speed.prefill_s(new, cached)
        beside = self.fixed_s
        if running and not self.apart:
            own *= self.beside
            steps = math.ceil((self.waiting_new / engines + new) / max(self.chunk - running / engines, 1.0))
            beside += (0.5 + steps) * self.pace_s
        if there > len(self.running):
            passed = now - self.head_s
            first = self.waiting_s * min(self.chunk / self.waiting_new, 1.0) / self.prefillers
            # whoever is later than it should be goes on so: what is too much counts against the lane
            beside -= passed - 2.0 * max(passed - self.prefill.at(first) - self.pace_s, 0.0)
        over = max((held - self.kv) / max(self.own, 1), (there + 1 - self.most_running) / max(running, 1))
        offer.waits = over > 0.0
        if over > 0.0:  # until so many of those that run are through
            beside += over * 0.5 * answer * tpot
        tpot *= max(full, 1.0)  # those that find no room for their tokens are computed again
        queue = self.waiting_s / self.prefillers + own
        ttft = max(self.prefill.at(queue) + beside, self.fixed_s)
        # the others: those that are there, and those that will come while it is prefilled
        prompt_s = self.prefill.factor * own / self.prefillers
        harm = 0.0
        if there:
            before = self.all_s * slower
            after = before + _STAY * max(tpot - before, 0.0)
            if not self.apart:
                after += _UNEVEN * prompt_s * self.each / there
            harm = there * (_missed(after / targets.tpot_s) - _missed(before / targets.tpot_s))
        late = ttft / targets.ttft_s
        harm += _TO_COME * self.rate * kept * ttft * (_missed(late) - _missed(max(late - prompt_s / targets.ttft_s, 0.0)))
        offer.harm, offer.cached, offer.own_s, offer.queue_s, offer.beside_s = harm, cached, own, queue, beside
        offer.ttft_s, offer.tpot_s = ttft, tpot
        offer.machine_s = prompt_s + answer * step / at_once
        return offer

    def _changed(self) -> None:
        """Who is there has changed, or what was learned: seconds of a step, from the cost model and as learned, with those that
        run, and with all that are there."""
        running, there, most = len(self.running), len(self.running) + len(self.waiting), self.most_running
        self.nominal_s = self.pace_s = self.all_s = 0.0
        if running:
            self.nominal_s = self.speed.decode_s(min(running, most) / self.engines, self.context / running)
            self.pace_s = self.decode.at(self.nominal_s)
        if there:
            context = (self.context + self.waiting_prompts) / there
            self.all_s = self.decode.at(self.speed.decode_s(min(there, most) / self.engines, context))

    # what happens

    def _pass(self, now: float) -> None:
        """Time has passed with nothing new."""
        self.decode_sum_s += (now - self.now) * self.nominal_s
        self.now = now

    def _fade(self, now: float) -> None:
        kept = math.exp((self.share_s - now) / OVER_S)
        self.share *= kept
        self.rate *= kept
        self.share_s = now

    def sent(self, ticket: Ticket, offer: Offer, now: float) -> None:
        self._pass(now)
        self._fade(now)
        self.rate += 1.0 / OVER_S
        if not self.waiting:
            self.head_s = now
        ticket.cached, ticket.new = offer.cached, ticket.wanted.prompt_tokens - offer.cached
        ticket.own_s, ticket.queue_s, ticket.beside_s = offer.own_s, offer.queue_s, offer.beside_s
        ticket.ttft_s, ticket.tpot_s, ticket.waits = offer.ttft_s, offer.tpot_s, offer.waits
        self.waiting[ticket] = None
        self.waiting_s += ticket.own_s
        self.waiting_new += ticket.new
        self.waiting_prompts += ticket.wanted.prompt_tokens
        self.each += 1.0 / ticket.answer
        ticket.in_flight = self.in_flight
        self._changed()

    def _leave_queue(self, ticket: Ticket, now: float) -> None:
        if next(iter(self.waiting)) is ticket:
            self.head_s = now
        del self.waiting[ticket]
        self.waiting_s = self.waiting_s - ticket.own_s if self.waiting else 0.0
        self.waiting_new -= ticket.new
        self.waiting_prompts -= ticket.wanted.prompt_tokens

    def first(self, ticket: Ticket, now: float, measured: bool = True) -> None:
        self._pass(now)
        self._leave_queue(ticket, now)
        ticket.first_s, ticket.tokens = now, 1
        if measured:
            ttft = now - ticket.sent_s
            self.learned.ttfts.append((ticket.ttft_s, ttft))
            if not ticket.waits:
                self.prefill.learn(ticket.queue_s, ttft, ticket.beside_s)
            self._saw(ttft <= self.targets.ttft_s, ticket, now)
        if not self.apart:
            spent = self.prefill.factor * ticket.own_s / self.prefillers
            self._fade(now)
            self.share += spent / OVER_S
            self.prefill_sum_s += spent
        self.running[ticket] = None
        self.context += ticket.wanted.prompt_tokens + 1
        self.own += ticket.new + 1
        self._mark(ticket, now)
        self._changed()

    def _mark(self, ticket: Ticket, now: float) -> None:
        ticket.mark_s, ticket.mark_tokens = now, ticket.tokens
        ticket.mark_decode_s, ticket.mark_prefill_s = self.decode_sum_s, self.prefill_sum_s

    def tokens(self, ticket: Ticket, n: int, now: float) -> None:
        ticket.tokens += n
        self.context += n
        self.own += n
        if ticket.tokens - ticket.mark_tokens >= LEARN_EVERY:
            self._pass(now)
            self._pace(ticket, now)
            self._changed()

    def _pace(self, ticket: Ticket, now: float) -> None:
        """Learns from the tokens since the last mark: what they took, less the prompts that came between."""
        passed, tokens = now - ticket.mark_s, ticket.tokens - ticket.mark_tokens
        if passed > 0.0:
            nominal = (self.decode_sum_s - ticket.mark_decode_s) / passed
            prompts = min(self.prefill_sum_s - ticket.mark_prefill_s, 0.9 * passed)
            self.decode.learn(nominal, passed / tokens, prompts / tokens)
            self._saw(passed <= tokens * self.targets.tpot_s, ticket, now)
        self._mark(ticket, now)

    def _saw(self, good: bool, ticket: Ticket, now: float) -> None:
        self.learned.saw(now)
        self.learned.widen(good, self.in_flight, ticket.sent_s, ticket.in_flight, now)

    def ended(self, ticket: Ticket, ok: bool, now: float) -> None:
        """Whether it was answered or not; whoever is not here (any more) changes nothing."""
        self._pass(now)
        if ticket in self.waiting:
            self._leave_queue(ticket, now)
        elif ticket in self.running:
            del self.running[ticket]
            self.context -= ticket.wanted.prompt_tokens + ticket.tokens
            self.own -= ticket.new + ticket.tokens
            more = ticket.tokens - 1
            if ok and more and ticket.wanted.streams:
                if ticket.tokens - ticket.mark_tokens >= LEARN_EVERY // 4:
                    self._pace(ticket, now)
                self.learned.tpots.append((ticket.tpot_s, (now - ticket.first_s) / more))
        else:
            return
        self.each = self.each - 1.0 / ticket.answer if self.in_flight else 0.0
        self.learned.answers += ok
        self._changed()

    def settle(self, now: float) -> None:
        """The present, before anybody asks: an idle lane's past fades; and of answers that do not stream nobody tells the first
        token, so it is taken to come when it was predicted."""
        if not self.waiting:
            if not self.running:
                self.learned.forget(now)
            return
        while self.waiting:
            head = next(iter(self.waiting))
            if head.wanted.streams or now < head.sent_s + head.ttft_s:
                return
            self.first(head, now, measured=False)


def _missed(of_target: float) -> float:
    """Share of answers that miss a target where their mean is at ``of_target`` of it, given what may still come."""
    square = of_target * of_target
    power = square * square * of_target
    return power / (1.0 + power)


def spread(of: list[float]) -> Spread:
    """Mean and quantiles of some seconds."""
    if not of:
        return Spread()
    of.sort()
    last = len(of) - 1
    return Spread(sum(of) / len(of), of[round(0.5 * last)], of[round(0.99 * last)])
