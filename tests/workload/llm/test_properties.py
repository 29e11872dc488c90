"""What holds of every step of every model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from windtunnel.catalog.model import ModelSpec
from windtunnel.workload.llm import ParallelPlan, StepTokens, Workload, kv_bytes, precision_plan, weights_bytes
from windtunnel.workload.ops import Collective, Op

PLANS = [
    ParallelPlan(),
    ParallelPlan(tp=2, moe_tp=2),
    ParallelPlan(tp=2, moe_ep=2),
    ParallelPlan(dp=4, moe_ep=4),
    ParallelPlan(tp=2, dp=2, moe_ep=4),
    ParallelPlan(tp=2, pp=2, dp=2, moe_tp=2, moe_ep=2),
]
numbers = st.integers(0, 10)
plans = st.sampled_from(PLANS)
precisions = st.sampled_from(["", "bf16", "fp8", "fp4", "int8", "w8a8_dynamic", "w4a16", "w4a8"])
steps = st.builds(
    StepTokens,
    decode_batch=st.integers(0, 512).map(float),
    decode_context=st.integers(1, 200_000).map(float),
    prefill_tokens=st.integers(0, 16384).map(float),
    prefill_context=st.integers(0, 100_000).map(float),
    prefill_sequences=st.integers(1, 8).map(float),
)


def work(ops: Iterable[Op]) -> tuple[float, float, float]:
    """FLOPs, bytes through memory, bytes over links."""
    listed = list(ops)
    flops = sum(op.flops * op.count for op in listed)
    moved = sum(op.bytes * op.count for op in listed if not isinstance(op, Collective))
    sent = sum(op.bytes * op.count for op in listed if isinstance(op, Collective))
    return flops, moved, sent


def chosen(specs: dict[str, ModelSpec], number: int) -> ModelSpec:
    return specs[sorted(specs)[number]]


@given(numbers, plans, precisions, steps)
def test_every_operator_is_finite_and_counted(
    specs: dict[str, ModelSpec], number: int, plan: ParallelPlan, precision: str, step: StepTokens
) -> None:
    spec = chosen(specs, number)
    ops = Workload(spec, plan, precision_plan(spec, precision)).step(step)
    assert bool(ops) == bool(step.tokens)
    for op in ops:
        assert op.count > 0
        assert math.isfinite(op.flops)
        assert math.isfinite(op.bytes)
        assert op.flops >= 0
        assert op.bytes > 0


@given(
    numbers, plans, precisions, steps, st.integers(0, 4096), st.sampled_from(["decode_batch", "decode_context", "prefill_tokens"])
)
def test_more_tokens_are_never_less_work(
    specs: dict[str, ModelSpec], number: int, plan: ParallelPlan, precision: str, step: StepTokens, more: int, field: str
) -> None:
    spec = chosen(specs, number)
    if spec.id == "deepseek-v3.2":  # expanded below topk, absorbed above: fewer bytes, more FLOPs
        return
    workload = Workload(spec, plan, precision_plan(spec, precision))
    before = work(workload.step(step))
    after = work(workload.step(replace(step, **{field: getattr(step, field) + more})))
    assert all(b <= a * (1 + 1e-9) for b, a in zip(before, after, strict=True))


@given(numbers, precisions, steps, st.sampled_from([(1, 2), (2, 4), (1, 8)]), st.booleans())
def test_more_ranks_never_mean_more_work_on_each(
    specs: dict[str, ModelSpec], number: int, precision: str, step: StepTokens, tp: tuple[int, int], spread: bool
) -> None:
    """Attention cut further, experts cut or spread: FLOPs and bytes of a rank do not grow, and FLOPs in all do not shrink."""
    spec = chosen(specs, number)
    types = precision_plan(spec, precision)
    few, many = (ParallelPlan(tp=n, moe_tp=1 if spread else n, moe_ep=n if spread else 1) for n in tp)
    before, after = work(Workload(spec, few, types).step(step)), work(Workload(spec, many, types).step(step))
    assert after[0] <= before[0] * (1 + 1e-9)
    assert after[1] <= before[1] * (1 + 1e-9)
    assert after[0] * tp[1] >= before[0] * tp[0] * (1 - 1e-9)
    assert weights_bytes(spec, many, types) <= weights_bytes(spec, few, types)
    assert kv_bytes(spec, many, types, step.decode_context) <= kv_bytes(spec, few, types, step.decode_context)


@given(numbers, precisions, steps)
def test_a_chunked_prompt_is_the_whole_prompt(specs: dict[str, ModelSpec], number: int, precision: str, step: StepTokens) -> None:
    """Attention over a prompt in two chunks is attention over it at once, but for latents that are expanded again."""
    spec = chosen(specs, number)
    workload = Workload(spec, ParallelPlan(), precision_plan(spec, precision))
    whole, half = 4096.0 + step.prefill_tokens, (4096.0 + step.prefill_tokens) / 2

    def attended(tokens: StepTokens) -> float:
        return sum(op.flops * op.count for op in workload.step(tokens) if "attention" in op.family and "linear" not in op.family)

    once = attended(StepTokens(prefill_tokens=whole, prefill_sequences=1))
    twice = attended(StepTokens(prefill_tokens=half)) + attended(StepTokens(prefill_tokens=half, prefill_context=half))
    if spec.id != "deepseek-v3.2":
        assert math.isclose(once, twice, rel_tol=1e-9)
