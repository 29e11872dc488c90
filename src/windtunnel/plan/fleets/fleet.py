"""The question as a user asks it: a purchase in, a plan out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from windtunnel.errors import UnsupportedError
from windtunnel.plan.fleets.assemble import Assembly, assemble
from windtunnel.plan.fleets.coefficients import Progress, coefficients
from windtunnel.plan.fleets.file import read_fleet
from windtunnel.plan.fleets.limits import said_cure, said_limits, shadow_units, shadow_words
from windtunnel.plan.fleets.result import Conflict, FleetPlan
from windtunnel.plan.fleets.spec import FleetSpec, Scenario

SCENARIOS: tuple[Scenario, ...] = ("low", "mid", "high")


def fleet(
    purchase: str | Path | Mapping[str, object], *, jobs: int = 1, fresh: bool = False, progress: Progress | None = None
) -> FleetPlan:
    """The cheapest fleet (or the one that serves most) that ``purchase`` allows; or which of its limits conflict.

    purchase: a TOML file's path, or its tables as ``tomllib`` reads them, ``{"fleet": {...}, "chip": [...], "workload": [...]}``.
    jobs: processes at once while chips are searched, which begin anew, so that a script that asks for more than one does so under
    ``if __name__ == "__main__"``; fresh: search again what is kept from before; progress: called with the workloads that are
    done, and all of them. Raises InvalidInputError and UnknownNameError for a request that is malformed, and UnsupportedError
    where SciPy is not installed; limits that conflict are no error, but the answer's ``conflict``.
    """
    check_solver()
    spec = read_fleet(purchase)
    return plan(spec, assemble(spec, coefficients(spec, jobs=jobs, fresh=fresh, progress=progress)))


def check_solver() -> None:
    """Raises UnsupportedError where what solves a fleet is not installed."""
    try:
        import windtunnel.plan.fleets.milp.programme  # noqa: F401
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in ("scipy", "numpy"):
            raise
        raise UnsupportedError("a fleet is solved by SciPy's HiGHS; install it with: pip install 'windtunnel[fleet]'") from None


def plan(spec: FleetSpec, assembly: Assembly, *, others: bool = True, priced: bool = True) -> FleetPlan:
    """The plan of an assembled fleet. others: solve it under the other readings of the sources on supply too; priced: with what a
    little more of each limit is worth."""
    from windtunnel.plan.fleets.milp.conflict import by_group, conflict, cures
    from windtunnel.plan.fleets.milp.shadow import shadows
    from windtunnel.plan.fleets.milp.solve import best, solved

    problem = assembly.problem()
    costs: dict[Scenario, float | None] = {}
    if others and assembly.uncertain:
        for scenario in SCENARIOS:
            if scenario != spec.scenario:
                other = best(assembly.problem(scenario), whole=False)
                costs[scenario] = other.solution.objective if other is not None else None
    answer = best(problem)
    if answer is None:
        limits = conflict(problem)
        told = Conflict(limits, tuple(said_limits(assembly, problem, by_group(limits))),
                        tuple(said_cure(assembly, cure.group, cure.amount) for cure in cures(problem, limits)))  # fmt: skip
        return FleetPlan(assembly, problem, None, told, others=costs)
    found = shadows(problem, answer, shadow_words(assembly, problem), shadow_units(spec)) if priced else ()
    if costs:
        costs = {name: answer.proof.objective if name == spec.scenario else costs[name] for name in SCENARIOS}
    return FleetPlan(assembly, problem, solved(problem, answer, spec.scenario), None, found, costs)
