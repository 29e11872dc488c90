"""A simulation that keeps up with a clock: requests come when they come, and each token is told when it is there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from heapq import heappop, heappush

from windtunnel.sim.serving.engine import Engine
from windtunnel.sim.serving.request import Request, Task
from windtunnel.sim.serving.simulation import Simulation


@dataclass(frozen=True, slots=True)
class Tokens:
    """New tokens of a request. at_s: when they are there; done: whether they are its last."""

    task: Task
    count: int
    at_s: float
    done: bool


class Live:
    """Moves a simulation on, up to the present at each call; times must not run backwards.

    The simulation counts tokens a run of steps at a time; this follows the steps one by one. A token is there when its
    step has ended, and the request's own lateness (of a pipeline, of the server around the engine) has passed.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self._steps: list[tuple[float, int, Engine, int, int]] = []
        self._due: list[tuple[float, int, Task, int]] = []
        self._told: dict[int, int] = {}
        self._plans = {engine.name: 0 for engine in (*simulation.prefillers, *simulation.engines)}
        self._serial = 0
        simulation.moved = lambda task, at: self._put(task, 1, at)

    @property
    def next_s(self) -> float:
        """When something happens next, if nothing is submitted before; infinite where nothing will."""
        events = self.simulation.events
        return min(
            events[0][0] if events else math.inf,
            self._steps[0][0] if self._steps else math.inf,
            self._due[0][0] if self._due else math.inf,
        )

    @property
    def pending(self) -> int:
        """Requests whose last token has not been told."""
        return len(self._told)

    def submit(self, request: Request) -> Task | str:
        """A request arrives, at its ``arrival_s``; why it is refused, where it is. Call ``advance`` up to then before."""
        why = self.simulation.refusal(request)
        task = self.simulation.submit(request, request.arrival_s)
        if task is None:
            return why
        self._told[task.id] = 0
        return task

    def abort(self, task: Task, now: float) -> None:
        """Nobody waits for the rest of a request: it leaves its engine with the step that is under way."""
        if self._told.pop(task.id, None) is not None:
            self.simulation.abort(task, now)

    def advance(self, now: float) -> list[Tokens]:
        """Everything up to ``now``, in order of time."""
        simulation, steps, events = self.simulation, self._steps, self.simulation.events
        while True:
            step, event = steps[0][0] if steps else math.inf, events[0][0] if events else math.inf
            if min(step, event) > now:
                break
            if step <= event:
                self._stepped(*heappop(steps))
                continue
            what = events[0][2]
            simulation.step()
            if isinstance(what, Engine) and what.end_s < math.inf:
                self._planned(what)
        simulation.now = max(simulation.now, now)
        return self._delivered(now)

    def _planned(self, engine: Engine) -> None:
        """An engine has begun a run of steps."""
        self._plans[engine.name] += 1
        for task, new in engine.parts:
            elsewhere = engine.prefill_only and task.output_tokens > 1  # its first token is read where it decodes
            if task.done + new == task.target and task.first_s < 0.0 and not elsewhere:
                self._put(task, 1, engine.first_at_s + engine.late_s)
        if engine.steps:
            self._step_later(engine, 1)

    def _step_later(self, engine: Engine, step: int) -> None:
        self._serial += 1
        at = engine.end_s if engine.parts or step == engine.steps else engine.step_end_s(step)
        heappush(self._steps, (at, self._serial, engine, self._plans[engine.name], step))

    def _stepped(self, at: float, _: int, engine: Engine, plan: int, step: int) -> None:
        """A step has ended: everybody who decodes has one more token."""
        if plan != self._plans[engine.name] or step > engine.steps:
            return  # the run was cut short, or the engine went down
        clock = engine.clock + step
        for task in engine.running.values():
            self._put(task, task.output_tokens - (task.end - clock), at + task.late_s)
        if step < engine.steps:
            self._step_later(engine, step + 1)

    def _put(self, task: Task, number: int, at: float) -> None:
        if task.id in self._told:
            self._serial += 1
            heappush(self._due, (at + self.simulation.fixed_s, self._serial, task, number))

    def _delivered(self, now: float) -> list[Tokens]:
        found = []
        due, told = self._due, self._told
        while due and due[0][0] <= now:
            at, _, task, number = heappop(due)
            before = told.get(task.id)
            if before is None or number <= before:
                continue  # nobody waits for it any more, or it was told before the engine lost it
            done = number >= task.output_tokens
            if done:
                del told[task.id]
            else:
                told[task.id] = number
            found.append(Tokens(task, number - before, at, done))
        return found
