"""Engines, a router and a clock: requests are submitted, time is moved on, answers are counted."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from windtunnel.errors import InvalidInputError
from windtunnel.sim.serving.arrivals import Source
from windtunnel.sim.serving.engine import Engine
from windtunnel.sim.serving.fleet import Fleet, Pool, pools
from windtunnel.sim.serving.history import History
from windtunnel.sim.serving.request import Request, Task
from windtunnel.sim.serving.result import Sample, Tally, Timeline
from windtunnel.sim.serving.router import least_loaded, router
from windtunnel.sim.serving.transfer import End, Links

TOO_LONG = "longer than the model's context"
TOO_BIG = "larger than the whole KV cache"
ABANDONED = "abandoned before it was answered"
_PROGRESS = 2000

Progress = Callable[["Simulation"], bool]
"""Asked every few thousand events; False stops the run."""


class _Never:
    """No arrivals but those that are submitted."""

    next_s = math.inf

    def take(self) -> Request:
        raise NotImplementedError

    def finished(self, now: float) -> None:
        pass


class Simulation:
    """A fleet in motion; equal for equal arguments and submissions.

    isl, osl: lengths for which the caches are laid out; seed: of failures; built: the pools, where they are at hand. now: up
    to where time has been moved.
    """

    def __init__(
        self,
        fleet: Fleet,
        isl: float,
        osl: float,
        *,
        seed: int = 0,
        tally: Tally | None = None,
        built: tuple[Pool, Pool | None] | None = None,
    ) -> None:
        self.fleet, self.tally = fleet, tally or Tally()
        self.now = self.arrived_s = 0.0
        main, before = built or pools(fleet, isl, osl)
        self.main, self.before = main, before
        self.engines = self._built(main)
        self.prefillers = self._built(before) if before is not None else []
        self.entry = self.prefillers or self.engines
        self.timeline, self.history = Timeline(), History()
        self.links = None
        if before is not None:
            link = fleet.kv_link_bytes_per_s
            self.links = Links(End.of(before.of, link), End.of(main.of, link))
        for engine in self.engines:
            engine.finished = self._answered
        for engine in self.prefillers:
            engine.finished, engine.prefill_only = self._handed_over, True
        self.answered: Callable[[Task, float], None] | None = None
        self.moved: Callable[[Task, float], None] | None = None  # where prefill is apart: the first token can be read
        self._router = router(fleet.router)
        self._up = list(self.entry)
        self._homeless: deque[Task] = deque()
        self._to_decode: deque[tuple[Task, Engine]] = deque()
        self.events: list[tuple[float, int, Engine | Callable[[float], None]]] = []
        self._serial = self._numbers = 0
        self._source: Source = _Never()
        self._most = main.of.spec.max_context or math.inf
        self.fixed_s = main.of.behaviour.fixed_ms * 1e-3
        self.down_s = {engine.name: 0.0 for engine in (*self.engines, *self.prefillers)}
        if fleet.failures is not None:
            for engine in (*self.prefillers, *self.engines):
                self._fails_later(engine, Random(f"{seed} {engine.name}"), 0.0)

    def _built(self, pool: Pool) -> list[Engine]:
        kind = "prefill" if pool is self.before else "main"
        return [Engine(pool.times, pool.settings, f"{kind} {i}") for i in range(pool.replicas)]

    # requests

    def submit(self, request: Request, now: float) -> Task | None:
        """A request arrives; None where it is refused, which the tally counts by the reason."""
        self._numbers += 1
        self.arrived_s = now
        task = Task(self._numbers, request)
        tally = self.tally
        tally.arrived += 1
        tally.input_tokens += request.input_tokens
        why = self.refusal(request)
        if why:
            tally.refused[why] = tally.refused.get(why, 0) + 1
            self._source.finished(now)
            return None
        self._route(task, now)
        if self.timeline.due():
            self.timeline.add(self.sample(now))
        return task

    def refusal(self, request: Request) -> str:
        """Why nobody here can answer the request; empty where somebody can."""
        if request.input_tokens + request.output_tokens > self._most:
            return TOO_LONG
        if not self.main.settings.fits(request.input_tokens, request.output_tokens):
            return TOO_BIG
        if self.before is not None and not self.before.settings.fits(request.input_tokens, 1):
            return TOO_BIG
        return ""

    def _route(self, task: Task, now: float) -> None:
        up = self._up
        if not up:
            self._homeless.append(task)
            return
        self._give(up[0] if len(up) == 1 else self._router(task, up), task, now)

    def _give(self, engine: Engine, task: Task, now: float) -> None:
        if engine.submit(task, now):
            self._serial += 1
            heappush(self.events, (engine.end_s, self._serial, engine))

    def abort(self, task: Task, now: float) -> None:
        """Nobody waits for the rest of the request; it counts as answered with the tokens that it has by the end of its step."""
        for engine in (*self.engines, *self.prefillers):
            if engine.holds(task):
                decoding = task.id in engine.running
                if engine.abort(task, now):
                    self._serial += 1
                    heappush(self.events, (engine.end_s, self._serial, engine))
                if not decoding:
                    self.tally.refused[ABANDONED] = self.tally.refused.get(ABANDONED, 0) + 1
                return
        task.output_tokens = max(task.generated, 1)  # on its way between two pools: it leaves where it arrives

    def _answered(self, engine: Engine, task: Task, at: float) -> None:
        tally = self.tally
        at += self.fixed_s
        ttft = task.first_s + task.late_s + self.fixed_s - task.arrival_s
        more = task.output_tokens - 1
        tpot = (at - task.arrival_s - ttft) / more if more else 0.0
        tally.answered += 1
        tally.output_tokens += task.output_tokens
        tally.ttft.add(ttft)
        if more:
            tally.tpot.add(tpot)
        tally.e2e.add(at - task.arrival_s)
        tally.phases.add(task, at - self.fixed_s, self.fixed_s)
        if at > tally.last_s:
            tally.last_s = at
        ttft_target, tpot_target = tally.ttft_target_s, tally.tpot_target_s
        if (not ttft_target or ttft <= ttft_target) and (not tpot_target or tpot <= tpot_target):
            tally.good += 1
        self._source.finished(at)
        if self.answered is not None:
            self.answered(task, at)

    # prefill and decode apart

    def _handed_over(self, engine: Engine, task: Task, at: float) -> None:
        """A prompt was prefilled: its cache goes to the decoding engine that has the fewest requests when it leaves."""
        if task.generated >= task.output_tokens:
            self._answered(engine, task, at)
            return
        task.handed_s = at
        self._at(at, lambda now: self._send(engine, task, now))

    def _send(self, engine: Engine, task: Task, now: float) -> None:
        up = [e for e in self.engines if e.up]
        if not up:
            self._to_decode.append((task, engine))
            return
        target = least_loaded(task, up)
        target.load += 1  # on its way, where others see it
        target.coming += 1
        assert self.links is not None
        there = self.links.send(task.target, self.prefillers.index(engine), self.engines.index(target), now)
        self._at(there, lambda when: self._arrived(target, task, when))

    def _arrived(self, target: Engine, task: Task, now: float) -> None:
        target.load -= 1
        target.coming -= 1
        if target.up:
            task.first_s, task.late_s = now, 0.0  # the user reads from the decoding engine
            if self.moved is not None:
                self.moved(task, now)
            self._give(target, task, now)
        else:
            self._restart(task, now)

    # failures

    def _fails_later(self, engine: Engine, chance: Random, now: float) -> None:
        failures = self.fleet.failures
        assert failures is not None
        self._at(now + chance.expovariate(1.0 / failures.mtbf_s), lambda at: self._fail(engine, chance, at))

    def _fail(self, engine: Engine, chance: Random, now: float) -> None:
        failures = self.fleet.failures
        assert failures is not None
        lost = engine.fail(now)
        self._up = [e for e in self.entry if e.up]
        self.down_s[engine.name] += failures.repair_s
        for task in lost:
            self._restart(task, now)
        self._at(now + failures.repair_s, lambda at: self._repair(engine, chance, at))

    def _restart(self, task: Task, now: float) -> None:
        self.tally.restarted += 1
        task.again()
        task.begun_s = now
        self._route(task, now)

    def _repair(self, engine: Engine, chance: Random, now: float) -> None:
        engine.up = True
        self._up = [e for e in self.entry if e.up]
        while self._homeless and self._up:
            self._route(self._homeless.popleft(), now)
        while self._to_decode and any(e.up for e in self.engines):
            task, sender = self._to_decode.popleft()
            self._send(sender, task, now)
        self._fails_later(engine, chance, now)

    # time

    def _at(self, when: float, what: Callable[[float], None]) -> None:
        self._serial += 1
        heappush(self.events, (when, self._serial, what))

    def run(self, source: Source, until: float = math.inf, progress: Progress | None = None) -> bool:
        """Moves time on while there are arrivals or requests in flight, up to ``until``; False where ``progress`` stopped it."""
        self._source = source
        events, left = self.events, _PROGRESS
        tally, history = self.tally, self.history
        while True:
            arrival = source.next_s
            event = events[0][0] if events else math.inf
            if arrival <= event:
                if arrival > until or arrival == math.inf:
                    break
                if arrival > history.due_s:
                    history.look(self, arrival)
                self.now = arrival
                self.submit(source.take(), arrival)
            else:
                if event > until or (arrival == math.inf and not tally.in_flight):
                    break
                if event > history.due_s:
                    history.look(self, event)
                self.step(source)
            left -= 1
            if not left:
                left = _PROGRESS
                if progress is not None and not progress(self):
                    return False
        if until < math.inf:
            self.now = max(self.now, until)
        return True

    def step(self, source: Source | None = None) -> None:
        """The next event: an engine's plan is over, or something that was put off is due."""
        source = source or self._source
        now, _, what = heappop(self.events)
        self.now = now
        if not isinstance(what, Engine):
            what(now)
            return
        if what.end_s != now:
            return  # its plan was cut, or it went down
        what.complete()
        while source.next_s <= now:  # whoever comes at this very moment still takes part in the next step
            self.submit(source.take(), now)
        what.plan()
        if what.end_s < math.inf:
            self._serial += 1
            heappush(self.events, (what.end_s, self._serial, what))

    @property
    def homeless(self) -> int:
        """Requests that came while every engine was down."""
        return len(self._homeless)

    @property
    def unsent(self) -> int:
        """Requests whose cache has nowhere to go, since every decoding engine is down."""
        return len(self._to_decode)

    def sample(self, now: float) -> Sample:
        waiting = running = tokens = 0
        for engine in (*self.prefillers, *self.engines):
            waiting += len(engine.waiting)
            running += len(engine.running) + len(engine.partial)
            tokens += engine.context
        tally = self.tally
        return Sample(now, tally.arrived, tally.answered, waiting + len(self._homeless), running, tokens)


def check_request(request: Request) -> None:
    """Raises InvalidInputError for a request that is none."""
    if request.input_tokens < 1 or request.output_tokens < 1:
        raise InvalidInputError("request", f"{request.input_tokens} tokens in, {request.output_tokens} out; at least 1 of each")
