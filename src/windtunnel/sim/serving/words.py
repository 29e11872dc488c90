"""A load in words, in the terminal and in the report alike."""

from __future__ import annotations

from windtunnel.sim.serving.arrivals import Arrivals, AtRandom, ClosedLoop
from windtunnel.sim.serving.trace import First, Trace


def load(arrivals: Arrivals) -> str:
    """``12 requests/s at random, 1,024 tokens in, 256 out``."""
    if isinstance(arrivals, AtRandom):
        how = "at random" if arrivals.burstiness == 1.0 else f"in bursts (CV {arrivals.burstiness:g})"
        told = f"{arrivals.requests_per_s:,.10g} requests/s {how}, {arrivals.input} tokens in, {arrivals.output} out"
    elif isinstance(arrivals, ClosedLoop):
        told = f"{_requests(arrivals.concurrency)} in flight, {arrivals.input} tokens in, {arrivals.output} out"
    elif isinstance(arrivals, Trace | First):
        return f"{arrivals.path.name} ({arrivals.layout.name}): {_requests(arrivals.requests)}, {_means(arrivals)}"
    else:
        return f"{_requests(arrivals.requests)}, {_means(arrivals)}"
    if arrivals.sharing is not None:
        told += f", beginning with one of {arrivals.sharing.prompts:,} prefixes of {arrivals.sharing.tokens:,}"
    return told


def _requests(count: int) -> str:
    return f"{count:,} request{'s' * (count != 1)}"


def _means(arrivals: Arrivals) -> str:
    return f"{arrivals.isl:,.0f} tokens in and {arrivals.osl:,.0f} out on average"
