"""What steering is measured under: fleets of unlike backends, and traces of requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from windtunnel.sim.serving.arrivals import Lengths
from windtunnel.sim.serving.request import Request

SEGMENT = 64
"""Tokens of a piece of prompt that two requests may share."""


@dataclass(frozen=True)
class Place:
    """A backend: what it is said to be, how much slower it really is, and whether anything is said."""

    chip: str
    prefill: float = 1.0
    decode: float = 1.0
    described: bool = True


def _off(seed: int, chips: Sequence[str]) -> tuple[Place, ...]:
    """Backends that are not quite what their descriptions say: about as far off as predictions are of chips held out."""
    chance = Random(f"off {seed}")
    return tuple(Place(chip, math.exp(chance.gauss(0.0, 0.2)), math.exp(chance.gauss(0.0, 0.1))) for chip in chips)


def fleets(seed: int) -> dict[str, tuple[Place, ...]]:
    h20, c910, rtx = _off(seed, ("h20", "ascend-910c", "rtx-4090"))
    first, second, third, fourth = _off(seed + 1, ("a100-sxm-80gb",) * 4)
    return {
        "H20, 910C, 4090": (h20, c910, rtx),
        "2 H20, 2 910B2": _off(seed + 2, ("h20", "h20", "ascend-910b2", "ascend-910b2")),
        "4 A100, one half as fast": (first, second, replace(third, prefill=2.0, decode=2.0), fourth),
        "H20, 910C undescribed, 4090": (h20, replace(c910, described=False), rtx),
        "8 of 4 kinds": _off(seed + 3, ("h100-sxm", "h20", "ascend-910b2", "rtx-4090") * 2),
    }


@dataclass(frozen=True)
class Trace:
    """Requests at a mean rate for some seconds. load: of what the backends carry alone, summed, at the fixed load."""

    name: str
    load: float
    make: Callable[[float, float, Random], list[Request]]

    def at(self, rate: float, seconds: float, seed: int) -> list[Request]:
        return self.make(rate, seconds, Random(f"{self.name} {seed}"))


def _times(rate: float, seconds: float, chance: Random, burstiness: float = 1.0) -> list[float]:
    shape = 1.0 / (burstiness * burstiness)
    found: list[float] = []
    now = 0.0
    while True:
        now += chance.gammavariate(shape, 1.0 / (rate * shape))
        if now > seconds:
            return found
        found.append(now)


def _mixed(scale: float, burstiness: float = 1.0) -> Callable[[float, float, Random], list[Request]]:
    """Prompts and answers of log-normal lengths."""
    asked, answered = Lengths(1024.0 * scale, cv=1.0), Lengths(256.0 * scale, cv=0.7)

    def make(rate: float, seconds: float, chance: Random) -> list[Request]:
        return [_request(at, asked.draw(chance), answered.draw(chance)) for at in _times(rate, seconds, chance, burstiness)]

    return make


def _kinds(scale: float) -> Callable[[float, float, Random], list[Request]]:
    """Chat, documents (long prompts, short answers) and code (short prompts, long answers), in equal parts."""
    kinds = [(600.0, 250.0), (5000.0, 120.0), (400.0, 800.0)]

    def make(rate: float, seconds: float, chance: Random) -> list[Request]:
        found = []
        for at in _times(rate, seconds, chance):
            isl, osl = chance.choice(kinds)
            asked, answered = Lengths(isl * scale, cv=0.4), Lengths(osl * scale, cv=0.4)
            found.append(_request(at, asked.draw(chance), answered.draw(chance)))
        return found

    return make


def _chats(scale: float) -> Callable[[float, float, Random], list[Request]]:
    """Conversations of 2 to 8 turns behind one of eight shared instructions; each turn repeats all that was said before."""

    def make(rate: float, seconds: float, chance: Random) -> list[Request]:
        found = []
        for number, begun in enumerate(_times(rate / 5.0, seconds, chance)):
            at, told = begun, int(768 * scale)
            chain = [(0, chance.randrange(8), i) for i in range(told // SEGMENT)]
            for _ in range(chance.randint(2, 8)):
                told += Lengths(300.0 * scale, cv=0.8).draw(chance)
                chain += [(1, number, i) for i in range(len(chain), told // SEGMENT)]
                answer = Lengths(200.0 * scale, cv=0.6).draw(chance)
                if at <= seconds:
                    found.append(replace(_request(at, told, answer), prefix=tuple(map(hash, chain)), segment_tokens=SEGMENT))
                told += answer
                at += 5.0 + chance.expovariate(0.1)
        return sorted(found, key=lambda request: request.arrival_s)

    return make


def _request(at: float, asked: int, answered: int) -> Request:
    return Request(at, min(asked, 16_000), min(answered, 4_000))


def traces(scale: float = 1.0) -> tuple[Trace, ...]:
    return (
        Trace("steady, mixed lengths", 0.9, _mixed(scale)),
        Trace("three kinds of request", 0.9, _kinds(scale)),
        Trace("bursts", 0.7, _mixed(scale, 4.0)),
        Trace("chats that share", 0.9, _chats(scale)),
        Trace("overload", 1.3, _mixed(scale)),
    )
