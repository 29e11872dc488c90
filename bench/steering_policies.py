"""Who may choose among the backends of a simulated fleet: steering, and what is simpler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

from bench.steering_fleet import ISL, MODEL, OSL, Backend
from bench.steering_loads import SEGMENT, Place
from windtunnel.serve.steer.steering import Steering
from windtunnel.serve.steer.table import Table
from windtunnel.serve.steer.ticket import Ticket
from windtunnel.serve.steer.wanted import Lane, Targets, Wanted
from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving.fleet import Fleet, pools
from windtunnel.sim.serving.request import Request, Task

TARGETS = Targets(ttft_s=2.0, tpot_s=0.05)


@cache
def _table(chip: str) -> Table:
    return Table(pools(Fleet(Deployment(MODEL, chip)), ISL, OSL)[0])


class Policy(Protocol):
    def choose(self, request: Request, now: float) -> int: ...
    def first(self, task: Task, now: float) -> None: ...
    def tokens(self, found: list[tuple[Task, int]], now: float) -> None: ...
    def ended(self, task: Task, now: float) -> None: ...
    def sent(self, task: Task) -> None: ...


class _Blind:
    """A policy that needs to be told nothing."""

    def __init__(self, backends: Sequence[Backend], places: Sequence[Place]) -> None:
        self.backends = backends

    def first(self, task: Task, now: float) -> None: ...
    def tokens(self, found: list[tuple[Task, int]], now: float) -> None: ...
    def ended(self, task: Task, now: float) -> None: ...
    def sent(self, task: Task) -> None: ...


class RoundRobin(_Blind):
    turn = -1

    def choose(self, request: Request, now: float) -> int:
        self.turn = (self.turn + 1) % len(self.backends)
        return self.turn


class LeastInFlight(_Blind):
    def choose(self, request: Request, now: float) -> int:
        loads = [backend.engine.load for backend in self.backends]
        return loads.index(min(loads))


class LeastWeighted(_Blind):
    """As vLLM's balancer weighs them: four for each that has no token yet, one for each that decodes."""

    def choose(self, request: Request, now: float) -> int:
        loads = [b.engine.load + 3 * (len(b.engine.waiting) + len(b.engine.partial)) for b in self.backends]
        return loads.index(min(loads))


class Steered:
    """Steering; how long an answer will be it is not told."""

    def __init__(self, backends: Sequence[Backend], places: Sequence[Place]) -> None:
        self.now = 0.0
        lanes = {str(i): Lane(_table(place.chip) if place.described else None) for i, place in enumerate(places)}
        self.steering = Steering(lanes, TARGETS, lambda: self.now)
        self.tickets: dict[Task, Ticket] = {}
        self._names = tuple(lanes)
        self._pending: Ticket | None = None

    def choose(self, request: Request, now: float) -> int:
        self.now = now
        wanted = Wanted(MODEL, request.input_tokens, request.prefix, None, request.segment_tokens or SEGMENT)
        lane = self.steering.ranked(wanted, self._names)[0].lane
        self._pending = self.steering.sent(lane, wanted)
        return int(lane)

    def sent(self, task: Task) -> None:
        assert self._pending is not None
        self.tickets[task] = self._pending

    def first(self, task: Task, now: float) -> None:
        self.now = now
        self.steering.first(self.tickets[task])

    def tokens(self, found: list[tuple[Task, int]], now: float) -> None:
        self.now = now
        for task, count in found:
            ticket = self.tickets.get(task)
            if ticket is not None and 0 < ticket.tokens < count:
                self.steering.tokens(ticket, count - ticket.tokens)

    def ended(self, task: Task, now: float) -> None:
        self.now = now
        ticket = self.tickets.pop(task)
        self.steering.tokens(ticket, task.output_tokens - ticket.tokens)
        self.steering.ended(ticket, True)


POLICIES: dict[str, Callable[[Sequence[Backend], Sequence[Place]], Policy]] = {
    "round robin": RoundRobin,
    "least in flight": LeastInFlight,
    "least weighted": LeastWeighted,
    "steering": Steered,
}
BASELINES = ("round robin", "least in flight", "least weighted")
