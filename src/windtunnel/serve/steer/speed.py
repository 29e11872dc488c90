"""How fast a backend is, as steering asks it: seconds of prefill, seconds of a decode step, and what it holds at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Speed(Protocol):
    """One backend; a lookup takes about a microsecond.

    chunk_tokens: new tokens of a step of one engine; most_running: requests that the whole backend runs at once; kv_tokens:
    tokens that its caches hold; engines: equal ones among which it spreads its requests; prefillers: where other engines
    prefill, how many, else 0; beside: a prompt's time while others decode, as a share of its time alone; prefix_tokens: of
    its caches, those where prompts that begin alike share, 0 where they do not; fixed_s: of every answer, beside the engine.
    """

    @property
    def chunk_tokens(self) -> float: ...
    @property
    def most_running(self) -> float: ...
    @property
    def kv_tokens(self) -> float: ...
    @property
    def engines(self) -> int: ...
    @property
    def prefillers(self) -> int: ...
    @property
    def beside(self) -> float: ...
    @property
    def prefix_tokens(self) -> float: ...
    @property
    def fixed_s(self) -> float: ...

    def prefill_s(self, tokens: float, held: float) -> float:
        """Seconds for ``tokens`` new tokens of a prompt behind ``held`` in the cache, of one engine that does nothing else."""
        ...

    def decode_s(self, running: float, context: float) -> float:
        """Seconds from token to token of ``running`` requests in one engine, of ``context`` tokens each."""
        ...


@dataclass(frozen=True, slots=True)
class Undescribed:
    """A backend of which nothing is told: a shape alone, whose two scales (a start and a slope, of prefill and of decode) are
    learned. **Source:** the figures are chosen: a first guess of a card with an 8-billion-parameter model; what is seen
    takes their place within some tens of answers."""

    chunk_tokens: float = 4096.0
    most_running: float = math.inf
    kv_tokens: float = math.inf
    engines: int = 1
    prefillers: int = 0
    beside: float = 1.0
    prefix_tokens: float = 262_144.0
    fixed_s: float = 0.0

    def prefill_s(self, tokens: float, held: float) -> float:
        return tokens * 1e-4

    def decode_s(self, running: float, context: float) -> float:
        return 0.015 + 0.0004 * running
