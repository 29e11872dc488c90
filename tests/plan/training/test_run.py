"""The step of a run: what holds of every layout, and two whole runs that were published."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cost.made import COMPUTE, LINK, MEMORY
from tests.plan.training.conftest import run_of
from windtunnel.errors import InvalidInputError
from windtunnel.plan.training.framework import SCHEDULES
from windtunnel.plan.training.layout import RECOMPUTE, Layout, check
from windtunnel.plan.training.options import TrainingOptions
from windtunnel.plan.training.step import Step
from windtunnel.plan.training.train import train

MODELS = st.sampled_from(["meta-llama/Llama-3.1-8B", "mistralai/Mixtral-8x7B-v0.1", "deepseek-ai/DeepSeek-V2-Lite"])
CHIPS = st.sampled_from(["h100-sxm", "ascend-910b2", "b200-sxm", "mi300x"])


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    pp = draw(st.sampled_from([1, 2, 4]))
    schedule = draw(st.sampled_from(SCHEDULES if pp > 1 else ("1f1b",)))
    return Layout(
        tp=draw(st.sampled_from([1, 2, 4])),
        cp=draw(st.sampled_from([1, 2])),
        pp=pp,
        ep=draw(st.sampled_from([1, 8])),
        dp=draw(st.sampled_from([8, 16])),
        micro_batch=draw(st.sampled_from([1, 2])),
        recompute=draw(st.sampled_from(RECOMPUTE)),
        zero=draw(st.sampled_from([0, 1, 2, 3])),
        schedule=schedule,
        chunks=2 if schedule == "interleaved" else 1,
    )


def step(name: str, on: str, layout: Layout, **more: Any) -> Step:
    run = run_of(name, on, **more)
    experts = any(layer.ffn is not None and layer.ffn.experts for layer in run.work.spec.layers)
    return run.step(layout if experts else replace(layout, ep=1))


@settings(max_examples=60, deadline=None)
@given(
    MODELS, CHIPS, layouts(), st.sampled_from([COMPUTE, MEMORY, LINK, (*COMPUTE, *MEMORY, *LINK)]), st.sampled_from([1.5, 4.0])
)
def test_a_better_chip_never_trains_slower(name: str, on: str, layout: Layout, better: tuple[str, ...], factor: float) -> None:
    """Stages are cut by compute, so with several of them not where exchanges of every micro-batch set the pace."""
    if layout.pp > 1:
        layout = replace(layout, zero=min(layout.zero, 1))
    before, after = step(name, on, layout), step(name, on, layout, prefixes=better, factor=factor)
    assert after.accounted_s <= before.accounted_s * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(MODELS, CHIPS, layouts())
def test_what_saves_memory_saves_memory(name: str, on: str, layout: Layout) -> None:
    ways = [step(name, on, replace(layout, recompute=way)) for way in RECOMPUTE]
    kept = [each.memory.activations for each in ways]
    assert kept == sorted(kept, reverse=True)
    # with one stage: what is run again can make another stage the slowest
    whole = replace(layout, pp=1, schedule="1f1b", chunks=1)
    spent = [step(name, on, replace(whole, recompute=way)).accounted_s for way in RECOMPUTE]
    assert all(less <= more * (1 + 1e-9) for less, more in pairwise(spent))
    states = [step(name, on, replace(layout, zero=zero)).memory for zero in (0, 1, 2, 3)]
    held = [m.weights + m.gradients + m.optimizer for m in states]
    assert held == sorted(held, reverse=True)


@settings(max_examples=40, deadline=None)
@given(MODELS, CHIPS, layouts())
def test_parts_of_a_step_are_its_time_and_none_beats_the_peak(name: str, on: str, layout: Layout) -> None:
    found = step(name, on, layout)
    assert min(found.inside.products, found.bubble_s, found.sends_s, found.replicas_s, found.optimizer_s) >= 0.0
    assert found.total_s == pytest.approx(found.accounted_s * (1 + found.beyond_share))
    run = run_of(name, on)
    peak = run.costs.machine(run.costs.wide).flops_per_s
    assert found.tokens_per_s_per_chip * run.flops_per_token() < peak


def test_more_replicas_are_a_shorter_step_of_the_same_batch() -> None:
    few, many = (step("meta-llama/Llama-3.1-8B", "h100-sxm", Layout(pp=2, dp=dp)) for dp in (16, 32))
    assert few.tokens == many.tokens
    assert 0.5 * few.total_s < many.total_s < 0.6 * few.total_s


def test_longer_pipelines_wait_longer() -> None:
    bubbles = [step("meta-llama/Llama-3.1-70B", "h100-sxm", Layout(tp=8, pp=pp, dp=4)).bubble_s for pp in (1, 2, 4, 8)]
    assert bubbles[0] == 0.0
    assert bubbles == sorted(bubbles)


def test_a_batch_that_does_not_divide_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidInputError, match=r"512 sequences .* 24 replicas of 1; nearest that would do: 504"):
        step("meta-llama/Llama-3.1-8B", "h100-sxm", Layout(dp=24))


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        (Layout(tp=3), "tp: 3 does not divide"),
        (Layout(pp=64), "pp: 64 stages for 32 layers"),
        (Layout(ep=2, dp=2), "ep: meta-llama/Llama-3.1-8B has no experts; nearest that would do: 1"),
        (Layout(pp=16, chunks=4, schedule="interleaved"), "pp: 16 stages of 4 for 32 layers"),
    ],
)
def test_degrees_that_divide_nothing_are_refused(layout: Layout, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        check(run_of("meta-llama/Llama-3.1-8B").work.spec, layout)


@pytest.mark.parametrize(
    ("layout", "told"),
    [(Layout(ep=3, dp=3), "3 does not divide 8 experts; nearest that would do: 2"), (Layout(ep=8, dp=4), "tp x cp x dp = 4")],
)
def test_so_are_those_of_experts(layout: Layout, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        check(run_of("mistralai/Mixtral-8x7B-v0.1").work.spec, layout)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("pp", [2, 4, 8, 16])
def test_the_slowest_stage_has_its_layers(pp: int, schedule: str) -> None:
    """27 layers over 16 stages leave the last its head alone: the slowest still does no less than its share of the model."""
    chunks = 2 if schedule == "interleaved" and pp < 16 else 1
    layout = Layout(pp=pp, ep=8, dp=8, schedule=schedule, chunks=chunks)  # type: ignore[arg-type]
    found = step("deepseek-ai/DeepSeek-V2-Lite", "h100-sxm", layout)
    alone = step("deepseek-ai/DeepSeek-V2-Lite", "h100-sxm", replace(layout, pp=1, schedule="1f1b", chunks=1))
    assert found.inside.computing >= alone.inside.computing / pp * (1 - 1e-9)


def test_what_is_run_again_is_counted_once() -> None:
    """Beside hidden exchanges too: full recomputation adds a forward pass, a third of compute."""
    none, full = (step("deepseek-ai/DeepSeek-V2-Lite", "h100-sxm", Layout(ep=8, dp=8, recompute=r)) for r in ("none", "full"))
    assert full.inside == none.inside
    assert 0.2 < full.again_s / none.inside.total < 0.4


def test_dies_of_a_package_are_ranks(trained: Any) -> None:
    plan = trained("meta-llama/Llama-3.1-8B", "ascend-910c:32,ascend-910c-die:64")
    package, die = (chip.training for chip in plan.chips)
    assert (package.chips, die.chips, package.step.layout.chips) == (32, 64, 64)
    assert package.step.memory.capacity == die.step.memory.capacity
    assert package.tokens_per_s_per_chip.value == pytest.approx(package.step.tokens_per_s / 32)
    assert any("2 ranks for each ascend-910c" in note for note in plan.notes)


def test_a_network_that_no_source_gives_may_be_told() -> None:
    asked = ("meta-llama/Llama-3.1-8B", ["kunlun-p800:64"], 1e12)
    refused = train(*asked).chips[0].why_not
    assert "not known: scaleout_bytes_per_s of kunlun-p800" in refused
    assert refused.endswith("--network-gbps says it")
    told = [train(*asked, options=TrainingOptions(network_bytes_per_s=g * 1e9)).chips[0].training for g in (12.5, 50.0)]
    assert told[0] is not None
    assert told[1] is not None
    assert told[1].days.value <= told[0].days.value
