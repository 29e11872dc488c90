"""Small fleets against what a hand finds."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.plan.fleets.small import HOURS, problem, run, stock, workload
from windtunnel.plan.fleets.milp.shadow import shadows
from windtunnel.plan.fleets.milp.solve import best, solved
from windtunnel.plan.fleets.problem import Inference, Limit, Part, Problem, Site, TrainingWay, Way
from windtunnel.plan.fleets.result import Solved


def plan(asked: Problem) -> Solved:
    answer = best(asked)
    assert answer is not None
    return solved(asked, answer, "mid")


def bought(found: Solved) -> dict[tuple[str, int], int]:
    return {(each.chip, each.quarter): each.chips for each in found.bought}


def test_the_cheaper_chip_is_bought_as_far_as_it_goes() -> None:
    # b serves a request at 6,000 USD, a at 10,000; 4 of b serve 8 of the 10, two of a the rest
    b = stock("b", supply=(4.0,), price_usd=(12_000.0,))
    found = plan(problem(stock(), b, inference=(workload(a=1.0, b=2.0),)))
    assert bought(found) == {("a", 0): 2, ("b", 0): 4}
    assert found.objective == pytest.approx(2 * 10_000 + 4 * 12_000)
    assert found.gap <= 1e-4
    assert found.proven


def test_lots_are_whole_and_so_are_instances() -> None:
    # 10 requests/s at 3 an instance of 2 chips: four instances, 8 chips, one lot of 8 (12 with lots of 12)
    ways = (Way("a", (Part(0, 2, 3.0),)),)
    for lot, chips in ((8, 8), (12, 12), (5, 10)):
        found = plan(problem(stock(lot=lot), inference=(Inference("w", (10.0,), ways),)))
        assert bought(found) == {("a", 0): chips}
        assert found.serving[0].instances == (4.0,)


def test_supply_comes_in_lots() -> None:
    assert best(problem(stock(lot=8, supply=(15.0,)), inference=(workload(demand=(9.0,), a=1.0),))) is None
    assert best(problem(stock(lot=8, supply=(16.0,)), inference=(workload(demand=(9.0,), a=1.0),))) is not None


def test_what_is_scarce_later_is_bought_before() -> None:
    # 10 then 20 requests/s, and only 15 chips a quarter: five are bought a quarter early
    a = stock(supply=(15.0, 5.0), allowed=(1.0, 1.0), price_usd=(10_000.0, 10_000.0), energy_usd=(0.0, 0.0))
    found = plan(problem(a, inference=(workload(demand=(10.0, 20.0), a=1.0),)))
    assert bought(found) == {("a", 0): 15, ("a", 1): 5}


def test_a_rule_of_a_quarter_moves_the_purchase_before_it() -> None:
    a = stock(supply=(50.0, 50.0), allowed=(1.0, 0.0), price_usd=(10_000.0, 10_000.0), energy_usd=(0.0, 0.0))
    found = plan(problem(a, inference=(workload(demand=(10.0, 20.0), a=1.0),)))
    assert bought(found) == {("a", 0): 20}


def test_days_of_a_quarter_on_which_it_is_allowed_scale_its_supply() -> None:
    asked = (workload(demand=(10.0,), a=1.0),)
    assert best(problem(stock(supply=(20.0,), allowed=(0.5,)), inference=asked)) is not None
    assert best(problem(stock(supply=(20.0,), allowed=(0.45,)), inference=asked)) is None


def test_later_money_counts_less() -> None:
    # nothing is needed before the second quarter, where a dollar counts half
    a = stock(supply=(50.0, 50.0), allowed=(1.0, 1.0), price_usd=(10_000.0, 10_000.0), energy_usd=(0.0, 0.0))
    found = plan(problem(a, inference=(workload(demand=(0.0, 10.0), a=1.0),), discount=(1.0, 0.5)))
    assert bought(found) == {("a", 1): 10}
    assert found.objective == pytest.approx(50_000)
    assert found.paid == pytest.approx(100_000)


def test_owned_chips_are_used_before_any_is_bought() -> None:
    found = plan(problem(stock(owned=7), inference=(workload(a=1.0),)))
    assert bought(found) == {("a", 0): 3}
    assert found.used[0].there == 10


def test_what_is_worth_something_at_the_end_is_credited() -> None:
    found = plan(problem(stock(), inference=(workload(a=1.0),), credit=(0.25,)))
    assert found.objective == pytest.approx(75_000)
    assert found.credit == pytest.approx(25_000)


def test_rent_is_paid_for_the_quarter_alone() -> None:
    # two quarters: rent of 4,000 twice is less than a purchase of 10,000; in three it is not
    def costs(quarters: int) -> float:
        bought = stock(supply=(100.0,) * quarters, allowed=(1.0,) * quarters, price_usd=(10_000.0,) * quarters,
                       energy_usd=(0.0,) * quarters)  # fmt: skip
        rented = stock("b", supply=(100.0,) * quarters, allowed=(1.0,) * quarters, price_usd=(4_000.0,) * quarters,
                       energy_usd=(0.0,) * quarters, rented=True)  # fmt: skip
        return plan(problem(bought, rented, inference=(workload(demand=(10.0,) * quarters, a=1.0, b=1.0),))).objective

    assert costs(2) == pytest.approx(80_000)
    assert costs(3) == pytest.approx(100_000)


def test_power_takes_the_chip_that_needs_less_of_it() -> None:
    hungry, frugal = stock(power_w=1000.0), stock("b", power_w=500.0, price_usd=(30_000.0,))
    asked = (workload(a=1.0, b=1.0),)
    site = (Site("here", power_w=(7_500.0,)),)
    assert bought(plan(problem(hungry, frugal, inference=asked))) == {("a", 0): 10}
    # x of the frugal: 1000 (10 - x) + 500 x <= 7500
    assert bought(plan(problem(hungry, frugal, inference=asked, sites=site))) == {("a", 0): 5, ("b", 0): 5}


def test_floor_space_counts_lots_and_what_is_owned() -> None:
    a = stock(lot=8, space=0.5, owned=8)
    asked = (workload(demand=(24.0,), a=1.0),)
    assert best(problem(a, inference=asked, sites=(Site("here", space=(1.5,)),))) is not None
    assert best(problem(a, inference=asked, sites=(Site("here", space=(1.4,)),))) is None


def test_budgets_in_all_and_by_quarter() -> None:
    def has_plan(**limits: Any) -> bool:
        a = stock(supply=(50.0, 50.0), allowed=(1.0, 1.0), price_usd=(10_000.0, 10_000.0), energy_usd=(100.0, 100.0))
        return best(problem(a, inference=(workload(demand=(10.0, 20.0), a=1.0),), **limits)) is not None

    assert has_plan(capex=200_000.0)
    assert not has_plan(capex=199_000.0)
    assert has_plan(capex_quarter=(100_000.0, 100_000.0))
    assert not has_plan(capex_quarter=(90_000.0, 100_000.0))
    assert has_plan(opex_quarter=(1_000.0, 2_000.0))
    assert not has_plan(opex_quarter=(1_000.0, 1_990.0))


def test_what_is_not_served_costs_its_penalty() -> None:
    seconds = HOURS * 3600.0
    for penalty, served in ((9_000.0, 0.0), (11_000.0, 10.0)):
        asked = Inference("w", (10.0,), (Way("a", (Part(0, 1, 1.0),)),), penalty_usd=penalty / seconds)
        found = plan(problem(stock(), inference=(asked,)))
        assert sum(each.requests_per_s for each in found.serving) == pytest.approx(served)
        assert found.objective == pytest.approx(min(penalty, 10_000.0) * 10)


def test_prefill_and_decode_on_two_chips_where_that_is_cheapest() -> None:
    # alone: a takes 4 + 1 chips for 4 requests/s, b 1 + 4; together one of each
    ways = (
        Way("a", (Part(0, 5, 4.0),)),
        Way("b", (Part(1, 5, 4.0),)),
        Way("b prefill + a decode", (Part(1, 1, 4.0), Part(0, 1, 4.0))),
    )
    found = plan(problem(stock(), stock("b"), inference=(Inference("w", (8.0,), ways),)))
    assert bought(found) == {("a", 0): 2, ("b", 0): 2}
    assert found.serving[0].chips == (("b", 2.0), ("a", 2.0))


def test_a_run_takes_the_cheapest_chip_that_is_done_in_time() -> None:
    # 100 chips of a for one quarter, or 50 of b that cost more than twice as much
    b = stock("b", price_usd=(21_000.0,))
    asked = run(HOURS * 3600.0 * 100.0, TrainingWay("a", 0, 1, 1.0), TrainingWay("b", 1, 1, 2.0))
    found = plan(problem(stock(), b, training=(asked,)))
    assert bought(found) == {("a", 0): 100}
    assert found.training[0].tokens == pytest.approx(asked.tokens)


def test_a_run_stays_on_one_kind_of_chip() -> None:
    # 60 of each could do it together; neither has enough alone
    stocks = (stock(supply=(60.0,)), stock("b", supply=(60.0,)))
    asked = run(HOURS * 3600.0 * 100.0, TrainingWay("a", 0, 1, 1.0), TrainingWay("b", 1, 1, 1.0))
    assert best(problem(*stocks, training=(asked,))) is None


def test_a_run_may_be_spread_over_the_quarters_until_its_deadline() -> None:
    a = stock(supply=(100.0, 100.0), allowed=(1.0, 1.0), price_usd=(10_000.0, 10_000.0), energy_usd=(0.0, 0.0))
    found = plan(problem(a, training=(run(deadline=1),)))
    assert sum(chips for chips in bought(found).values()) == 50


def test_training_and_inference_share_chips_over_time() -> None:
    # the run is done in the first quarter, then its 100 chips serve
    a = stock(supply=(100.0, 0.0), allowed=(1.0, 1.0), price_usd=(10_000.0, 10_000.0), energy_usd=(0.0, 0.0))
    found = plan(problem(a, inference=(workload(demand=(0.0, 100.0), a=1.0),), training=(run(),)))
    assert bought(found) == {("a", 0): 100}


def test_most_is_served_within_a_budget_and_at_the_least_cost() -> None:
    # 50,000 USD buy five of a: half of the first workload, whose chips serve four times as much, comes after all of the second
    first = workload("dear", demand=(10.0,), a=1.0)
    second = workload("cheap", demand=(16.0,), a=4.0)
    found = plan(problem(stock(), inference=(first, second), capex=50_000.0, goal="served"))
    assert set(found.lost_share) == {"dear"}
    assert found.lost_share["dear"][0] == pytest.approx(0.9)
    assert sum(each.chips for each in found.bought) == 5


def test_what_a_little_more_budget_would_serve() -> None:
    # a chip of 10,000 USD serves a tenth of the demand; one per cent of the budget is a twentieth of a chip, which is none
    asked = problem(stock(), inference=(workload(a=1.0),), capex=50_000.0, goal="served")
    answer = best(asked)
    assert answer is not None
    limit = Limit("capex", "budget")
    (found,) = shadows(asked, answer, {limit: "budget"}, {"capex": "USD"})
    assert found.per_unit == pytest.approx(0.1 / 10_000)
    assert found.saved == pytest.approx(0.0, abs=1e-6)


def test_what_one_more_chip_would_save() -> None:
    # eight of b replace sixteen of a; the dual says it of one chip, solving again of a lot
    b = stock("b", lot=8, supply=(8.0,), price_usd=(12_000.0,))
    asked = problem(stock(), b, inference=(workload(demand=(40.0,), a=1.0, b=2.0),))
    answer = best(asked)
    assert answer is not None
    (found,) = shadows(asked, answer, {Limit("supply", "b", 0): "b"}, {"supply": "chip"})
    assert found.per_unit == pytest.approx(2 * 10_000 - 12_000)
    assert found.step == 8.0
    assert found.saved == pytest.approx(8 * 8_000)
    assert found.saved_low <= 64_000 <= found.saved_high


def test_nothing_is_bought_that_would_not_serve() -> None:
    found = plan(problem(stock(), inference=(workload(demand=(4.0,), a=1.0),), capex=1e9, goal="served"))
    assert bought(found) == {("a", 0): 4}


def test_a_workload_on_two_kinds_gets_whole_instances_of_both() -> None:
    # 10 requests/s; of b only three instances of 2; a gives 2.5 each: 6 on b, 4 on a take two whole instances
    ways = (Way("a", (Part(0, 4, 2.5),)), Way("b", (Part(1, 4, 2.0),)))
    stocks = (stock(lot=4), stock("b", lot=4, supply=(12.0,), price_usd=(1_000.0,)))
    found = plan(problem(*stocks, inference=(Inference("w", (10.0,), ways),)))
    assert found.whole
    assert sorted(each.instances[0] for each in found.serving) == [2.0, 3.0]
    assert all(math.isclose(each.instances[0], round(each.instances[0])) for each in found.serving)
