"""Which limits of a fleet conflict: a set that cannot be met, of which none may be left out; and what would do in its place.

By deletion: a limit whose absence leaves the rest impossible is no part of the conflict. Whole groups (all quarters of one limit)
go first, workloads before what limits them, so that few of them are left; then single quarters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from windtunnel.plan.fleets.milp.build import build
from windtunnel.plan.fleets.milp.programme import Programme, Row
from windtunnel.plan.fleets.problem import Limit, LimitKind, Problem

ORDER: tuple[LimitKind, ...] = (
    "demand", "deadline", "space", "power", "opex-quarter", "capex-quarter", "capex", "rules", "supply",
)  # fmt: skip
"""Kinds of limits that can conflict, in the order in which they are tried to be left out."""
ANY = 1e9
"""A gap at which the first solution counts: only whether there is one matters."""
Group = tuple[LimitKind, str]


@dataclass(frozen=True, slots=True)
class Cure:
    """How much more of one limit in every quarter would do alone: chips, W, USD, units of space, or a share of demand or tokens
    less."""

    group: Group
    amount: float


def conflict(problem: Problem) -> tuple[Limit, ...]:
    """Limits that conflict, () where none do. Raises TimeoutError."""
    programme = _without_cost(build(problem).programme)
    groups: dict[Group, set[Limit]] = {}
    for row in programme.rows:
        if row.limit.kind in ORDER:
            groups.setdefault((row.limit.kind, row.limit.of), set()).add(row.limit)
    ordered = sorted(groups, key=lambda group: ORDER.index(group[0]))
    relaxed = not _possible(programme, frozenset(), relaxed=True)
    if not relaxed and _possible(programme, frozenset(), relaxed=False):
        return ()
    left_out: set[Limit] = set()
    kept = [group for group in ordered if not _impossible_without(programme, left_out, groups[group], relaxed)]
    # with parts of lots first, which is quick; what is left then with whole ones, of which fewer limits may be enough
    for parts in (True, False) if relaxed else (False,):
        for limit in [limit for group in kept for limit in sorted(groups[group], reverse=True) if limit not in left_out]:
            _impossible_without(programme, left_out, {limit}, parts)
    return tuple(sorted(limit for group in kept for limit in groups[group] if limit not in left_out))


def _impossible_without(programme: Programme, left_out: set[Limit], tried: set[Limit], relaxed: bool) -> bool:
    """Whether the rest is impossible also without these, which are then left out for good."""
    if _possible(programme, frozenset(left_out | tried), relaxed=relaxed):
        return False
    left_out |= tried
    return True


def cures(problem: Problem, limits: Iterable[Limit]) -> list[Cure]:
    """For each limit of a conflict the least of it that would do, all others as they are; not for those that cannot do alone."""
    found = []
    for group in by_group(limits):
        programme = _without_cost(build(problem).programme)
        spare = programme.variable(1.0)
        programme.rows = [_eased(row, spare) if (row.limit.kind, row.limit.of) == group else row for row in programme.rows]
        try:
            solution = programme.solve()
        except TimeoutError:
            continue
        if solution is not None:
            found.append(Cure(group, solution.values[spare]))
    return found


def _eased(row: Row, spare: int) -> Row:
    """The same with room: of a least amount (what is served) a share of it, of a most as much as is needed."""
    value = row.low if row.limit.kind in ("demand", "deadline") else -1.0
    return replace(row, terms=(*row.terms, (spare, value)))


def _possible(programme: Programme, without: frozenset[Limit], *, relaxed: bool) -> bool:
    return programme.solve(gap=ANY, without=without, relaxed=relaxed) is not None


def _without_cost(programme: Programme) -> Programme:
    programme.cost = [0.0] * len(programme.cost)
    return programme


def by_group(limits: Iterable[Limit]) -> Mapping[Group, tuple[int, ...]]:
    """Group -> the quarters of it, in order."""
    found: dict[Group, list[int]] = {}
    for limit in limits:
        found.setdefault((limit.kind, limit.of), []).append(limit.quarter)
    return {group: tuple(sorted(quarters)) for group, quarters in found.items()}
