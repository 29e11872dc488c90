"""The operators of a step against numbers derived by hand from published configurations."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from windtunnel.catalog.model import ModelSpec
from windtunnel.errors import InvalidInputError, UnsupportedError
from windtunnel.workload.llm import ParallelPlan, PrecisionPlan, StepTokens, Workload, step_ops
from windtunnel.workload.ops import Attention, Collective, Gemm, MoE, Op

ONE, BF16 = ParallelPlan(), PrecisionPlan()
FP8 = PrecisionPlan("fp8", "fp8", "fp8", "fp8", dispatch="fp8")


def named(ops: Iterable[Op]) -> dict[str, Op]:
    return {op.name: op for op in ops}


def flops(ops: Iterable[Op]) -> float:
    return sum(op.flops * op.count for op in ops)


def products(ops: Iterable[Op]) -> list[Op]:
    return [op for op in ops if isinstance(op, Gemm | MoE)]


def test_llama_8b_decode_by_hand(llama: ModelSpec) -> None:
    """64 sequences at 4096 tokens: two FLOPs a weight and token, 2 x 2 x 128 x 32 heads a key."""
    ops = step_ops(llama, ONE, BF16, StepTokens(64, 4096))
    layer = 4096 * (4096 + 2 * 1024) + 4096 * 4096 + 3 * 4096 * 14336
    weights = 32 * layer + 4096 * 128256
    assert flops(products(ops)) == 2 * 64 * weights
    attention = named(ops)["attn_decode"]
    assert attention.flops * attention.count == 64 * 4096 * 32 * 4 * 128 * 32
    # K and V of 8 heads of 128 in 16 bit: 128 KiB a token over 32 layers; queries and outputs beside
    kv = 64 * 4096 * 131072
    assert attention.bytes * attention.count == kv + 32 * 64 * 2 * 2 * 4096
    assert sum(op.count * op.k * op.n * 2 for op in ops if isinstance(op, Gemm)) == 2 * weights
    assert not [op for op in ops if isinstance(op, Collective)]


def test_llama_8b_prefill_by_hand(llama: ModelSpec) -> None:
    """Two prompts of 1024: causal attention sees half; logits only of the last tokens."""
    ops = named(step_ops(llama, ONE, BF16, StepTokens(prefill_tokens=2048, prefill_sequences=2)))
    assert ops["qkv_proj"].flops == 2 * 2048 * 4096 * 6144
    assert ops["attn_prefill"].flops == 2 * (1024 * 1025 / 2) * 32 * 4 * 128
    assert ops["lm_head"].flops == 2 * 2 * 4096 * 128256
    assert "attn_decode" not in ops


def test_llama_8b_on_four_ranks_cuts_heads_and_widths_and_sums_twice_a_layer(llama: ModelSpec) -> None:
    ops = named(step_ops(llama, ParallelPlan(tp=4), BF16, StepTokens(64, 4096)))
    qkv, down = ops["qkv_proj"], ops["ffn_down"]
    assert isinstance(qkv, Gemm)
    assert isinstance(down, Gemm)
    assert (qkv.n, down.k) == (6144 / 4, 14336 / 4)
    for name in ("attn_all_reduce", "ffn_all_reduce"):
        op = ops[name]
        assert isinstance(op, Collective)
        assert (op.kind, op.bytes, op.ranks, op.count) == ("all_reduce", 64 * 4096 * 2, 4, 32)


def test_key_value_heads_are_copied_beyond_their_number(llama: ModelSpec) -> None:
    """On 16 ranks each keeps one of 8 heads, so the projection's cut is less than 16."""
    ops = named(step_ops(llama, ParallelPlan(tp=16), BF16, StepTokens(64, 4096)))
    qkv, attention = ops["qkv_proj"], ops["attn_decode"]
    assert isinstance(qkv, Gemm)
    assert isinstance(attention, Attention)
    assert qkv.n == 4096 / 16 + 2 * 128
    assert (attention.q_heads, attention.kv_heads) == (2, 1)


def test_mixed_steps_share_their_products(llama: ModelSpec) -> None:
    """A chunk of 512 that follows 1024 cached tokens, beside 32 decodes: one product of 544 rows."""
    ops = named(step_ops(llama, ONE, BF16, StepTokens(32, 2000, 512, 1024, 1)))
    qkv, prefill, head = ops["qkv_proj"], ops["attn_prefill"], ops["lm_head"]
    assert isinstance(qkv, Gemm)
    assert isinstance(prefill, Attention)
    assert isinstance(head, Gemm)
    assert (qkv.m, prefill.q_len, prefill.kv_len, head.m) == (544, 512, 1536, 33)


def test_one_latent_attention_layer_by_hand(deepseek: ModelSpec) -> None:
    """DeepSeek-V3, 128 heads cut 8 ways, decode of 16 sequences at 8192 tokens."""
    ops = named(step_ops(deepseek, ParallelPlan(tp=8, moe_tp=8), FP8, StepTokens(16, 8192)))
    assert ops["qkv_a_proj"].flops == 2 * 16 * 7168 * (1536 + 512 + 64)  # whole on every rank
    assert ops["q_b_proj"].flops == 2 * 16 * 1536 * 16 * 192
    assert ops["absorb_q"].flops == 2 * 16 * 16 * 128 * 512
    assert ops["absorb_v"].flops == 2 * 16 * 16 * 512 * 128
    assert ops["o_proj"].flops == 2 * 16 * 16 * 128 * 7168
    core = ops["attn_decode"]
    assert core.family == "mla_decode"
    assert core.flops == 2 * 16 * 8192 * 16 * (576 + 512)
    # one fp8 latent of 576 a token, whatever the number of heads
    assert core.bytes == 16 * 8192 * 576 + 2 * 16 * 16 * (576 + 512)
    assert core.count == 61


def test_latent_attention_prefills_expanded(deepseek: ModelSpec) -> None:
    """A chunk of 1024 after 3072 cached tokens expands all 4096 latents."""
    ops = named(step_ops(deepseek, ParallelPlan(tp=8, moe_tp=8), FP8, StepTokens(0, 0, 1024, 3072, 1)))
    assert ops["kv_b_proj"].flops == 2 * 4096 * 512 * 16 * 256
    core = ops["attn_prefill"]
    assert core.family == "attention_prefill"
    assert core.flops == 2 * (1024 * 3072 + 1024 * 1025 / 2) * 16 * (192 + 128)
    assert "absorb_q" not in ops


def test_sparse_attention_prefills_absorbed_where_it_chooses(specs: dict[str, ModelSpec]) -> None:
    model = specs["deepseek-v3.2"]
    short = named(step_ops(model, ParallelPlan(tp=8, moe_tp=8), FP8, StepTokens(0, 0, 1024, 0, 1)))
    assert short["attn_prefill"].family == "attention_prefill"
    long = named(step_ops(model, ParallelPlan(tp=8, moe_tp=8), FP8, StepTokens(0, 0, 4096, 0, 1)))
    core, logits = long["attn_prefill"], long["index_logits_prefill"]
    assert core.family == "mla_prefill"
    seen = (2048 * 2049 / 2 + 2048 * 2048) / 4096
    assert core.flops == pytest.approx(2 * 4096 * seen * 16 * (576 + 512))
    # 64 index heads of 128 score all earlier keys, on every rank
    assert logits.flops == 2 * (4096 * 4097 / 2) * 64 * 128
    decode = named(step_ops(model, ParallelPlan(tp=8, moe_tp=8), FP8, StepTokens(4, 65536)))
    assert decode["attn_decode"].flops == 2 * 4 * 2048 * 16 * (576 + 512)
    assert decode["index_logits_decode"].flops == 2 * 4 * 65536 * 64 * 128


def test_one_mixture_layer_by_hand(deepseek: ModelSpec) -> None:
    """64 tokens on one rank of eight, experts cut as attention is."""
    ops = named(step_ops(deepseek, ParallelPlan(tp=8, moe_tp=8), FP8, StepTokens(64, 4096)))
    assert ops["router"].flops == 2 * 64 * 7168 * 256
    assert ops["shared_gate_up"].flops == 2 * 64 * 7168 * 2 * 2048 / 8
    experts = ops["experts"]
    assert isinstance(experts, MoE)
    assert experts.flops == 2 * 64 * 8 * 3 * 7168 * 2048 / 8
    reached = 256 * (1 - (1 - 8 / 256) ** 64)
    moved = 64 * 8 * (7168 * (1 + 2) + 4 * 2048 / 8 * 2)
    assert experts.bytes == pytest.approx(reached * 3 * 7168 * 2048 / 8 + moved)
    assert (experts.count, ops["ffn_gate_up"].count) == (58, 3)
    reduce = ops["moe_all_reduce"]
    assert isinstance(reduce, Collective)
    assert (reduce.bytes, reduce.ranks, reduce.count) == (64 * 7168 * 2, 8, 58)


def test_data_parallel_groups_send_tokens_to_experts(deepseek: ModelSpec) -> None:
    """EP32: a token goes once to each rank that holds one of its 8 experts, in fp8 there and 16 bit back."""
    ops = named(step_ops(deepseek, ParallelPlan(dp=32, moe_ep=32), FP8, StepTokens(128, 4096)))
    dispatch, combine, experts = ops["dispatch"], ops["combine"], ops["experts"]
    targets = 32 * (1 - (31 / 32) ** 8)
    assert isinstance(dispatch, Collective)
    assert isinstance(combine, Collective)
    assert isinstance(experts, MoE)
    assert (dispatch.kind, dispatch.ranks) == ("all_to_all", 32)
    assert dispatch.bytes == pytest.approx(128 * targets * 7168)
    assert combine.bytes == pytest.approx(2 * dispatch.bytes)
    assert (experts.tokens, experts.ep, experts.rank_tokens) == (128 * 32, 32, 128 * 8)
    assert "attn_all_reduce" not in ops


def test_groups_of_several_ranks_scatter_after_attention_and_gather_after_experts(deepseek: ModelSpec) -> None:
    ops = named(step_ops(deepseek, ParallelPlan(tp=4, dp=8, moe_ep=32), FP8, StepTokens(128, 4096)))
    router, scatter, gather, reduce = ops["router"], ops["attn_reduce_scatter"], ops["moe_all_gather_tp"], ops["attn_all_reduce"]
    assert isinstance(router, Gemm)
    assert router.m == 128 / 4
    assert (scatter.count, gather.count, reduce.count) == (58, 58, 3)
    dense = named(step_ops(deepseek, ParallelPlan(tp=4, dp=2, moe_tp=2, moe_ep=4), FP8, StepTokens(128, 4096)))
    assert {"moe_all_gather", "moe_reduce_scatter"} <= set(dense)
    gathered = dense["moe_all_gather"]
    assert isinstance(gathered, Collective)
    assert (gathered.bytes, gathered.ranks) == (2 * 128 * 7168, 8)


def test_sliding_windows_by_hand(gpt_oss: ModelSpec) -> None:
    """gpt-oss: every second layer sees 128 tokens; projections of both kinds are one operator of 36 layers."""
    ops = step_ops(gpt_oss, ONE, BF16, StepTokens(8, 8192))
    found = named(ops)
    full, window = found["attn_decode"], found["attn_decode_window"]
    assert full.flops == 8 * 8192 * 64 * 4 * 64
    assert window.flops == 8 * 128 * 64 * 4 * 64
    assert (full.count, window.count) == (18, 18)
    assert [op.count for op in ops if op.name == "qkv_proj"] == [36]
    prefill = named(step_ops(gpt_oss, ONE, BF16, StepTokens(0, 0, 4096, 0, 1)))["attn_prefill_window"]
    assert prefill.flops == (128 * 129 / 2 + (4096 - 128) * 128) * 64 * 4 * 64


def test_linear_layers_keep_a_state_instead_of_a_cache(specs: dict[str, ModelSpec]) -> None:
    ops = named(step_ops(specs["qwen3-next"], ONE, BF16, StepTokens(8, 8192)))
    linear, full, gate = ops["linear_attn_decode"], ops["attn_decode"], ops["qkv_proj"]
    assert isinstance(gate, Gemm)
    assert (linear.count, full.count) == (36, 12)
    assert linear.flops == 6 * 8 * 32 * 128 * 128
    assert gate.n == 2 * 16 * 256 + 2 * 2 * 256


def test_compressed_layers_see_a_window_and_entries(specs: dict[str, ModelSpec]) -> None:
    ops = named(step_ops(specs["deepseek-v4-like"], ONE, BF16, StepTokens(4, 65536)))
    sparse, heavy, window = ops["attn_decode_compressed4"], ops["attn_decode_compressed128"], ops["attn_decode_window"]
    for op, keys in ((sparse, 128 + 512), (heavy, 128 + 512), (window, 128)):
        assert op.flops == 2 * 4 * keys * 64 * (512 + 512)
        assert op.bytes == 4 * keys * 512 * 2 + 2 * 4 * 64 * 1024  # key and value are one vector
    assert ops["index_logits_decode"].flops == 2 * 4 * 65536 / 4 * 64 * 128


def test_quantised_inputs_cost_an_operator_each_and_the_head_stays_16_bit(llama: ModelSpec) -> None:
    plain = {op.name for op in step_ops(llama, ONE, BF16, StepTokens(8, 128))}
    ops = named(step_ops(llama, ONE, FP8, StepTokens(8, 128)))
    assert set(ops) - plain == {"attn_quant", "o_quant", "ffn_quant", "ffn_act_quant"}
    head = ops["lm_head"]
    assert isinstance(head, Gemm)
    assert head.dtype == "bf16"
    int8 = step_ops(llama, ONE, PrecisionPlan("w8a8_dynamic", "w8a8_dynamic", "w8a8_dynamic"), StepTokens(8, 128))
    assert {op.name for op in int8} == plain  # that type's products quantise on the way


def test_drafted_tokens_widen_the_step_and_run_the_extra_layer(deepseek: ModelSpec) -> None:
    ops = named(step_ops(deepseek, ParallelPlan(tp=8, moe_tp=8), FP8, StepTokens(16, 4096, decode_q=3)))
    qkv, core, draft, join, head = (
        ops["qkv_a_proj"],
        ops["attn_decode"],
        ops["mtp_experts"],
        ops["mtp_join_proj"],
        ops["mtp_lm_head"],
    )
    assert isinstance(qkv, Gemm)
    assert isinstance(core, Attention)
    assert (qkv.m, core.q_len, core.kv_len) == (48, 3, 4098)
    assert (draft.count, join.count, head.count) == (2, 2, 2)
    assert join.flops == 2 * 16 * 7168 * 2 * 7168


def test_models_without_a_draft_layer_refuse_to_draft(llama: ModelSpec) -> None:
    with pytest.raises(UnsupportedError, match="no multi-token-prediction layer"):
        step_ops(llama, ONE, BF16, StepTokens(16, 4096, decode_q=2))


def test_pipeline_stages_hold_their_share_and_send_on(llama: ModelSpec, deepseek: ModelSpec) -> None:
    ops = named(step_ops(llama, ParallelPlan(pp=3), BF16, StepTokens(16, 1024)))
    assert ops["qkv_proj"].count == pytest.approx(11)  # 32 layers in three: the fullest has 11
    send = ops["pp_send"]
    assert isinstance(send, Collective)
    assert (send.kind, send.bytes) == ("p2p", 16 * 4096 * 2)
    # the stages after the first have experts in every layer
    stage = named(step_ops(deepseek, ParallelPlan(tp=8, pp=4, moe_tp=8), FP8, StepTokens(16, 1024)))
    assert (stage["experts"].count, "ffn_down" in stage) == (16, False)
    inner = Workload(llama, ParallelPlan(pp=2), BF16).step(StepTokens(16, 1024), head=False)
    assert not {"embedding", "lm_head", "sampling"} & {op.name for op in inner}


@pytest.mark.parametrize(
    "tokens",
    [
        StepTokens(decode_batch=-1),
        StepTokens(decode_batch=float("nan")),
        StepTokens(prefill_tokens=float("inf")),
        StepTokens(4, 100, decode_q=-2.0),
        StepTokens(4, 100, decode_q=0.5),
    ],
)
def test_senseless_tokens_are_refused(llama: ModelSpec, tokens: StepTokens) -> None:
    with pytest.raises(InvalidInputError):
        step_ops(llama, ONE, BF16, tokens)


def test_no_tokens_no_work(any_spec: ModelSpec) -> None:
    assert step_ops(any_spec, ONE, BF16, StepTokens()) == []


def test_a_step_s_list_stays_short(any_spec: ModelSpec) -> None:
    ops = step_ops(any_spec, ParallelPlan(tp=2), FP8, StepTokens(16, 4096))
    assert len(ops) <= 60
    assert all(op.count > 0 for op in ops)


def test_products_pass_every_active_weight_once(any_spec: ModelSpec) -> None:
    """Absorbed latents too: their two products have the up-projection's weights between them. The short
    convolution is no product, and the embedding is looked up."""
    spec = any_spec
    ops = step_ops(spec, ONE, BF16, StepTokens(5, 300))
    looked_up = 0 if spec.tied_embeddings else spec.vocab * spec.hidden
    taps = sum(
        x.count
        * x.attention.conv_width
        * (2 * x.attention.q_heads * x.attention.qk_dim + x.attention.kv_heads * x.attention.v_dim)
        for x in spec.layers
        if x.attention is not None and x.attention.kind == "linear"
    )
    assert flops(products(ops)) == pytest.approx(2 * 5 * (spec.active_parameters - looked_up - taps), rel=1e-12)
