"""Which parallelism a model takes, and what is said of one that it does not take."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.catalog.model import AttentionSpec, FfnSpec, Layer, ModelSpec
from windtunnel.errors import ParallelismError
from windtunnel.workload.llm import ParallelPlan, parallel_plan


@dataclass
class Asked:
    tp: int = 1
    pp: int = 1
    dp: int = 1
    moe_tp: int = 0
    moe_ep: int = 0


@pytest.mark.parametrize(
    ("model", "asked", "plan"),
    [
        ("llama-3.1-8b", Asked(), ParallelPlan()),
        ("llama-3.1-8b", Asked(tp=8), ParallelPlan(8)),
        ("llama-3.1-8b", Asked(tp=16), ParallelPlan(16)),
        ("llama-3.1-8b", Asked(tp=2, pp=3, dp=4), ParallelPlan(2, 3, 4)),
        # without experts their degrees say nothing
        ("llama-3.1-8b", Asked(tp=4, moe_tp=4, moe_ep=1), ParallelPlan(4)),
        ("llama-3.1-8b", Asked(tp=4, moe_tp=1, moe_ep=8), ParallelPlan(4)),
        ("deepseek-v3", Asked(tp=8), ParallelPlan(8, 1, 1, 8, 1)),
        ("deepseek-v3", Asked(tp=8, moe_ep=8), ParallelPlan(8, 1, 1, 1, 8)),
        ("deepseek-v3", Asked(tp=8, moe_tp=2), ParallelPlan(8, 1, 1, 2, 4)),
        ("deepseek-v3", Asked(tp=4, dp=8), ParallelPlan(4, 1, 8, 1, 32)),
        ("deepseek-v3", Asked(tp=4, dp=8, moe_tp=4, moe_ep=8), ParallelPlan(4, 1, 8, 4, 8)),
        # 256 experts go as far as they divide, the rest cuts each
        ("deepseek-v3", Asked(dp=512), ParallelPlan(1, 1, 512, 2, 256)),
        # 512 is no multiple of 3: experts spread instead
        ("qwen3-next-12", Asked(tp=3), ParallelPlan(3, 1, 1, 1, 3)),
    ],
)
def test_what_is_taken(specs: dict[str, ModelSpec], model: str, asked: Asked, plan: ParallelPlan) -> None:
    assert parallel_plan(specs[model], asked) == plan


@pytest.mark.parametrize(
    ("model", "asked", "said"),
    [
        ("llama-3.1-8b", Asked(tp=3), "tp: 3 does not divide 32 query and 8 key-value heads; nearest that would do: 2"),
        ("llama-3.1-8b", Asked(tp=7), "tp: 7 does not divide 32 query and 8 key-value heads; nearest that would do: 8"),
        ("llama-3.1-8b", Asked(tp=64), "tp: 64 does not divide 32 query and 8 key-value heads; nearest that would do: 32"),
        ("deepseek-v3", Asked(tp=12), "tp: 12 does not divide 128 heads; nearest that would do: 8"),
        ("qwen3-next", Asked(tp=32), "tp: 32 does not divide 16 query and 32 key-value heads; nearest that would do: 16"),
        ("deepseek-v4-like", Asked(tp=16), "tp: 16 does not divide 64 query heads in 8 output groups; nearest that would do: 8"),
        ("llama-3.1-8b", Asked(pp=33), "pp: 33 stages for 32 layers of llama-3.1-8b; nearest that would do: 32"),
        ("deepseek-v3", Asked(tp=8, moe_ep=3), "moe_ep: 3 does not divide tp x dp = 8; nearest that would do: 2"),
        ("deepseek-v3", Asked(tp=8, moe_tp=5), "moe_tp: 5 does not divide tp x dp = 8; nearest that would do: 4"),
        (
            "deepseek-v3",
            Asked(dp=72, moe_ep=72),
            "moe_ep: 72 does not divide 256 experts, nor does any split of 72 chips; nearest that would do: 64 chips",
        ),
        (
            "deepseek-v3",
            Asked(dp=72),
            "moe_ep: 72 does not divide 256 experts, nor does any split of 72 chips; nearest that would do: 64 chips",
        ),
        (
            "deepseek-v3",
            Asked(dp=512, moe_ep=512),
            "moe_ep: 512 does not divide 256 experts; nearest that would do: moe_tp 2 x moe_ep 256",
        ),
        ("qwen3-next", Asked(tp=16, moe_tp=16, moe_ep=2), "moe_ep: moe_tp 16 x moe_ep 2"),
        (
            "gpt-oss-120b",
            Asked(dp=128, moe_tp=128),
            "moe_tp: 128 does not divide expert width 2880; nearest that would do: moe_tp 64 x moe_ep 2",
        ),
        (
            "deepseek-v3",
            Asked(tp=8, moe_tp=4, moe_ep=4),
            "moe_ep: moe_tp 4 x moe_ep 4 is not tp x dp = 8; nearest that would do: moe_tp 4 x moe_ep 2",
        ),
        ("llama-3.1-8b", Asked(tp=0), "tp: 0 is not between 1 and"),
        ("llama-3.1-8b", Asked(dp=-4), "dp: -4 is not between 1 and"),
        ("deepseek-v3", Asked(moe_ep=-1), "moe_ep: -1 is not between 0 and"),
        ("llama-3.1-8b", Asked(dp=10**30), "dp: 1000000000000000000000000000000 is not between 1 and"),
        ("llama-3.1-8b", Asked(tp=2.5), "tp: 2.5 is not a whole number"),  # type: ignore[arg-type]
        ("llama-3.1-8b", Asked(tp=True), "tp: True is not a whole number"),
        ("llama-3.1-8b", Asked(pp="4"), "pp: '4' is not a whole number"),  # type: ignore[arg-type]
    ],
)
def test_what_is_refused(specs: dict[str, ModelSpec], model: str, asked: Asked, said: str) -> None:
    with pytest.raises(ParallelismError) as refusal:
        parallel_plan(specs[model], asked)
    assert str(refusal.value).startswith(said)
    assert "\n" not in str(refusal.value)


def test_dense_widths_must_divide_too() -> None:
    odd = ModelSpec("odd", "Test", 896, 1000, (Layer(4, AttentionSpec("gqa", 16, 4, 64, 64), FfnSpec(4868)),), "bf16", "test")
    with pytest.raises(ParallelismError, match="tp: 8 does not divide feed-forward width 4868; nearest that would do: 4"):
        parallel_plan(odd, Asked(tp=8))


def attempt(spec: ModelSpec, asked: Asked) -> tuple[ParallelPlan | None, str]:
    """The plan, or what is said instead."""
    try:
        return parallel_plan(spec, asked), ""
    except ParallelismError as refusal:
        return None, str(refusal)


degrees = st.integers(-2, 600)


@given(model=st.integers(0, 10), tp=degrees, pp=degrees, dp=degrees, moe_tp=degrees, moe_ep=degrees)
def test_any_degrees_give_a_plan_that_divides_or_one_line(
    specs: dict[str, ModelSpec], model: int, tp: int, pp: int, dp: int, moe_tp: int, moe_ep: int
) -> None:
    spec = specs[sorted(specs)[model]]
    plan, said = attempt(spec, Asked(tp, pp, dp, moe_tp, moe_ep))
    if plan is None:
        assert "nearest that would do: " in said
        assert "\n" not in said
        return
    assert (plan.tp, plan.pp, plan.dp, plan.chips) == (tp, pp, dp, tp * pp * dp)
    if spec.is_moe:
        assert plan.moe_tp * plan.moe_ep == plan.stage_chips


@given(model=st.integers(0, 10), tp=st.integers(1, 600))
def test_the_nearest_value_would_do(specs: dict[str, ModelSpec], model: int, tp: int) -> None:
    spec = specs[sorted(specs)[model]]
    plan, said = attempt(spec, Asked(tp))
    if plan is None and said.startswith("tp: "):
        again, refused = attempt(spec, Asked(int(said.rsplit(" ", 1)[1])))
        assert again is not None or not refused.startswith("tp: ")
