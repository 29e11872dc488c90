"""The search: what must hold whatever the cost model says, and the arithmetic of what is chosen."""

from __future__ import annotations

import math
from typing import Any

import pytest

from windtunnel.catalog import hourly_usd, system
from windtunnel.plan.front import MOST_POINTS
from windtunnel.plan.result import Candidate, ChipPlan, Plan
from windtunnel.sim.predict import predict
from windtunnel.sim.prediction import Prediction

SMALL, LARGE = "meta-llama/Llama-3.1-8B", "deepseek-ai/DeepSeek-V3"
DEMO = "h20,h100-sxm,ascend-910b2,ascend-910c,cloudmatrix-384"


def only(plan: Plan) -> ChipPlan:
    (chip,) = plan.chips
    return chip


def best(plan: Plan) -> Candidate:
    found = only(plan).best
    assert found is not None, only(plan).why_not
    return found


def usd(plan: Plan) -> float:
    """USD per million tokens, infinite where nothing meets the targets."""
    found = only(plan).best
    return math.inf if found is None or found.usd_per_mtok is None else found.usd_per_mtok


def again(prediction: Prediction, role: str) -> Prediction:
    return predict(prediction.deployment, prediction.load, steady=True, role=role)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [SMALL, LARGE])
@pytest.mark.parametrize("chip", ["h100-sxm:64", "ascend-910b2:64", "cloudmatrix-384"])
def test_meets_its_targets_and_carries_the_traffic(planned: Any, model: str, chip: str) -> None:
    found = best(planned(model, chip, ttft=2.0, tpot=0.08, rate=3.0))
    assert found.ttft_s <= 2.0
    assert found.prediction.tpot.value <= 0.08
    assert found.requests_per_s >= 3.0 * (1 - 1e-9)
    assert found.output_tokens_per_s == pytest.approx(3.0 * 500, rel=1e-3)


@pytest.mark.parametrize(("model", "on"), [(SMALL, "h20"), (LARGE, "h20:64"), (LARGE, "ascend-910c:64")])
def test_looser_targets_never_cost_more(planned: Any, model: str, on: str) -> None:
    for rate in (0.0, 5.0):
        costs = [usd(planned(model, on, ttft=f * 1.5, tpot=f * 0.05, rate=rate)) for f in (1.0, 1.3, 2.0, 4.0)]
        assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize("rate", [0.0, 2.0])
def test_more_chips_allowed_are_never_worse(planned: Any, rate: float) -> None:
    allowed = ("h100-sxm:16", "h100-sxm:32", "h100-sxm:64", "h100-sxm:128", "h100-sxm")
    costs = [usd(planned(LARGE, chips, ttft=3.0, tpot=0.08, rate=rate)) for chips in allowed]
    assert costs == sorted(costs, reverse=True)
    assert math.isfinite(costs[-1])


@pytest.mark.parametrize("on", ["h20", "ascend-910c", "cloudmatrix-384"])
def test_numbers_are_those_of_predict_for_the_same_deployment(planned: Any, on: str) -> None:
    chip = only(planned(LARGE, on, ttft=2.0, tpot=0.05, rate=5.0))
    assert chip.best is not None
    for found in (chip.best, *chip.pareto):
        told = [(found.prediction, "decode" if found.prefill else "both")] + (
            [(found.prefill, "prefill")] if found.prefill else []
        )
        for prediction, role in told:
            same = again(prediction, role)
            assert same.output_tokens_per_s == prediction.output_tokens_per_s
            if found.simulated is None:
                assert (same.ttft, same.tpot) == (prediction.ttft, prediction.tpot)
                continue
            # its times are the simulated ones, with the same intervals in proportion
            assert found.ttft_s == pytest.approx(found.simulated.ttft_s)
            assert found.prediction.tpot.value == found.simulated.tpot_s
            for one, other in ((prediction.ttft, same.ttft), (prediction.tpot, same.tpot)):
                assert one.high * other.value == pytest.approx(other.high * one.value)
            assert same.memory == prediction.memory
            assert same.memory.headroom >= 0


def test_money_and_energy_by_hand(planned: Any) -> None:
    found = best(planned(SMALL, "h20", ttft=1.0, tpot=0.03, rate=30.0))
    price = hourly_usd("h20", basis="purchase")
    assert price is not None
    assert found.usd_per_hour is not None
    assert found.usd_per_hour == pytest.approx(price.fact.value * found.chips)
    assert found.usd_per_mtok == pytest.approx(found.usd_per_hour / (30 * 500 * 3600) * 1e6)
    assert found.power_kw == pytest.approx(found.chips * 400 * 0.8 / 1e3)
    assert found.joules_per_token == pytest.approx(found.chips * 400 * 0.8 / (30 * 500))
    assert found.price_basis.startswith(f"bought, {price.date}")


def test_a_system_is_paid_and_powered_by_its_share(planned: Any) -> None:
    whole = system("cloudmatrix-384")
    found = best(planned(LARGE, "cloudmatrix-384", ttft=2.0, tpot=0.08, rate=5.0))
    price = hourly_usd(whole, basis="purchase")
    assert price is not None
    assert found.usd_per_hour == pytest.approx(price.fact.value * found.chips)
    assert found.power_kw == pytest.approx(whole.value("power_w") / 384 * found.chips * 0.8 / 1e3)
    assert found.prediction.deployment.system == "cloudmatrix-384"


def test_disaggregated_arithmetic(planned: Any) -> None:
    apart = [
        c for on in ("h20", "h100-sxm", "ascend-910c") for c in only(planned(LARGE, on, ttft=2.0, tpot=0.05)).pareto if c.prefill
    ]
    assert apart
    for found in apart:
        assert found.prefill is not None
        assert found.mode == "disaggregated"
        chips = found.prefill.deployment.chips * found.prefill_replicas + found.prediction.deployment.chips * found.replicas
        assert found.chips == chips
        assert found.ttft_s == found.prefill.ttft.value + found.kv_transfer_s <= 2.0
        assert 0 < found.kv_transfer_s < 2.0
        prompts_per_s = found.prefill.output_tokens_per_s.value * found.prefill_replicas
        assert prompts_per_s * 500 == pytest.approx(found.output_tokens_per_s, rel=1e-3)


def test_the_front_is_one(planned: Any) -> None:
    for chip in planned(LARGE, DEMO, ttft=2.0, tpot=0.05, rate=5.0).chips:
        points = [(c.output_tokens_per_s_per_chip, 1 / c.prediction.tpot.value) for c in chip.pareto]
        assert 1 < len(points) <= MOST_POINTS
        assert [y for y, _ in points] == sorted((y for y, _ in points), reverse=True)
        assert [x for _, x in points] == sorted(x for _, x in points)


def test_ranked_by_price_and_chosen_types_are_said(planned: Any) -> None:
    found = planned(LARGE, DEMO, ttft=2.0, tpot=0.05, rate=5.0)
    costs = [c.best.usd_per_mtok or 0.0 for c in found.ranked if c.best]
    assert costs == sorted(costs)
    assert len(costs) == 5
    by_name = {c.name: c.best.prediction.deployment for c in found.chips if c.best}
    assert by_name["h20"].precision == ""
    assert by_name["ascend-910b2"].precision == "w8a8_dynamic"
    assert any("cannot compute fp8" in note for note in found.notes)
    assert by_name["ascend-910c"].system == "atlas-800t-a3", "a bare chip does not come with the pod"


def test_unpriced_chip_is_planned_without_money(planned: Any) -> None:
    found = best(planned(SMALL, "rtx-4090", tpot=0.05))
    assert found.usd_per_mtok is None
    assert found.usd_per_hour is None
    assert found.price_basis == "price not known"


def test_own_prices_come_first(tmp_path: Any, planned: Any) -> None:
    mine = tmp_path / "prices.toml"
    mine.write_text(
        '[[prices]]\nitem = ["h20"]\nbasis = "rent"\nvalue = 9.0\nunit = "USD/h"\nkind = "reported"\nsource = "invoice"\n'
        'date = "2026-10"\n'
    )
    found = best(planned(SMALL, "h20", tpot=0.05, rate=10.0, prices=str(mine)))
    assert found.usd_per_hour == pytest.approx(9.0 * found.chips)
    assert found.price_basis.startswith("your rent, 2026-10")
