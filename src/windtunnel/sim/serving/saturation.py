"""Whether requests come faster than they can be answered, and how many a second could be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from windtunnel.sim.serving.arrivals import Arrivals, OpenSource, Source
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.request import Request, Task
from windtunnel.sim.serving.result import Sample
from windtunnel.sim.serving.simulation import Progress, Simulation

CLOSE = 0.97
"""Share of what can be carried from which on growing queues are called saturation; beneath it they are a burst."""
_FEWEST, _MOST, _WAVES = 1_000, 30_000, 4
_FROM, _TO = 0.3, 0.8


def growing(timeline: Sequence[Sample]) -> bool:
    """Whether more and more requests are in flight while they arrive: from the middle of the run to its end."""
    if len(timeline) < 10:
        return False
    last = timeline[-1].at_s
    middle = [s.arrived - s.answered for s in timeline if 0.4 * last <= s.at_s <= 0.6 * last]
    end = [s.arrived - s.answered for s in timeline if s.at_s >= 0.85 * last]
    if not middle or not end:
        return True  # so uneven that the probe must tell
    before, after = sum(middle) / len(middle), sum(end) / len(end)
    return after - before > 2.0 * math.sqrt(before) + 4.0


def carried_per_s(fleet: Fleet, arrivals: Arrivals, seed: int, progress: Progress | None = None) -> float | None:
    """Requests a second that ``fleet`` answers when more always wait: the same requests, all there from the start.

    Measured between the answers to three and to eight in ten of them, so that neither filling nor draining counts.
    None where ``progress`` stopped it.
    """
    run = Simulation(replace(fleet, failures=None), arrivals.isl, arrivals.osl, seed=seed)
    most = min(max(_WAVES * _places(run, arrivals), _FEWEST), _MOST)
    requests = list(_at_once(arrivals.source(seed), most))
    answers: list[float] = []

    def answered(task: Task, at: float) -> None:
        answers.append(at)

    run.answered = answered
    if not run.run(OpenSource(requests), progress=progress):
        return None
    if len(answers) < 2:
        return None
    answers.sort()
    first, last = int(_FROM * len(answers)), min(int(_TO * len(answers)), len(answers) - 1)
    seconds = answers[last] - answers[first]
    rate = (last - first) / seconds if seconds > 0.0 else len(answers) / answers[-1]
    if fleet.failures is not None:
        f = fleet.failures
        rate *= f.mtbf_s / (f.mtbf_s + f.repair_s)
    return rate


def _places(run: Simulation, arrivals: Arrivals) -> int:
    """Requests that decode at once, at most."""
    s = run.main.settings
    return min(s.max_running, s.blocks // s.blocks_of(int(arrivals.isl + arrivals.osl / 2.0))) * run.main.replicas


def _at_once(source: Source, most: int) -> Iterator[Request]:
    for _ in range(most):
        if source.next_s == math.inf:
            return
        yield replace(source.take(), arrival_s=0.0)
