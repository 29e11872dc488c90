"""Which of several engines a request goes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from windtunnel.errors import UnknownNameError
from windtunnel.sim.serving.engine import Engine
from windtunnel.sim.serving.request import Task

Router = Callable[[Task, Sequence[Engine]], Engine]

_UNEVEN, _MORE = 1.5, 8
"""Where the fullest engine has this many times the emptiest's requests, and so many more, evenness comes before the cache.
**Source:** the shape of SGLang's cache-aware router (a relative and an absolute threshold); the figures are chosen here."""


class RoundRobin:
    """Each in its turn."""

    def __init__(self) -> None:
        self._next = 0

    def __call__(self, task: Task, engines: Sequence[Engine]) -> Engine:
        self._next += 1
        return engines[(self._next - 1) % len(engines)]


_PROMPT = 3
"""What a request that has no token yet adds to one that decodes: engines are compared by 4 times those that wait or are
prefilled, plus those that decode. Counted alike, whoever loses several at once gets several prompts at once, and goes on so.
**Source:** the score of vLLM's balancer over data-parallel engines (4 x waiting + running), recalled."""


def least_loaded(task: Task, engines: Sequence[Engine]) -> Engine:
    """The one that has least to do, the first of equals."""
    best = engines[0]
    least = best.load + _PROMPT * (len(best.waiting) + len(best.partial))
    for engine in engines:
        load = engine.load + _PROMPT * (len(engine.waiting) + len(engine.partial))
        if load < least:
            best, least = engine, load
    return best


def prefix_affinity(task: Task, engines: Sequence[Engine]) -> Engine:
    """The one whose prefix cache holds most of the prompt; the least loaded where none holds any or load is too uneven."""
    least = least_loaded(task, engines)
    if not task.prefix:
        return least
    most = max(engine.load for engine in engines)
    if most > _UNEVEN * least.load and most > least.load + _MORE:
        return least
    best, hit = least, least.cache.hit_tokens(task)
    for engine in engines:
        found = engine.cache.hit_tokens(task)
        if found > hit:
            best, hit = engine, found
    return best


ROUTERS: dict[str, Callable[[], Router]] = {
    "round-robin": RoundRobin,
    "least-loaded": lambda: least_loaded,
    "prefix": lambda: prefix_affinity,
}


def router(name: str) -> Router:
    """A router of that name, with nothing routed yet. Raises UnknownNameError."""
    if name not in ROUTERS:
        raise UnknownNameError("router", name, ROUTERS)
    return ROUTERS[name]()
