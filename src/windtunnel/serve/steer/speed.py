"""How fast a backend is, as steering asks it: seconds of prefill, seconds of a decode step, and what it holds at once."""

from __future__ import annotations

from typing import Protocol


class Speed(Protocol):
    """One backend; a lookup takes microseconds.

    chunk_tokens: new tokens of a step, of one engine; most_running: requests that run at once; kv_tokens: tokens that the
    caches hold; engines: equal ones among which the backend spreads its requests, and prefillers where other engines
    prefill (0: the same ones do); fixed_s: of every answer, beside the engine. All but chunk_tokens are of the whole backend.
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
    def shares_prefixes(self) -> bool: ...
    @property
    def fixed_s(self) -> float: ...

    def prefill_s(self, tokens: float, held: float) -> float:
        """Seconds for ``tokens`` new tokens of a prompt behind ``held`` in the cache, of one engine that does nothing else."""
        ...

    def decode_s(self, running: float, context: float) -> float:
        """Seconds from token to token of ``running`` requests in one engine, of ``context`` tokens each."""
        ...
