"""A fleet of backends, simulated, that tells what a router would hear: first tokens, tokens and ends as they come."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

from bench.steering_loads import Place
from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving.engine import Engine
from windtunnel.sim.serving.fleet import Fleet, Pool, pools
from windtunnel.sim.serving.request import Task
from windtunnel.sim.serving.simulation import Simulation
from windtunnel.sim.serving.step_times import StepTimes

MODEL = "Qwen/Qwen3-8B"
ISL, OSL = 1500.0, 300.0
"""Lengths for which the caches are laid out."""


class _Off(StepTimes):
    """Step times that are not what the cost model says."""

    def __init__(self, of: StepTimes, prefill: float, decode: float) -> None:
        super().__init__(of.of, of.mtp_accept, of.role, of.chunk_tokens)
        self._slow = prefill, decode

    def decode_s(self, running: int, context: float) -> float:
        return self._slow[1] * super().decode_s(running, context)

    def prompts_s(self, tokens: int, work: float, sequences: int, decoding: bool) -> tuple[float, float]:
        busy, late = super().prompts_s(tokens, work, sequences, decoding)
        return self._slow[0] * busy, self._slow[0] * late


@cache
def _pool(place: Place) -> Pool:
    main, _ = pools(Fleet(Deployment(MODEL, place.chip)), ISL, OSL)
    return replace(main, times=_Off(main.times, place.prefill, place.decode))


class Backend:
    """One simulated backend, which tells first tokens, tokens and ends as they come."""

    def __init__(self, place: Place) -> None:
        self.simulation = Simulation(Fleet(Deployment(MODEL, place.chip)), ISL, OSL, built=(_pool(place), None))
        self.simulation.answered = lambda task, at: self.ends.append((task, at))
        self.ends: list[tuple[Task, float]] = []
        self.firsts: list[tuple[Task, float]] = []

    @property
    def engine(self) -> Engine:
        return self.simulation.engines[0]

    @property
    def next_s(self) -> float:
        events = self.simulation.events
        return events[0][0] if events else math.inf

    def step(self) -> None:
        self.simulation.step()
        engine = self.engine
        if engine.start_s == self.simulation.now:
            for task, new in engine.parts:
                if task.done + new == task.target and task.first_s < 0.0:
                    self.firsts.append((task, engine.first_at_s + engine.late_s + self.simulation.fixed_s))

    def tokens(self) -> list[tuple[Task, int]]:
        """What each running request has by now."""
        clock = self.engine.clock
        return [(task, task.output_tokens - (task.end - clock)) for task in self.engine.running.values()]
