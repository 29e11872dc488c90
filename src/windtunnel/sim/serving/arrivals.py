"""When requests arrive and how long they are: at random, in bursts, in a closed loop, or from a list; the same under one seed."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from windtunnel.errors import InvalidInputError
from windtunnel.sim.serving.request import Request

MOST_TOKENS = 10_000_000
_TRIES = 1000


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of an input or an output: always ``mean``; evenly between ``low`` and ``high``; or log-normal with a mean and a
    coefficient of variation ``cv``."""

    mean: float
    low: int = 0
    high: int = 0
    cv: float = 0.0

    def draw(self, chance: Random) -> int:
        if self.high:
            return chance.randint(self.low, self.high)
        if self.cv:
            spread = math.sqrt(math.log1p(self.cv * self.cv))
            drawn = chance.lognormvariate(math.log(self.mean) - spread * spread / 2.0, spread)
            return min(max(round(drawn), 1), MOST_TOKENS)
        return int(self.mean)

    @property
    def most(self) -> int:
        """The longest, where there is one; of a log-normal length, what one in a thousand exceeds."""
        if self.cv:
            spread = math.sqrt(math.log1p(self.cv * self.cv))
            return math.ceil(self.mean * math.exp(3.09 * spread - spread * spread / 2.0))
        return self.high or int(self.mean)

    def __str__(self) -> str:
        if self.high:
            return f"{self.low:,} to {self.high:,}"
        return f"about {self.mean:,.10g} (CV {self.cv:g})" if self.cv else f"{self.mean:,.10g}"


def parse_lengths(text: str, field: str) -> Lengths:
    """``1024``, ``512-2048`` (evenly between), ``1024~0.8`` (log-normal: mean and coefficient of variation).

    Raises InvalidInputError.
    """
    told = text.strip()
    try:
        if "~" in told:
            mean, _, cv = told.partition("~")
            found = Lengths(float(mean.replace(",", "")), cv=float(cv))
            if not (1.0 <= found.mean <= MOST_TOKENS and 0.0 < found.cv <= 10.0):
                raise ValueError
            return found
        if "-" in told[1:]:
            low, _, high = told.partition("-")
            found = Lengths((int(low) + int(high)) / 2.0, int(low), int(high))
            if not 1 <= found.low <= found.high <= MOST_TOKENS:
                raise ValueError
            return found
        fixed = int(told)
    except ValueError:
        problem = "is no number of tokens; write 1024, 512-2048 (evenly between) or 1024~0.8 (log-normal: mean ~ CV)"
        raise InvalidInputError(field, f"'{text}' {problem}")
    if not 1 <= fixed <= MOST_TOKENS:
        raise InvalidInputError(field, f"{fixed} tokens; it must be from 1 to {MOST_TOKENS:,}")
    return Lengths(float(fixed))


@dataclass(frozen=True, slots=True)
class Sharing:
    """Prompts that begin alike: each request begins with ``tokens`` tokens of one of ``prompts`` texts, drawn evenly."""

    tokens: int
    prompts: int = 1


class Source(Protocol):
    """Requests in the order of their arrival. next_s: when the next one comes, inf after the last (for now)."""

    next_s: float

    def take(self) -> Request: ...

    def finished(self, now: float) -> None:
        """A request has been answered."""


class Arrivals(Protocol):
    """What requests there are. mean lengths are for the size of the caches; open: whether they come whether or not those
    before were answered."""

    @property
    def isl(self) -> float: ...
    @property
    def osl(self) -> float: ...
    @property
    def open(self) -> bool: ...
    @property
    def requests(self) -> int:
        """How many in all, 0 where that is not known beforehand."""

    def source(self, seed: int) -> Source: ...


class OpenSource:
    """Requests of an iterator, whose times never decrease."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._rest: Iterator[Request] = iter(requests)
        self._next: Request | None = None
        self.next_s = -math.inf
        self._step()

    def _step(self) -> None:
        self._next = next(self._rest, None)
        self.next_s = self._next.arrival_s if self._next is not None else math.inf

    def take(self) -> Request:
        found = self._next
        assert found is not None
        self._step()
        return found

    def finished(self, now: float) -> None:
        pass


class Closing:
    """Another source, of which nothing is taken that comes after ``last_s``."""

    def __init__(self, of: Source, last_s: float) -> None:
        self._of, self._last_s = of, last_s
        self._look()

    def _look(self) -> None:
        at = self._of.next_s
        self.next_s = at if at <= self._last_s else math.inf

    def take(self) -> Request:
        found = self._of.take()
        self._look()
        return found

    def finished(self, now: float) -> None:
        self._of.finished(now)
        self._look()


@dataclass(frozen=True, slots=True)
class AtRandom:
    """``requests`` requests at a mean rate, independent of what becomes of them. burstiness: coefficient of variation of
    the time between two (1: Poisson; above it, bursts; below it, more even; **Source:** gamma-distributed intervals)."""

    requests_per_s: float
    input: Lengths
    output: Lengths
    requests: int = 10_000
    burstiness: float = 1.0
    sharing: Sharing | None = None
    open: bool = True

    @property
    def isl(self) -> float:
        return self.input.mean

    @property
    def osl(self) -> float:
        return self.output.mean

    def source(self, seed: int) -> Source:
        return OpenSource(self._drawn(Random(seed)))

    def _drawn(self, chance: Random) -> Iterator[Request]:
        now, rate = 0.0, self.requests_per_s
        shape = 1.0 / (self.burstiness * self.burstiness)
        poisson, draw_input, draw_output = self.burstiness == 1.0, self.input.draw, self.output.draw
        for _ in range(self.requests):
            now += chance.expovariate(rate) if poisson else chance.gammavariate(shape, 1.0 / (rate * shape))
            yield shared(Request(now, draw_input(chance), draw_output(chance)), self.sharing, chance)


def shared(request: Request, sharing: Sharing | None, chance: Random) -> Request:
    """The request with a beginning that others share, where it is long enough for one."""
    if sharing is None:
        return request
    drawn = chance.randrange(sharing.prompts) + 1
    if sharing.tokens > request.input_tokens:
        return request
    return replace(request, prefix=(drawn,), segment_tokens=sharing.tokens)


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """``concurrency`` requests in flight: all sent at once, then a new one for each that is answered, ``requests`` in all."""

    concurrency: int
    input: Lengths
    output: Lengths
    requests: int = 10_000
    sharing: Sharing | None = None
    open: bool = False

    @property
    def isl(self) -> float:
        return self.input.mean

    @property
    def osl(self) -> float:
        return self.output.mean

    def source(self, seed: int) -> Source:
        return _Loop(self, Random(seed))


class _Loop:
    def __init__(self, of: ClosedLoop, chance: Random) -> None:
        self.of, self.chance, self.sent = of, chance, 0
        self._times = [0.0] * min(of.concurrency, of.requests)
        self.next_s = 0.0 if self._times else math.inf

    def take(self) -> Request:
        now = heapq.heappop(self._times)
        self.sent += 1
        self._look()
        of = self.of
        return shared(Request(now, of.input.draw(self.chance), of.output.draw(self.chance)), of.sharing, self.chance)

    def finished(self, now: float) -> None:
        if self.sent + len(self._times) < self.of.requests:
            heapq.heappush(self._times, now)
            self._look()

    def _look(self) -> None:
        self.next_s = self._times[0] if self._times else math.inf


@dataclass(frozen=True, slots=True)
class Listed:
    """Requests that are at hand, in order of arrival."""

    of: tuple[Request, ...]
    open: bool = True

    @property
    def requests(self) -> int:
        return len(self.of)

    @property
    def isl(self) -> float:
        return sum(r.input_tokens for r in self.of) / max(len(self.of), 1)

    @property
    def osl(self) -> float:
        return sum(r.output_tokens for r in self.of) / max(len(self.of), 1)

    def source(self, seed: int) -> Source:
        return OpenSource(self.of)
