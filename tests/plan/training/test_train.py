"""Whole runs: those that were published, the search, days, and what is refused."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.plan.training.conftest import run_of
from windtunnel.catalog.recipe import recipes
from windtunnel.errors import InvalidInputError, UnknownNameError, WindtunnelError
from windtunnel.plan.training.layout import Layout, check
from windtunnel.plan.training.options import TrainingOptions
from windtunnel.plan.training.search import FixedLayout, search
from windtunnel.plan.training.train import train


@pytest.mark.parametrize("recipe", [r for r in recipes() if r.chip_hours], ids=lambda r: r.id)
def test_the_chip_hours_of_published_runs(recipe: Any, trained: Any) -> None:
    """Within 15 %, nothing fitted on them, in the layout that the search finds."""
    run = trained(recipe.models[0], f"{recipe.chip}:{recipe.chips}", recipe.tokens).chips[0].training
    assert run.chip_hours.value == pytest.approx(recipe.chip_hours, rel=0.15)
    assert run.chip_hours.low < recipe.chip_hours < run.chip_hours.high
    assert run.days.value == pytest.approx(run.chip_hours.value / run.chips / 24)


def test_llama_3_405b_reaches_its_published_share_of_the_peak(trained: Any) -> None:
    """38 to 43 % of the peak while steps run (arXiv 2407.21783, table 4), less a little: the search may cut better."""
    run = trained("meta-llama/Llama-3.1-405B", "h100-sxm:16384", 15.6e12).chips[0].training
    assert 0.36 <= run.mfu <= 0.46


def test_sixteen_thousand_chips_are_searched_in_ten_seconds() -> None:
    start = time.process_time()
    train("meta-llama/Llama-3.1-405B", ["h100-sxm:16384"], 15.6e12)
    assert time.process_time() - start < 10.0


def test_the_search_finds_nothing_worse_than_a_layout_that_it_could_have_had() -> None:
    run = run_of("meta-llama/Llama-3.1-70B", batch=256)
    found = search(run, 64, FixedLayout())
    assert found.best is not None
    assert found.best.memory.fits
    for layout in (
        Layout(tp=8, pp=4, dp=2),
        Layout(tp=4, pp=8, dp=2, recompute="selective"),
        Layout(tp=8, dp=8, recompute="full"),
    ):
        check(run.work.spec, layout)
        other = run.step(layout)
        assert not other.memory.fits or found.best.total_s <= other.total_s


def test_what_is_fixed_stays() -> None:
    fixed = FixedLayout(tp=4, pp=2, micro_batch=2, recompute="full", zero=1, schedule="interleaved", chunks=2)
    best = search(run_of("meta-llama/Llama-3.1-8B"), 32, fixed).best
    assert best is not None
    assert best.layout == Layout(4, 1, 2, 1, 4, 2, "full", 1, "interleaved", 2)


def test_fewer_days_take_more_chips_and_no_more_than_needed(trained: Any) -> None:
    runs = [trained("meta-llama/Llama-3.1-8B", "h100-sxm", 1e12, days).chips[0].training for days in (30.0, 10.0)]
    assert runs[0].chips < runs[1].chips
    assert [r.days.value <= d for r, d in zip(runs, (30.0, 10.0), strict=True)] == [True, True]
    assert runs[1].days.value > 7.0


def test_prices_that_nobody_published_are_not_known(trained: Any) -> None:
    plan = trained("meta-llama/Llama-3.1-8B", "h100-sxm:64,gaudi3:64", 1e12)
    by_name = {chip.name: chip.training for chip in plan.chips}
    assert by_name["h100-sxm:64"].usd is not None
    assert plan.ranked[0].training.usd is not None


@pytest.mark.parametrize(
    ("on", "told"),
    [
        ("h800-sxm:4096", "network of h800-sxm is described for 2,048 chips, not 4,096; --network-chips 4096"),
        ("h100-sxm:64", r"does not fit on 64 h100-sxm: needs .* nearest that would do: \d+ chips"),
        ("atlas-300i-duo:64", "not known|cannot"),
        ("rtx-4090:8", r"does not fit on 8 rtx-4090: needs .*; on more, not known: scaleout.*; --network-gbps says it"),
    ],
)
def test_why_a_chip_will_not_do(on: str, told: str, trained: Any) -> None:
    chip = trained("meta-llama/Llama-3.1-405B", on).chips[0]
    assert chip.training is None
    assert re.search(told, chip.why_not)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tokens": 0.0}, "tokens: 0.0 is not a number of tokens above 0"),
        ({"tokens": float("nan")}, "tokens"),
        ({"days": -1.0}, "days: -1.0 is not a number of days"),
        ({"on": []}, "on: names no chip"),
        ({"on": ["h100-sxm"]}, "on: say how many h100-sxm: h100-sxm:1024; or --days 60"),
        ({"on": ["h1000:8"]}, "unknown chip or system 'h1000'"),
        ({"model": "Llama-9"}, "unknown model"),
        ({"options": TrainingOptions(framework="megatrom")}, "unknown framework 'megatrom'; nearest: megatron"),
        ({"options": TrainingOptions(precision="fp7")}, "unknown precision 'fp7'"),
        ({"options": TrainingOptions(optimizer="adamw")}, "unknown optimizer 'adamw'; nearest: adam"),
        ({"options": TrainingOptions(length=10**6)}, "sequence: 1,000,000 tokens are over"),
        ({"options": TrainingOptions(fixed=FixedLayout(tp=3))}, "tp: 3 does not divide 32 query and 8 key-value heads"),
        ({"options": TrainingOptions(fixed=FixedLayout(pp=6))}, "pp: 6 does not divide 64 chips; nearest that would do: 4"),
        ({"options": TrainingOptions(fixed=FixedLayout(tp=2, cp=1, pp=2, dp=4))}, "dp: .* is 16, not 64 chips; .* 16"),
        ({"options": TrainingOptions(fixed=FixedLayout(cp=3))}, "cp: 3 does not divide sequences of 8,192 tokens; .* 2"),
        ({"options": TrainingOptions(batch_tokens=100)}, "100 tokens are less than a sequence of 8,192; .* 8192"),
        ({"options": TrainingOptions(drafts=True)}, "mtp: .* has no layers of multi-token prediction"),
        ({"options": TrainingOptions(batch_tokens=8192 * 3, fixed=FixedLayout(dp=64))}, "batch: 3 sequences"),
    ],
)
def test_malformed_requests_are_refused_in_one_line(change: dict[str, Any], told: str) -> None:
    asked: dict[str, Any] = {"model": "meta-llama/Llama-3.1-8B", "on": ["h100-sxm:64"], "tokens": 1e12, **change}
    with pytest.raises(WindtunnelError, match=told) as refused:
        train(**asked)
    assert isinstance(refused.value, InvalidInputError | UnknownNameError)
    assert "\n" not in str(refused.value)


def test_chips_are_counted_in_whole_groups_of_experts(trained: Any) -> None:
    run = trained("mistralai/Mixtral-8x7B-v0.1", "h100-sxm", 1e12, 20.0).chips[0].training
    assert run.days.value <= 20.0
    assert run.step.layout.stage_chips % run.step.layout.ep == 0
    assert run.days.value > 15.0


def test_more_chips_are_faster_where_the_batch_leaves_few_micro_batches(trained: Any) -> None:
    """2,048 sequences over 1,280 groups of 16 stages: cut in two, they leave each replica enough to fill its pipeline."""
    runs = [trained("meta-llama/Llama-3.1-405B", f"h100-sxm:{n}").chips[0].training for n in (12_288, 16_384, 20_480, 24_576)]
    rates = [run.step.tokens_per_s for run in runs]
    assert rates == sorted(rates)
    assert runs[2].step.layout.cp > 1


def test_experts_ranks_that_are_told_divide_experts_and_chips() -> None:
    with pytest.raises(InvalidInputError, match="ep: 16 does not divide tp x cp x dp = 24; nearest that would do: 8"):
        train("Qwen/Qwen3-30B-A3B", ["h100-sxm:24"], 1e12, options=TrainingOptions(fixed=FixedLayout(ep=16)))


def test_energy_is_that_of_the_server_whose_electricity_is_paid(trained: Any) -> None:
    """An eighth of an HGX H100's 10.2 kW at 80 % of it, times 1.3 for the data centre."""
    run = trained("meta-llama/Llama-3.1-8B", "h100-sxm:64").chips[0].training
    assert run.energy_kwh / run.chip_hours.value == pytest.approx(10.2 / 8 * 0.8 * 1.3, rel=1e-9)


def test_a_batch_that_is_no_whole_number_of_sequences_is_rounded_and_said() -> None:
    plan = train("meta-llama/Llama-3.1-8B", ["h100-sxm:8"], 1e12, options=TrainingOptions(batch_tokens=1e6))
    assert "1,000,000 tokens a step are rounded to 122 sequences of 8,192." in plan.notes
