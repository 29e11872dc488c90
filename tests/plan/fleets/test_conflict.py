"""Which limits conflict: none too many, none too few, and what would do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.plan.fleets.small import problem, run, stock, workload
from tests.plan.fleets.test_properties import fleets
from windtunnel.plan.fleets.milp.build import build
from windtunnel.plan.fleets.milp.conflict import conflict, cures
from windtunnel.plan.fleets.problem import Inference, Limit, Problem, Site, Stock


def two_quarters() -> Stock:
    return stock(supply=(20.0, 20.0), allowed=(1.0, 1.0), price_usd=(10_000.0,) * 2, energy_usd=(0.0, 0.0))


def test_nothing_conflicts_where_there_is_a_plan() -> None:
    assert conflict(problem(stock(), inference=(workload(a=1.0),))) == ()


def test_too_little_supply_for_a_demand() -> None:
    asked = problem(two_quarters(), inference=(workload(demand=(10.0, 50.0), a=1.0), workload("other", demand=(1.0, 1.0), a=1.0)))
    assert set(conflict(asked)) == {Limit("demand", "w", 1), Limit("supply", "a", 0), Limit("supply", "a", 1)}


def test_a_budget_that_no_supply_can_help() -> None:
    asked = problem(stock(), inference=(workload(a=1.0),), capex=90_000.0, sites=(Site("here", power_w=(1e9,)),))
    assert set(conflict(asked)) == {Limit("demand", "w", 0), Limit("capex", "budget")}
    assert [(cure.group, round(cure.amount, 3)) for cure in cures(asked, conflict(asked))] == [
        (("capex", "budget"), 10_000.0), (("demand", "w"), 0.1),
    ]  # fmt: skip


def test_lots_alone_can_make_it_impossible() -> None:
    # 9 chips are needed, lots of 8: 16 cost 160,000; in parts of lots 90,000 would do
    asked = problem(stock(lot=8), inference=(workload(demand=(9.0,), a=1.0),), capex=100_000.0)
    assert build(asked).programme.solve(relaxed=True) is not None
    assert set(conflict(asked)) == {Limit("demand", "w", 0), Limit("capex", "budget")}


def test_a_rule_is_named_where_it_is_in_the_way() -> None:
    asked = problem(stock(allowed=(0.0,)), inference=(workload(a=1.0),))
    assert set(conflict(asked)) == {Limit("demand", "w", 0), Limit("rules", "a", 0)}


def test_a_run_that_is_not_done_in_time() -> None:
    asked = problem(stock(supply=(99.0,)), training=(run(),))
    found = conflict(asked)
    assert set(found) == {Limit("deadline", "run"), Limit("supply", "a", 0)}
    amounts = {cure.group: cure.amount for cure in cures(asked, found)}
    assert amounts == {("supply", "a"): pytest.approx(1.0), ("deadline", "run"): pytest.approx(0.01)}


def test_a_workload_that_nothing_serves_conflicts_with_nothing_else() -> None:
    asked = problem(stock(), inference=(Inference("w", (1.0,), ()),))
    assert conflict(asked) == (Limit("demand", "w", 0),)


@settings(max_examples=30)
@given(fleets())
def test_without_any_one_of_them_the_rest_can_be_met(asked: Problem) -> None:
    found = conflict(asked)
    programme = build(asked).programme
    named = {row.limit for row in programme.rows if row.limit.kind not in ("link", "capacity", "one-chip")}
    if not found:
        assert programme.solve(gap=1e9) is not None
        return
    others = frozenset(named - set(found))
    assert programme.solve(gap=1e9, without=others) is None
    for limit in found:
        assert programme.solve(gap=1e9, without=others | {limit}) is not None, limit
