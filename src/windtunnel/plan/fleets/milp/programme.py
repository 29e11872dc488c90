"""A mixed-integer linear programme under construction: variables and named rows; and HiGHS, which solves it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array

from windtunnel.plan.fleets.problem import Limit

GAP = 1e-4
"""Relative distance of the solution from the bound at which it counts as proven."""
TIME_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Row:
    """low <= sum of coefficient x variable <= high."""

    limit: Limit
    terms: tuple[tuple[int, float], ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Solution:
    """values: of the variables, in their order. bound: no solution is better. seconds: of CPU that it took."""

    values: tuple[float, ...]
    objective: float
    bound: float
    seconds: float
    proven: bool
    nodes: int = 0

    @property
    def gap(self) -> float:
        """Relative distance between objective and bound."""
        return abs(self.objective - self.bound) / max(abs(self.objective), 1e-9)


@dataclass
class Programme:
    """Variables with bounds, cost and integrality; rows with names. Least cost is sought."""

    cost: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def variable(self, cost: float = 0.0, low: float = 0.0, high: float = math.inf, *, whole: bool = False) -> int:
        """Adds one, and gives its place."""
        self.cost.append(cost)
        self.low.append(low)
        self.high.append(high)
        self.whole.append(whole)
        return len(self.cost) - 1

    def row(self, limit: Limit, terms: Iterable[tuple[int, float]], low: float = -math.inf, high: float = math.inf) -> None:
        merged: dict[int, float] = {}
        for place, value in terms:
            merged[place] = merged.get(place, 0.0) + value
        self.rows.append(Row(limit, tuple(merged.items()), low, high))

    def solve(
        self,
        *,
        gap: float = GAP,
        time_limit_s: float = TIME_LIMIT_S,
        without: frozenset[Limit] = frozenset(),
        relaxed: bool = False,
    ) -> Solution | None:
        """The best solution; None where there is none. without: rows that are left out. relaxed: parts of units are allowed.

        Raises TimeoutError where time ran out before any solution was found.
        """
        rows = [row for row in self.rows if row.limit not in without]
        begun = time.process_time()
        found = milp(
            np.array(self.cost),
            integrality=None if relaxed else np.array(self.whole, dtype=np.uint8),
            bounds=Bounds(np.array(self.low), np.array(self.high)),
            constraints=_constraint(rows, len(self.cost)),
            options={"mip_rel_gap": gap, "time_limit": time_limit_s},
        )
        spent = time.process_time() - begun
        if found.x is None:
            if found.status == 1:
                raise TimeoutError
            if "infeasible" not in found.message.lower():
                raise RuntimeError(f"HiGHS: {found.message}")
            return None
        bound = found.fun if relaxed or found.mip_dual_bound is None else found.mip_dual_bound
        return Solution(
            tuple(found.x.tolist()), float(found.fun), float(bound), spent, found.status == 0, int(found.mip_node_count or 0)
        )

    def prices(self, fixed: Mapping[int, float]) -> dict[Limit, float] | None:
        """What one unit more of each row's limit changes the least cost by, with parts of units allowed and ``fixed`` variables
        as they are: the duals, negative where more room saves. None where nothing solves it."""
        low, high = np.array(self.low), np.array(self.high)
        for place, value in fixed.items():
            low[place] = high[place] = value
        size = len(self.cost)
        above = [row for row in self.rows if math.isfinite(row.high)]
        below = [row for row in self.rows if math.isfinite(row.low)]
        matrix = [*above, *below]
        signs = np.array([1.0] * len(above) + [-1.0] * len(below))
        sides = np.array([row.high for row in above] + [-row.low for row in below])
        found = linprog(
            np.array(self.cost),
            A_ub=_matrix(matrix, size).multiply(signs[:, None]).tocsr() if matrix else None,
            b_ub=sides if matrix else None,
            bounds=np.stack([low, high], axis=1),
            method="highs",
        )
        if found.status != 0:
            return None
        told: dict[Limit, float] = {}
        for row, sign, dual in zip(matrix, signs.tolist(), found.ineqlin.marginals.tolist() if matrix else [], strict=True):
            told[row.limit] = told.get(row.limit, 0.0) + sign * dual
        return told


def _matrix(rows: list[Row], size: int) -> csr_array:
    data = [value for row in rows for _, value in row.terms]
    columns = [place for row in rows for place, _ in row.terms]
    starts = np.cumsum([0, *(len(row.terms) for row in rows)])
    return csr_array((data, columns, starts), shape=(len(rows), size))


def _constraint(rows: list[Row], size: int) -> LinearConstraint | tuple[()]:
    if not rows:
        return ()
    return LinearConstraint(_matrix(rows, size), np.array([row.low for row in rows]), np.array([row.high for row in rows]))
