"""What a rank must hold, by hand and against the whole model."""

from __future__ import annotations

import pytest

from windtunnel.catalog.model import ModelSpec
from windtunnel.workload.llm import (
    ParallelPlan,
    PrecisionPlan,
    activation_bytes,
    kv_bytes,
    kv_bytes_per_token,
    precision_plan,
    state_bytes,
    weights_bytes,
)

ONE, BF16 = ParallelPlan(), PrecisionPlan()


def test_one_rank_in_bf16_holds_two_bytes_a_weight(any_spec: ModelSpec) -> None:
    assert weights_bytes(any_spec, ONE, BF16) == pytest.approx(2 * any_spec.parameters, rel=1e-12)


def test_llama_8b_by_hand(llama: ModelSpec) -> None:
    assert weights_bytes(llama, ONE, BF16) == 2 * (8_030_261_248 - 65 * 4096)  # the published count, norms left out
    fp8 = precision_plan(llama, "fp8", "fp8")
    tables = 2 * 2 * 128256 * 4096
    assert weights_bytes(llama, ONE, fp8) == 8_029_995_008 + tables / 2
    # 32 layers, K and V, 8 heads of 128
    assert kv_bytes_per_token(llama, ONE, BF16) == 32 * 2 * 8 * 128 * 2
    assert kv_bytes(llama, ONE, BF16, 1000) == 1000 * 131072
    assert kv_bytes_per_token(llama, ParallelPlan(tp=4), BF16) == 131072 / 4
    assert kv_bytes_per_token(llama, ParallelPlan(tp=16), fp8) == 131072 / 8 / 2  # each rank keeps one head at least
    assert kv_bytes_per_token(llama, ParallelPlan(pp=4), BF16) == 131072 / 4


def test_deepseek_v3_by_hand(deepseek: ModelSpec) -> None:
    plan = precision_plan(deepseek, "", "fp8")
    assert kv_bytes_per_token(deepseek, ParallelPlan(tp=8, moe_tp=8), plan) == 61 * 576  # the latent is on every rank
    experts = 58 * 256 * 3 * 7168 * 2048
    spread = weights_bytes(deepseek, ParallelPlan(dp=32, moe_ep=32), plan)
    whole = weights_bytes(deepseek, ONE, plan)
    assert whole - spread == pytest.approx(experts * 31 / 32)
    with_draft = weights_bytes(deepseek, ParallelPlan(dp=32, moe_ep=32), plan, drafts=True)
    layer = 58 * 256 * 3 * 7168 * 2048 / 58 / 32
    assert layer < with_draft - spread < layer + 4e8


def test_four_bit_weights_carry_their_scales(specs: dict[str, ModelSpec]) -> None:
    model = specs["gpt-oss-120b"]
    plan = precision_plan(model)
    experts = 36 * 128 * 3 * 2880 * 2880
    assert weights_bytes(model, ONE, plan) == pytest.approx(experts * 4.5 / 8 + 2 * (model.parameters - experts))


def test_windows_and_states_do_not_grow(specs: dict[str, ModelSpec]) -> None:
    model = specs["gpt-oss-120b"]
    entry = 2 * 8 * 64 * 2
    assert kv_bytes(model, ONE, BF16, 100) == 36 * 100 * entry
    assert kv_bytes(model, ONE, BF16, 10_000) == 18 * (10_000 + 128) * entry
    assert kv_bytes_per_token(model, ONE, BF16) == 18 * entry
    hybrid = specs["qwen3-next"]
    state = 36 * (32 * 128 * 128 * 4 + 3 * 2 * (2 * 16 * 128 + 32 * 128))
    assert state_bytes(hybrid, ONE) == state
    assert kv_bytes(hybrid, ONE, BF16, 1000) == state + 12 * 1000 * 2 * 2 * 256 * 2
    assert kv_bytes(hybrid, ParallelPlan(tp=2, moe_tp=2), BF16, 0) == state / 2


def test_compressed_entries_shared_vectors_and_reused_caches(specs: dict[str, ModelSpec]) -> None:
    model = specs["deepseek-v4-like"]
    context, vector, index = 65536, 512 * 2, 128 * (1 + 4 / 128)
    window = 43 * 128 * vector
    entries = 20 * context / 128 * vector + 21 * context / 4 * (vector + index)
    assert kv_bytes(model, ParallelPlan(tp=8, moe_tp=8), BF16, context) == pytest.approx(window + entries)
    reusing = specs["shared-cache-like"]
    assert kv_bytes_per_token(reusing, ONE, BF16) == 4 * 2 * 2 * 512 * 2


def test_cache_numbers_agree_with_the_catalogue_s(any_spec: ModelSpec) -> None:
    indexers = sum(
        layer.count * layer.attention.index_dim * 30_000 / (layer.attention.compress or 1)
        for layer in any_spec.layers
        if layer.attention is not None and layer.attention.index_heads
    )
    numbers = (kv_bytes(any_spec, ONE, BF16, 30_000) - state_bytes(any_spec, ONE) - indexers * (1 + 4 / 128)) / 2 + indexers
    assert numbers == pytest.approx(any_spec.cache_numbers_of(30_000))


@pytest.mark.parametrize(
    "plan",
    [
        ParallelPlan(tp=2, moe_tp=2),
        ParallelPlan(tp=2, moe_ep=2),
        ParallelPlan(tp=2, dp=2, moe_ep=4),
        ParallelPlan(tp=2, dp=2, moe_tp=4),
        ParallelPlan(pp=3),
        ParallelPlan(tp=2, pp=4, dp=2, moe_tp=2, moe_ep=2),
    ],
)
@pytest.mark.parametrize("precision", ["", "fp8", "fp4", "w4a16"])
def test_all_ranks_hold_the_model_at_least_and_each_less_than_it(any_spec: ModelSpec, plan: ParallelPlan, precision: str) -> None:
    types = precision_plan(any_spec, precision)
    whole = weights_bytes(any_spec, ONE, types)
    rank = weights_bytes(any_spec, plan, types)
    assert rank < whole
    assert rank * plan.chips >= whole * (1 - 1e-9)


def test_activations_grow_with_the_chunk_and_shrink_with_ranks(any_spec: ModelSpec) -> None:
    sizes = [activation_bytes(any_spec, ONE, BF16, tokens) for tokens in (0, 1, 1024, 2048, 16384)]
    assert sizes[0] == 0.0
    assert sizes == sorted(sizes)
    assert activation_bytes(any_spec, ParallelPlan(tp=4, moe_tp=4), BF16, 16384) <= sizes[-1]
    assert activation_bytes(any_spec, ONE, BF16, 16384, logit_rows=1) <= sizes[-1]
