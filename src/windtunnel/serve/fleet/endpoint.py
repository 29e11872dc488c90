"""One back end while the fleet runs: where it is, whether it can take a request, and what became of those that it took."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from yarl import URL

from windtunnel.serve.fleet.breaker import Breaker
from windtunnel.serve.fleet.file import BackendEntry, Limits

State = Literal["up", "starting", "draining", "broken", "down"]
RATE_S = 10.0
"""The time over which tokens per second are told."""
FEWEST_PIECES = 8
"""Of a stream that tells how many tokens come in an event: shorter ones end with tokens that nobody sees."""
MOST_A_PIECE = 16.0
_KEPT = 0.9


@dataclass(slots=True)
class Counts:
    """Since the start. requests: tries; failed: of them; retried: of those, sent to another or again; tokens: of answers."""

    requests: int = 0
    failed: int = 0
    retried: int = 0
    abandoned: int = 0
    tokens: int = 0
    prompt_tokens: int = 0


class Endpoint:
    """A back end of the fleet. changed: called when it may take requests that it could not take before; moved: when it is at an
    address, anew or again.

    names: what clients call each of its models -> what it calls it. base: its URL without ``/v1``, empty until it is known.
    """

    def __init__(
        self,
        entry: BackendEntry,
        limits: Limits,
        *,
        changed: Callable[[], None] = lambda: None,
        moved: Callable[[Endpoint], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.entry, self.limits, self.changed, self.moved, self._clock = entry, limits, changed, moved, clock
        self.base = ""
        self._urls: dict[str, URL] = {}
        self.headers = {  # all that aiohttp would add for each request by itself
            "Content-Type": "application/json",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "windtunnel",
        }
        if entry.key:
            self.headers["Authorization"] = f"Bearer {entry.key}"
        own = entry.model if entry.kind == "url" else entry.called  # what is started here is told how to call it
        self.names: dict[str, str] = {entry.called: own} if entry.called else {}
        self.most_tokens: dict[str, int] = {}
        self.breaker = self._new_breaker()
        self.in_flight = 0
        self.counts = Counts()
        self.draining = self.begun = self.healthy = False
        self.why = ""
        self.quiet_until = 0.0
        self._tokens: deque[tuple[float, int]] = deque()
        self._pieces = self._in_pieces = 0.0

    def _new_breaker(self) -> Breaker:
        return Breaker(self.limits.break_after, self.limits.break_share, self.limits.break_for)

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no client may read in a message."""
        at = URL(self.base) if self.base else None
        return (self.entry.key, self.base, f"{at.host}:{at.port}" if at else "")

    def url(self, path: str) -> URL:
        """Of one of its paths, made once: reading a URL takes longer than sending it."""
        found = self._urls.get(path)
        if found is None:
            found = self._urls[path] = URL(self.base + path)
        return found

    def at(self, base: str) -> None:
        """It is, or is again, at this address; nothing is known of it yet."""
        self.base = base.rstrip("/").removesuffix("/v1")
        self._urls.clear()
        self.breaker = self._new_breaker()
        self.healthy = self.begun = False
        self.quiet_until = 0.0
        self.moved(self)

    def gone(self, why: str) -> None:
        """Nothing is there any more."""
        self.base, self.healthy, self.why = "", False, why

    def seen_well(self) -> None:
        """It answered a look at its health."""
        before = self.healthy
        self.healthy = self.begun = True
        self.why = ""
        if not before:
            self.breaker = self._new_breaker()  # what failed was before it went
            self.changed()

    def seen_ill(self, why: str) -> None:
        """It did not."""
        self.healthy, self.why = False, why

    def state(self) -> State:
        if self.draining:
            return "draining"
        if self.base and self.healthy:
            return "up" if self.breaker.state(self._clock()) == "closed" else "broken"
        return "down" if self.begun or self.why else "starting"

    def hopeful(self) -> bool:
        """Whether it can take requests now, or when those that it has are done."""
        return self.healthy and not self.draining and self.breaker.lets(self._clock())

    def able(self, now: float) -> bool:
        """Whether it can take one more request now."""
        return (
            self.healthy
            and not self.draining
            and self.in_flight < self.entry.most_in_flight
            and now >= self.quiet_until
            and self.breaker.lets(now)
        )

    def drain(self, on: bool) -> None:
        """Takes no more requests; those under way go on. Or takes them again."""
        self.draining = on
        if not on:
            self.changed()

    def count(self, prompt_tokens: int, tokens: int) -> None:
        """An answer of so many tokens is over."""
        now = self._clock()
        self.counts.tokens += tokens
        self.counts.prompt_tokens += prompt_tokens
        self._tokens.append((now, tokens))
        self._forget(now)

    @property
    def tokens_a_piece(self) -> float:
        """Tokens of one event of its streams, at least one: several where the engine drafts tokens or gathers them."""
        return min(max(self._in_pieces / self._pieces, 1.0), MOST_A_PIECE) if self._pieces else 1.0

    def streamed(self, pieces: int, tokens: int) -> None:
        """A streamed answer came in so many events with something in them; tokens: of it, as the back end counts them."""
        if pieces >= FEWEST_PIECES:
            self._pieces = _KEPT * self._pieces + pieces
            self._in_pieces = _KEPT * self._in_pieces + min(tokens - 1, MOST_A_PIECE * pieces)  # the one that ends it is not seen

    def tokens_per_s(self) -> float:
        """Tokens of the answers that ended in the last seconds."""
        self._forget(self._clock())
        return sum(tokens for _, tokens in self._tokens) / RATE_S

    def _forget(self, now: float) -> None:
        while self._tokens and self._tokens[0][0] < now - RATE_S:
            self._tokens.popleft()
