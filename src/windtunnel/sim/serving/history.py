"""A simulation over time: where its requests were at evenly spaced moments, in memory that does not grow with the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel.sim.serving.settings import NO_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel.sim.serving.engine import Engine
    from windtunnel.sim.serving.simulation import Simulation

FIRST_EVERY_S = 1.0 / 64.0
MOST = 512


@dataclass(frozen=True, slots=True)
class Moment:
    """A fleet at ``at_s``: requests that had arrived, been answered and been refused; those in flight by where they are; the
    share of cache blocks that are held (prompts under way and shared beginnings included), of the pool that prefills
    and of the one that decodes, None where a pool is not there or has no limit; and how many engines were down."""

    at_s: float
    arrived: int
    answered: int
    refused: int
    waiting: int
    prefill: int
    transfer: int
    to_decode: int
    decode: int
    kv_prefill: float | None
    kv: float | None
    down: int


class History:
    """Moments of a run, ``every_s`` apart: as a run goes on every second one is dropped, so that there are never more than
    ``MOST``, and after the first few seconds at least half as many."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self.every_s = FIRST_EVERY_S
        self.due_s = 0.0

    def look(self, run: Simulation, until_s: float) -> None:
        """The next event is at ``until_s``: until then everything stays as it is, so every moment due by then is kept."""
        while self.due_s <= until_s:
            self.moments.append(moment(run, self.due_s))
            if len(self.moments) >= MOST:
                self.moments = self.moments[::2]
                self.every_s *= 2.0
            self.due_s = self.moments[-1].at_s + self.every_s


def moment(run: Simulation, at_s: float) -> Moment:
    """The fleet at ``at_s``, between two events."""
    tally = run.tally
    apart = bool(run.prefillers)
    waiting = run.homeless + sum(len(engine.waiting) for engine in run.entry)
    prefill = sum(len(engine.partial) for engine in run.entry)
    to_decode = sum(len(engine.waiting) for engine in run.engines) + run.unsent if apart else 0
    decode = sum(len(engine.running) for engine in run.engines)
    recomputed = sum(len(engine.partial) for engine in run.engines) if apart else 0  # after a preemption
    refused = sum(tally.refused.values())
    known = waiting + prefill + to_decode + decode + recomputed
    return Moment(
        at_s,
        tally.arrived,
        tally.answered,
        refused,
        waiting,
        prefill,
        max(tally.arrived - tally.answered - refused - known, 0) if apart else 0,
        to_decode,
        decode + recomputed,
        _held(run.prefillers, at_s),
        _held(run.engines, at_s),
        sum(not engine.up for engine in (*run.prefillers, *run.engines)),
    )


def _held(engines: Sequence[Engine], at_s: float) -> float | None:
    """Share of all their blocks that are held."""
    if not engines or engines[0].settings.blocks >= NO_LIMIT:
        return None
    blocks = engines[0].settings.blocks
    free = sum(min(max(engine.free_blocks(_steps_done(engine, at_s)), 0), blocks) for engine in engines)
    return 1.0 - free / (blocks * len(engines))


def _steps_done(engine: Engine, at_s: float) -> int:
    """Decode steps of the plan under way that are over at ``at_s``; an engine counts them when the plan ends."""
    length = engine.end_s - engine.start_s
    return int(engine.steps * min(max((at_s - engine.start_s) / length, 0.0), 1.0)) if engine.steps and length > 0.0 else 0
