"""One lane while it works: what is on it, and what a request would meet there and do to the others."""

from __future__ import annotations

from math import ceil, exp

from windtunnel.serve.steer.learned import Learned
from windtunnel.serve.steer.speed import Speed, Undescribed
from windtunnel.serve.steer.ticket import Offer, Ticket
from windtunnel.serve.steer.wanted import Lane, Spread, Targets

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
        self.beside, self.fixed_s, self.most = speed.beside, speed.fixed_s, lane.most_in_flight
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
        self.stale = True

    @property
    def in_flight(self) -> int:
        return len(self.waiting) + len(self.running)

    # what a request would meet

    def ready(self, now: float) -> bool:
        """Whether it may be given one more. Then its present is settled: an idle lane's past fades, first tokens are there."""
        load = len(self.waiting) + len(self.running)
        if not load:
            self.learned.forget(now)
        elif self.waiting:
            self._settle(now)
        return load < self.most

    def _settle(self, now: float) -> None:
        """Of answers that do not stream nobody tells the first token, so it is taken to come when it was predicted."""
        while self.waiting:
            head = next(iter(self.waiting))
            due = self._due(head)
            if head.wanted.streams or now < due:
                return
            self.first(head, max(due, self.now), measured=False)

    def _due(self, ticket: Ticket) -> float:
        """When its first token is thought to come, by what is known now; not before it was sent."""
        return ticket.sent_s + max(self.prefill.at(ticket.queue_s) + ticket.beside_s, self.fixed_s)

    def offer(self, now: float, prompt: int, cached: int, answer: float) -> Offer:
        """For a prompt of which ``cached`` tokens are there, and an answer of about ``answer`` tokens.

        Asked of every lane for every request, so comparisons stand where ``max`` and ``min`` would be called.
        """
        speed, targets, engines, apart = self.speed, self.targets, self.engines, self.apart
        running, waiting, kv, most = len(self.running), len(self.waiting), self.kv, self.most_running
        there, new, half, own_tokens = running + waiting, prompt - cached, 0.5 * answer, self.own
        one_more = there + 1
        if self.stale:
            self._refresh()
        # decode: with all that are there, at the contexts that they will have
        held = own_tokens + self.waiting_new + new
        full = (held + one_more * half) / kv
        at_once: float = one_more if one_more < most else most
        if full > 1.0:
            at_once = at_once / full if at_once > full else 1.0
        step = self.decode.at(speed.decode_s(at_once / engines, (self.context + self.waiting_prompts + prompt) / one_more + half))
        kept = exp((self.share_s - now) / OVER_S)
        share = self.share * kept
        slower = 1.0 / (1.0 - share) if share < 0.9 else 10.0
        tpot = step * slower
        if full > 1.0:
            tpot *= full  # those that find no room for their tokens are computed again
        # prefill: what is before it in the queue, and the tokens that others make meanwhile
        line = self.prefill
        own = speed.prefill_s(new, cached)
        beside = self.fixed_s
        if running and not apart:
            own *= self.beside
            chunk = self.chunk - running / engines
            steps = ceil((self.waiting_new / engines + new) / (chunk if chunk > 1.0 else 1.0))
            beside += (0.5 + steps) * self.pace_s
        queue = self.waiting_s / self.prefillers + own
        if waiting:
            passed = now - self.head_s
            many = self.waiting_new > self.chunk
            first = line.at((queue - own) * (self.chunk / self.waiting_new if many else 1.0)) + self.pace_s
            # whoever is later than it should be goes on so: what is too much counts against the lane
            beside += passed - 2.0 * first if passed > first else -passed
        waits = held > kv or one_more > most
        if waits:  # until so many of those that run are through
            over = max((held - kv) / max(own_tokens, 1), (one_more - most) / max(running, 1))
            beside += over * half * tpot
        ttft = line.at(queue) + beside
        if ttft < self.fixed_s:
            ttft = self.fixed_s
        if one_more > self.learned.window:  # more than was ever seen to go well
            ttft, tpot = ttft * one_more / self.learned.window, tpot * one_more / self.learned.window
        # the others: those that are there, and those that will come while it is prefilled
        prompt_s = line.factor * own / self.prefillers
        missed = ttft / targets.ttft_s
        power = missed * missed
        power *= power
        harm = 1.0 + power * missed
        harm = _TO_COME * self.rate * kept * missed * prompt_s * 5.0 * power / (harm * harm)
        if there:
            target = targets.tpot_s
            before = self.all_s * slower
            after = before + _STAY * (tpot - before) if tpot > before else before
            if not apart:
                after += _UNEVEN * prompt_s * self.each / there
            harm += there * (_missed(after / target) - _missed(before / target))
        machine = prompt_s + answer * step / at_once
        return Offer(self, cached, waits, ttft, tpot, own, queue, beside, harm, machine)

    def _refresh(self) -> None:
        """Who is there has changed, or what was learned: seconds of a step, from the cost model and as learned, with those that
        run, and with all that are there."""
        self.stale = False
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
        if self.stale:
            self._refresh()
        self.decode_sum_s += (now - self.now) * self.nominal_s
        self.now = now

    def _fade(self, now: float) -> None:
        kept = exp((self.share_s - now) / OVER_S)
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
        self.stale = True

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
        self.stale = True

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
            self.stale = True

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

    def _whole(self, ticket: Ticket, tokens: int, now: float) -> None:
        """Learns from an answer of which only the end was told. Its prefill and its pace cannot be told apart, so whichever was
        thought to take longer takes the blame, and the other is taken as predicted: an answer of one token is all prefill."""
        if ticket in self.waiting:
            self.first(ticket, min(max(self._due(ticket), self.now), now), measured=False)
        self._pass(now)
        if self.stale:
            self._refresh()
        took, more, passed = now - ticket.sent_s, tokens - 1, now - ticket.mark_s
        ttft = self._due(ticket) - ticket.sent_s
        nominal = (self.decode_sum_s - ticket.mark_decode_s) / passed if passed > 0.0 else self.nominal_s
        prompts = min(self.prefill_sum_s - ticket.mark_prefill_s, 0.9 * passed)
        rest = more * self.decode.at(nominal) + prompts if more else 0.0
        if rest > ttft:
            self.decode.learn(nominal, (took - ttft) / more, prompts / more)
        elif not ticket.waits:
            self.prefill.learn(ticket.queue_s, took - rest, ticket.beside_s)
        if not more:
            self.learned.ttfts.append((ticket.ttft_s, took))
        self._saw(took <= self.targets.ttft_s + more * self.targets.tpot_s, ticket, now)

    def ended(self, ticket: Ticket, ok: bool, now: float, tokens: int = 0) -> None:
        """Whether it was answered or not; whoever is not here (any more) changes nothing. tokens: of an answer that does not
        stream, where they are known."""
        self._settle(now)
        if ok and tokens and not ticket.wanted.streams and (ticket in self.waiting or ticket in self.running):
            self._whole(ticket, tokens, now)
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
        self.stale = True


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
