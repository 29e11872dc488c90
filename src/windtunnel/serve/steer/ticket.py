"""A request at a lane: what it would meet there, and what is kept of it while it is on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from windtunnel.serve.steer.wanted import Wanted

if TYPE_CHECKING:
    from windtunnel.serve.steer.traffic import Traffic


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


class Offer(NamedTuple):
    """What a request would meet on a lane, and what it would do to others. harm: answers that would be good without it and are
    not with it, as a mean; machine_s: of the whole lane, what the request takes; the rest as a ticket has it."""

    of: Traffic
    cached: int
    waits: bool
    ttft_s: float
    tpot_s: float
    own_s: float
    queue_s: float
    beside_s: float
    harm: float
    machine_s: float
