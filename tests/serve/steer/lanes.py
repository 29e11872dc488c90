"""Lanes of known speed, a clock that is set by hand, and requests for them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from windtunnel.serve.steer.steering import Steering
from windtunnel.serve.steer.wanted import Lane, Targets, Wanted

TARGETS = Targets(ttft_s=2.0, tpot_s=0.05)


@dataclass
class Even:
    """A millisecond a token of the prompt; a step of 10 ms, and 1 ms for each that decodes in it."""

    a_token_s: float = 1e-3
    step_s: float = 0.010
    each_s: float = 0.001
    chunk_tokens: float = 8192.0
    most_running: float = math.inf
    kv_tokens: float = math.inf
    engines: int = 1
    prefillers: int = 0
    beside: float = 1.0
    prefix_tokens: float = 10_000.0
    fixed_s: float = 0.0

    def prefill_s(self, tokens: float, held: float) -> float:
        return tokens * self.a_token_s

    def decode_s(self, running: float, context: float) -> float:
        return self.step_s + self.each_s * running


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def steering(**lanes: Lane) -> tuple[Steering, Clock]:
    clock = Clock()
    return Steering(lanes, TARGETS, clock), clock


def asked(tokens: int = 1000, segments: tuple[int, ...] = (), **more: bool) -> Wanted:
    return Wanted("m", tokens, segments, segment_tokens=100, **more)


def answered(of: Steering, clock: Clock, lane: str, ttft_s: float, tpot_s: float, tokens: int = 64) -> None:
    """One request through a lane, with nothing beside it."""
    ticket = of.sent(lane, asked(500))
    clock.now += ttft_s
    of.first(ticket)
    for _ in range(tokens - 1):
        clock.now += tpot_s
        of.tokens(ticket, 1)
    of.ended(ticket, True)
