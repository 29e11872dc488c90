"""One lane while it works: what is on it, what a request would meet there, and how far its times are from the predicted ones."""

from __future__ import annotations

import math
from collections import deque

from windtunnel.serve.steer.line import Line
from windtunnel.serve.steer.speed import Speed, Undescribed
from windtunnel.serve.steer.wanted import Lane, Spread, Targets, Wanted

REMEMBERED = 256
SHARE_OVER_S = 10.0
"""Seconds over which the share of a lane's time that prompts take is averaged. **Source:** chosen."""
LEARN_EVERY = 32
"""Tokens of an answer after which its pace is learned from, and not only at its end. **Source:** chosen."""
FADE_AFTER_S, FADE_HALF_S = 20.0, 20.0
"""A lane that looks slow and is not asked is believed to be so less and less: from when on, and half as much after how long."""
FEWEST = 4.0
"""Requests at once that a lane of unknown room is given to begin with, and at least. **Source:** chosen."""


class Ticket:
    """A request on its way through a lane: handed back to ``first``, ``tokens`` and ``ended``.

    own_s: its prefill, from the cost model alone; queue_s: that with what was before it in the queue; beside_s: of its predicted
    TTFT, what is not prefill; waits: whether it was thought to find the lane full.
    """

    __slots__ = (
        "beside_s",
        "cached",
        "done",
        "first_s",
        "in_flight",
        "lane",
        "mark_decode_s",
        "mark_prefill_s",
        "mark_s",
        "mark_tokens",
        "new",
        "own_s",
        "queue_s",
        "sent_s",
        "tokens",
        "tpot_s",
        "ttft_s",
        "waits",
        "wanted",
    )

    def __init__(self, lane: str, wanted: Wanted, now: float) -> None:
        self.lane, self.wanted, self.sent_s = lane, wanted, now
        self.first_s, self.tokens, self.done, self.waits = -1.0, 0, False, False
        self.new = self.cached = self.mark_tokens = self.in_flight = 0
        self.own_s = self.queue_s = self.beside_s = self.ttft_s = self.tpot_s = 0.0
        self.mark_s = self.mark_decode_s = self.mark_prefill_s = 0.0


class Offer:
    """What a request would meet on a lane, and what it would do to those that are there. harm: answers that would be good
    without it and are not with it, as a mean."""

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
    """A lane's requests in flight and what was learned of it. bit: the lane among those of ``Prefixes``."""

    def __init__(self, name: str, lane: Lane, bit: int, targets: Targets, now: float) -> None:
        self.name, self.lane, self.bit, self.targets = name, lane, bit, targets
        self.described = lane.speed is not None
        self.speed: Speed = lane.speed or Undescribed()
        speed = self.speed
        self.engines, self.apart = speed.engines, speed.prefillers > 0
        self.prefillers = speed.prefillers or speed.engines
        self.chunk, self.kv, self.most_running = speed.chunk_tokens, speed.kv_tokens, speed.most_running
        self.beside, self.fixed_s = speed.beside, speed.fixed_s
        if self.described:
            self.prefill, self.decode = Line(0.0, 0.05, 1.0, 0.3), Line(0.0, 0.001, 1.0, 0.3)
        else:
            self.prefill, self.decode = Line(0.0, 0.5, 1.0, 3.0), Line(0.0, 0.02, 1.0, 1.0)
        self.window = math.inf if self.described else FEWEST
        self.shrunk_s = self.seen_s = self.now = self.head_s = now
        self.answers = 0
        self.ttfts: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self.tpots: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self.reset()

    def reset(self) -> None:
        """Nothing is in flight."""
        self.waiting: dict[Ticket, None] = {}
        self.waiting_s = 0.0
        self.waiting_new = self.waiting_prompts = 0
        self.running: dict[Ticket, None] = {}
        self.context = self.own = 0  # tokens of those that run, and of them those that they do not share
        self.share, self.share_s = 0.0, self.now  # of the time that prompts take
        self.decode_sum_s = self.prefill_sum_s = self.step_s = 0.0
        self.paused = False
        self._decode_now()

    # what a request would meet

    def room(self, now: float) -> bool:
        """Whether it may be given one more."""
        load = len(self.waiting) + len(self.running)
        return load < self.lane.most_in_flight and load < self.window and not (self.paused and load)

    def offer(self, now: float, prompt: int, cached: int, answer: float) -> Offer:
        speed, targets, running, waiting = self.speed, self.targets, len(self.running), len(self.waiting)
        new, engines, there = prompt - cached, self.engines, running + waiting
        offer = Offer(self.name)
        # decode: with all that are there, at the context that they will have
        all_tokens = self.context + self.waiting_prompts + prompt
        held = self.own + self.waiting_new + new
        at_once = min(there + 1, self.most_running)
        demand = held + (there + 1) * 0.5 * answer
        full = demand / self.kv
        if full > 1.0:
            at_once = max(at_once / full, 1.0)
        step = self.decode.at(speed.decode_s(at_once / engines, all_tokens / (there + 1) + 0.5 * answer))
        share = self.share * math.exp((self.share_s - now) / SHARE_OVER_S)
        free = 1.0 / (1.0 - min(share, 0.9))
        tpot = step * free
        # prefill: those before it in the queue, and their steps
        own = speed.prefill_s(new, cached)
        if running and not self.apart:
            own *= self.beside
        queue = self.waiting_s / self.prefillers + own
        beside = self.fixed_s
        if running and not self.apart:
            steps = math.ceil((self.waiting_new / engines + new) / max(self.chunk - running / engines, 1.0))
            beside += (0.5 + steps) * self.pace_s
        ttft = self.prefill.at(queue) + beside
        if waiting:
            passed = now - self.head_s
            batch = self.prefill.at(self.waiting_s * min(self.chunk / self.waiting_new, 1.0) / self.prefillers) + self.pace_s
            passed -= 2.0 * max(passed - batch, 0.0)  # longer than it should: the rest will be as late
            ttft -= passed
            beside -= passed
        over = max((held - self.kv) / max(self.own, 1), (there + 1 - self.most_running) / max(running, 1))
        offer.waits = over > 0.0
        if over > 0.0:
            late = over * 0.5 * answer * tpot
            ttft += late
            beside += late
        if full > 1.0:
            tpot *= full
        # those that are there
        prompt_s = self.prefill.factor * own / self.prefillers
        offer.harm = 0.0
        if there:
            before = self._missed(self.all_s * free / targets.tpot_s)
            after = self._missed((tpot + (0.0 if self.apart else prompt_s / answer)) / targets.tpot_s)
            offer.harm = there * max(after - before, 0.0)
        offer.cached, offer.own_s, offer.queue_s, offer.beside_s = cached, own, queue, beside
        offer.ttft_s, offer.tpot_s = ttft, tpot
        offer.machine_s = prompt_s + answer * step / at_once
        return offer

    @staticmethod
    def _missed(of_target: float) -> float:
        """Share of answers that miss their target where the mean is at ``of_target`` of it, given what may still come."""
        power = of_target * of_target
        power *= power
        return power / (1.0 + power)

    def _decode_now(self) -> None:
        """The step's time has changed, by who runs or by what was learned."""
        running, there = len(self.running), len(self.running) + len(self.waiting)
        self.nominal_s = self.pace_s = self.all_s = 0.0
        if running:
            self.nominal_s = self.speed.decode_s(min(running, self.most_running) / self.engines, self.context / running)
            self.pace_s = self.decode.at(self.nominal_s)
        if there:
            tokens = (self.context + self.waiting_prompts) / there
            self.all_s = self.decode.at(self.speed.decode_s(min(there, self.most_running) / self.engines, tokens))

    # what happens

    def pass_to(self, now: float) -> None:
        """Time passes, with nothing new."""
        self.decode_sum_s += (now - self.now) * self.nominal_s
        self.now = now

    def sent(self, ticket: Ticket, offer: Offer, now: float) -> None:
        self.pass_to(now)
        if not self.waiting:
            self.head_s = now
        ticket.cached, ticket.new = offer.cached, ticket.wanted.prompt_tokens - offer.cached
        ticket.own_s, ticket.queue_s, ticket.beside_s = offer.own_s, offer.queue_s, offer.beside_s
        ticket.ttft_s, ticket.tpot_s, ticket.waits = offer.ttft_s, offer.tpot_s, offer.waits
        self.waiting[ticket] = None
        self.waiting_s += ticket.own_s
        self.waiting_new += ticket.new
        self.waiting_prompts += ticket.wanted.prompt_tokens
        ticket.in_flight = len(self.waiting) + len(self.running)
        self._decode_now()

    def _leave_queue(self, ticket: Ticket, now: float) -> None:
        del self.waiting[ticket]
        self.waiting_s = self.waiting_s - ticket.own_s if self.waiting else 0.0
        self.waiting_new -= ticket.new
        self.waiting_prompts -= ticket.wanted.prompt_tokens
        self.head_s = now

    def first(self, ticket: Ticket, now: float, measured: bool = True) -> None:
        self.pass_to(now)
        self._leave_queue(ticket, now)
        ticket.first_s, ticket.tokens = now, 1
        if measured:
            ttft = now - ticket.sent_s
            self.ttfts.append((ticket.ttft_s, ttft))
            if not ticket.waits:
                self.prefill.learn(ticket.queue_s, ttft, ticket.beside_s)
            self._saw(now)
        spent = self.prefill.factor * ticket.own_s / self.prefillers
        if not self.apart:
            self.share = self.share * math.exp((self.share_s - now) / SHARE_OVER_S) + spent / SHARE_OVER_S
            self.share_s = now
            self.prefill_sum_s += spent
        self.running[ticket] = None
        self.context += ticket.wanted.prompt_tokens + 1
        self.own += ticket.new + 1
        self._mark(ticket, now)
        self._decode_now()

    def _mark(self, ticket: Ticket, now: float) -> None:
        ticket.mark_s, ticket.mark_tokens = now, ticket.tokens
        ticket.mark_decode_s, ticket.mark_prefill_s = self.decode_sum_s, self.prefill_sum_s

    def tokens(self, ticket: Ticket, n: int, now: float) -> None:
        ticket.tokens += n
        self.context += n
        self.own += n
        if ticket.tokens - ticket.mark_tokens >= LEARN_EVERY:
            self.pass_to(now)
            self._pace(ticket, now)
            self._decode_now()

    def _pace(self, ticket: Ticket, now: float) -> None:
        """Learns from the tokens since the last mark: what they took, less the prompts that came between."""
        passed, tokens = now - ticket.mark_s, ticket.tokens - ticket.mark_tokens
        if passed > 0.0:
            nominal = (self.decode_sum_s - ticket.mark_decode_s) / passed
            prompts = min(self.prefill_sum_s - ticket.mark_prefill_s, 0.9 * passed)
            self.decode.learn(nominal, passed / tokens, prompts / tokens)
            self._saw(now)
        self._mark(ticket, now)

    def _saw(self, now: float) -> None:
        self.seen_s, self.paused = now, False

    def ended(self, ticket: Ticket, ok: bool, now: float) -> None:
        self.pass_to(now)
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
                self.tpots.append((ticket.tpot_s, (now - ticket.first_s) / more))
        if ok:
            self.answers += 1
            self._widen(ticket, now)
        self._decode_now()

    def _widen(self, ticket: Ticket, now: float) -> None:
        """Room of a lane whose room is not told: one more for each good answer that was near it, less after a bad one."""
        if self.described or ticket.first_s < 0.0:
            return
        ttft, tpot = ticket.first_s - ticket.sent_s, (now - ticket.first_s) / max(ticket.tokens - 1, 1)
        if ttft <= self.targets.ttft_s and tpot <= self.targets.tpot_s:
            if ticket.in_flight >= 0.5 * self.window:
                self.window += 1.0
        elif ticket.sent_s >= self.shrunk_s:
            self.window, self.shrunk_s = max(0.75 * min(self.window, ticket.in_flight), FEWEST), now

    def forget(self, now: float) -> None:
        """A lane that is not asked, and looked slow, is believed to be so less and less; then it is given one, to see."""
        if now - self.seen_s < FADE_AFTER_S or self.waiting or self.running:
            return
        if self.prefill.factor > 1.1 or self.decode.factor > 1.1 or self.prefill.start_s > 0.05:
            share = 0.5 ** ((now - max(self.seen_s + FADE_AFTER_S, self.now)) / FADE_HALF_S)
            self.prefill.fade(share)
            self.decode.fade(share)
            self.paused = True
        self.now = now

    def settle(self, now: float) -> None:
        """Of answers that do not stream nobody tells the first token: it is taken to come when it was predicted."""
        while self.waiting:
            head = next(iter(self.waiting))
            if head.wanted.streams or now < head.sent_s + head.ttft_s:
                return
            self.first(head, now, measured=False)


def spread(of: list[float]) -> Spread:
    """Mean and quantiles of some seconds."""
    if not of:
        return Spread()
    of.sort()
    last = len(of) - 1
    return Spread(sum(of) / len(of), of[round(0.5 * last)], of[round(0.99 * last)])
