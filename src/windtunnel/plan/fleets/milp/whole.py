"""Whole instances everywhere: quarter by quarter, what was made whole before it fixed and what comes after it in shares.

A plan in shares knows whole instances of a workload on one kind of chip alone. Where limits make it stand on several, the shares
of its instances are made whole here: "relax and fix". The plan that comes out is one that can be carried out; how far it is
above the least cost in shares is told with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from windtunnel.plan.fleets.milp.build import Built, build
from windtunnel.plan.fleets.milp.programme import Solution
from windtunnel.plan.fleets.problem import Problem

TIME_LIMIT_S = 4.0
"""Of one quarter."""
GAP = 2e-3
TINY = 1e-6


def parted(found: Solution, place: int) -> bool:
    """Whether a variable has a part of a whole."""
    return abs(found.values[place] - round(found.values[place])) > TINY


def is_whole(built: Built, found: Solution) -> bool:
    """Whether every workload is on one way in each quarter, and every run in whole replicas."""
    return not any(parted(found, place) for place in (*built.share.values(), *built.units.values()))


@dataclass
class _Done:
    """What is whole already: by the indices of ``Built``."""

    instances: dict[tuple[int, int, int, int], float] = field(default_factory=dict)
    units: dict[tuple[int, int, int], float] = field(default_factory=dict)
    total: dict[tuple[int, int], float] = field(default_factory=dict)


def made_whole(
    problem: Problem, built: Built, found: Solution, most: float | None, *, any_way: bool, as_bought: bool
) -> tuple[Built, Solution, float] | None:
    """The plan in whole instances, and the CPU seconds it took; None where none was found.

    most: what may be left unserved, where that is the goal. any_way: also on ways that the plan in shares does not use;
    as_bought: purchases are settled with their quarter, which is quicker, but leaves too little where something is scarce later.
    """
    done, seconds, last = _Done(), 0.0, found
    used = {(w, k) for (w, k, _), place in built.share.items() if found.values[place] > TINY}
    for quarter in range(problem.quarters):
        anew = build(problem, unserved_at_most=most, whole=frozenset((w, t) for w, _, t in built.share if t <= quarter))
        _fix(anew, built, found, done, quarter)
        if not any_way:
            for (w, k, _), place in anew.share.items():
                anew.programme.high[place] = 1.0 if (w, k) in used else 0.0
        try:
            step = anew.programme.solve(gap=GAP, time_limit_s=TIME_LIMIT_S)
        except TimeoutError:
            return None
        if step is None:
            return None
        last = step
        seconds += step.seconds
        done.instances |= {key: _whole(step, place) for key, place in anew.instances.items()}
        if as_bought:
            done.total |= {key: _whole(step, place) for key, place in anew.total.items() if key[1] <= quarter}
        done.units |= {key: _whole(step, place) for key, place in anew.units.items() if key[2] <= quarter}
    return anew, _without_idle(anew, last), seconds


def _without_idle(built: Built, found: Solution) -> Solution:
    """The solution without instances that serve nothing, which the solver leaves where they cost less than its gap."""
    values, objective = list(found.values), found.objective
    for (w, k, _, t), place in built.instances.items():
        if values[place] and values[built.share[w, k, t]] <= TINY:
            objective -= built.programme.cost[place] * values[place]
            values[place] = 0.0
    return replace(found, values=tuple(values), objective=objective)


def _fix(anew: Built, built: Built, found: Solution, done: _Done, quarter: int) -> None:
    """The chips of runs as in the plan in shares; what is done as it is; the replicas of later quarters in parts."""
    add = anew.programme
    fixed = {anew.chosen[key]: _whole(found, place) for key, place in built.chosen.items()}
    fixed |= {anew.instances[key]: value for key, value in done.instances.items()}
    fixed |= {anew.units[key]: value for key, value in done.units.items()}
    fixed |= {anew.total[key]: value for key, value in done.total.items()}
    for place, value in fixed.items():
        add.low[place] = add.high[place] = value
    for key, place in anew.units.items():
        add.whole[place] = key[2] <= quarter


def _whole(found: Solution, place: int) -> float:
    return float(round(found.values[place]))
