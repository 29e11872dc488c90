"""What must hold of every fleet: more room never costs more, duals are what a little more saves, limits hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plan.fleets.small import problem, stock
from windtunnel.plan.fleets.milp.build import build
from windtunnel.plan.fleets.milp.solve import best, solved
from windtunnel.plan.fleets.problem import Inference, Limit, Part, Problem, Site, Way

QUARTERS = 3
amounts = st.integers(1, 40).map(float)
prices = st.integers(5, 60).map(lambda x: x * 1000.0)


@st.composite
def fleets(draw: st.DrawFn) -> Problem:
    """Two or three chips and workloads over three quarters, often with too little of something."""
    stocks = tuple(
        stock(
            f"c{i}",
            lot=draw(st.sampled_from([1, 4, 8])),
            supply=tuple(draw(amounts) for _ in range(QUARTERS)),
            allowed=tuple(draw(st.sampled_from([0.0, 0.5, 1.0])) for _ in range(QUARTERS)),
            price_usd=(draw(prices),) * QUARTERS,
            energy_usd=(draw(st.integers(0, 500)) * 1.0,) * QUARTERS,
            power_w=draw(st.integers(2, 12)) * 100.0,
        )
        for i in range(draw(st.integers(2, 3)))
    )
    inference = tuple(
        Inference(
            f"w{j}",
            tuple(draw(st.integers(0, 30)) * 1.0 for _ in range(QUARTERS)),
            tuple(Way(s.name, (Part(i, draw(st.sampled_from([1, 2, 4])), draw(amounts) / 4.0),)) for i, s in enumerate(stocks)),
        )
        for j in range(draw(st.integers(1, 3)))
    )
    site = Site("here", power_w=(draw(st.integers(5, 60)) * 1000.0,) * QUARTERS)
    return problem(*stocks, inference=inference, sites=(site,), capex=draw(st.integers(1, 40)) * 1e5)


def least(asked: Problem) -> float | None:
    answer = best(asked, gap=1e-9, whole=False)
    return None if answer is None else answer.solution.objective


def no_dearer(after: float | None, before: float | None) -> bool:
    return before is None or (after is not None and after <= before * (1 + 1e-6) + 1e-3)


@settings(max_examples=30)
@given(fleets(), st.integers(0, 2))
def test_more_of_anything_never_costs_more(asked: Problem, quarter: int) -> None:
    before = least(asked)
    more = tuple(x + 16.0 * (t == quarter) for t, x in enumerate(asked.stocks[0].supply))
    assert no_dearer(least(replace(asked, stocks=(replace(asked.stocks[0], supply=more), *asked.stocks[1:]))), before)
    assert no_dearer(least(replace(asked, capex=(asked.capex or 0.0) + 1e5)), before)
    site = replace(asked.sites[0], power_w=tuple(x + 3000.0 for x in asked.sites[0].power_w or ()))
    assert no_dearer(least(replace(asked, sites=(site,))), before)
    free = replace(asked.stocks[0], allowed=(1.0,) * QUARTERS)
    assert no_dearer(least(replace(asked, stocks=(free, *asked.stocks[1:]))), before)


@settings(max_examples=30)
@given(fleets())
def test_every_limit_holds_in_the_plan_that_is_printed(asked: Problem) -> None:
    answer = best(asked)
    if answer is None:
        return
    found = solved(asked, answer, "mid")
    stocks = {each.name: each for each in asked.stocks}
    for each in found.bought:
        assert each.chips <= stocks[each.chip].can_be_had(each.quarter) + 1e-6
        assert each.chips % stocks[each.chip].lot == 0
    for used in found.used:
        assert used.in_use <= used.there + 1e-5
    assert sum(costs.purchases for costs in found.costs) <= (asked.capex or 0.0) * (1 + 1e-6)
    for t in range(QUARTERS):
        drawn = sum(stocks[used.chip].power_w * used.in_use for used in found.used if used.quarter == t)
        assert drawn <= (asked.sites[0].power_w or (0.0,))[0] * (1 + 1e-6)
        for workload in asked.inference:
            served = sum(s.requests_per_s for s in found.serving if (s.workload, s.quarter) == (workload.name, t))
            assert served >= workload.demand[t] * (1 - 1e-6)
    assert found.paid == pytest.approx(found.objective, rel=1e-6, abs=1e-3)
    if found.whole:
        assert all(abs(n - round(n)) < 1e-5 for each in found.serving for n in each.instances)


@settings(max_examples=30)
@given(fleets())
def test_duals_have_the_right_sign_and_are_what_a_little_more_saves(asked: Problem) -> None:
    """With parts of lots the programme is linear: the least cost is convex in each limit, and the dual its slope."""
    programme = build(asked).programme
    base = programme.solve(relaxed=True)
    duals = programme.prices({})
    if base is None or duals is None:
        assert base is None
        assert duals is None
        return
    for limit, dual in duals.items():
        if limit.kind in ("supply", "capex", "power", "rules"):
            assert dual <= 1e-6
        if limit.kind == "demand":
            assert dual >= -1e-6
    for limit in (Limit("capex", "budget"), Limit("power", "here", 1), Limit("supply", "c0", 0)):
        if limit not in duals:
            continue
        costs = []
        for step in (-0.5, 0.5):
            eased = build(asked).programme
            eased.rows = [replace(row, high=row.high + step) if row.limit == limit else row for row in eased.rows]
            found = eased.solve(relaxed=True)
            costs.append(None if found is None else found.objective)
        slack = 1e-6 * max(abs(base.objective), 1.0)
        after = costs[1]
        assert after is not None
        # convex: half a unit more saves at most half the dual, half a unit less costs at least half of it
        assert base.objective - after <= -0.5 * duals[limit] + slack
        if costs[0] is not None:
            assert costs[0] - base.objective >= -0.5 * duals[limit] - slack
