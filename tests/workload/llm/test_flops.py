"""FLOPs against PyTorch's own counter, on small models of the real architectures run on the CPU (extra ``flops``).

The counter sees matrix products and convolutions and nothing else. Differences that follow from it, and are
taken into account below, on the side of the operators:

- eager attention multiplies the whole rectangle of queries and keys, masked or not; engines skip what is masked;
- Transformers keeps whole latents or expanded keys in its caches and multiplies them unabsorbed, so MLA's decode
  is compared with a product by product transcription of the absorbed form as well;
- in decode, the gated delta rule is written element by element, so it goes uncounted, and so do in prefill its
  two triangular solves;
- Qwen3-Next gates its shared expert with one more row of weights (h x 1), which no engine shows in its time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from windtunnel.catalog.model_config import spec_from_config
from windtunnel.workload.llm import ParallelPlan, PrecisionPlan, StepTokens, Workload
from windtunnel.workload.ops import Attention, Elementwise, Gemm, LinearAttention, Op

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
flop_counter = pytest.importorskip("torch.utils.flop_counter")

BATCH, PROMPT = 2, 128
HEADS = {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32}
MIXTURE = {"moe_intermediate_size": 64, "num_experts_per_tok": 2}
ROUTED = {**MIXTURE, "n_routed_experts": 8, "n_shared_experts": 1, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1}
LATENT = {
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "q_lora_rank": 48,
    "kv_lora_rank": 64,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {**HEADS},
    "qwen3": {**HEADS, "num_key_value_heads": 4},
    "qwen3_moe": {**HEADS, **MIXTURE, "num_experts": 8, "decoder_sparse_step": 1},
    "glm4_moe": {**HEADS, **ROUTED},
    "minimax_m2": {**HEADS, "num_local_experts": 8, "num_experts_per_tok": 2, "bos_token_id": 0, "eos_token_id": 1},
    "gpt_oss": {**HEADS, "num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": 32, "num_hidden_layers": 4},
    "deepseek_v3": {**LATENT, **ROUTED},
    "glm_moe_dsa": {**LATENT, **ROUTED, "n_group": 1, "index_topk": 256, "index_n_heads": 4, "index_head_dim": 32},
    "qwen3_next": {
        **HEADS,
        **MIXTURE,
        "num_experts": 8,
        "shared_expert_intermediate_size": 64,
        "num_hidden_layers": 4,
        "linear_num_key_heads": 4,
        "linear_num_value_heads": 8,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
    },
}
CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "glm4_moe": "Glm4MoeForCausalLM",
    "minimax_m2": "MiniMaxM2ForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "glm_moe_dsa": "GlmMoeDsaForCausalLM",
    "qwen3_next": "Qwen3NextForCausalLM",
}


class Small:
    """A model with random weights, its prefill and one decode step counted, and its operators."""

    def __init__(self, kind: str) -> None:
        if kind not in transformers.CONFIG_MAPPING:
            pytest.skip(f"transformers {transformers.__version__} has no {kind}")
        sizes = {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 3, "vocab_size": 512, **MODELS[kind]}
        config = transformers.CONFIG_MAPPING[kind](**sizes)
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(
            config, attn_implementation="eager", experts_implementation="eager"
        ).eval()
        ids = torch.randint(0, 512, (BATCH, PROMPT))
        with torch.no_grad():
            with flop_counter.FlopCounterMode(display=False) as prefill:
                out = model(ids, use_cache=True, logits_to_keep=1)
            with flop_counter.FlopCounterMode(display=False) as decode:
                model(ids[:, :1], past_key_values=out.past_key_values, use_cache=True)
        self.prefill, self.decode = float(prefill.get_total_flops()), float(decode.get_total_flops())
        self.spec = spec_from_config(
            {**config.to_dict(), "architectures": [CLASSES[kind]], "dtype": None}, id=kind, source="test"
        )
        self.weights = sum(p.numel() for name, p in model.named_parameters() if p.dim() > 1)
        workload = Workload(self.spec, ParallelPlan(), PrecisionPlan())
        self.prefill_ops = workload.step(StepTokens(prefill_tokens=BATCH * PROMPT, prefill_sequences=BATCH))
        self.decode_ops = workload.step(StepTokens(BATCH, PROMPT + 1))


_BUILT: dict[str, Small] = {}


def small(kind: str) -> Small:
    """Built once."""
    if kind not in _BUILT:
        _BUILT[kind] = Small(kind)
    return _BUILT[kind]


def rectangle(op: Op) -> float:
    """FLOPs of an operator where attention multiplies every query with every key that is kept."""
    if not isinstance(op, Attention):
        return op.flops * op.count
    keys = min(op.kv_len, op.window) if op.phase == "decode" and op.window else op.kv_len
    return 2 * op.batch * op.q_len * keys * op.q_heads * (op.qk_dim + op.v_dim) * op.count


def total(ops: Iterable[Op]) -> float:
    return sum(rectangle(op) for op in ops)


def expanded(ops: Iterable[Op], spec: Any) -> float:
    """FLOPs of a decode step whose MLA is done the long way: latents of the whole context made keys and values."""
    flops, latent = 0.0, spec.layers[0].attention
    for op in ops:
        if op.name in ("absorb_q", "absorb_v"):
            continue
        if isinstance(op, Attention) and op.mla:
            made = 2 * op.batch * op.kv_len * latent.kv_lora_rank * latent.q_heads * (latent.nope_dim + latent.v_dim)
            seen = 2 * op.batch * op.kv_len * latent.q_heads * (latent.qk_dim + latent.v_dim)
            flops += (made + seen) * op.count
        else:
            flops += rectangle(op)
    return flops


@pytest.mark.parametrize("kind", ["llama", "qwen3", "qwen3_moe", "glm4_moe", "minimax_m2", "gpt_oss"])
def test_models_of_grouped_attention_agree_exactly(kind: str) -> None:
    model = small(kind)
    assert total(model.prefill_ops) == model.prefill
    assert total(model.decode_ops) == model.decode


def test_latent_attention_agrees_exactly_where_both_expand() -> None:
    model = small("deepseek_v3")
    assert total(model.prefill_ops) == model.prefill
    assert expanded(model.decode_ops, model.spec) == model.decode


def test_sparse_attention_agrees_but_for_the_sum_over_index_heads() -> None:
    """All keys are chosen here (topk 256 of 128), so that both attend alike; the counter also sees the weighted
    sum of the index heads' scores, one multiply-add for each 32 of a score."""
    model = small("glm_moe_dsa")
    for ops, counted, ours in (
        (model.prefill_ops, model.prefill, total(model.prefill_ops)),
        (model.decode_ops, model.decode, expanded(model.decode_ops, model.spec)),
    ):
        logits = sum(rectangle(op) for op in ops if op.name.startswith("index_logits"))
        assert logits > 0
        assert ours + logits / 32 == counted


def test_linear_attention_agrees_but_for_what_the_counter_does_not_see() -> None:
    model = small("qwen3_next")
    spec = model.spec
    shared_gate = 2 * spec.hidden * spec.n_layers
    solves = sum(
        op.count * 2 * op.tokens * op.chunk * op.v_heads * (op.k_dim + op.v_dim)
        for op in model.prefill_ops
        if isinstance(op, LinearAttention)
    )
    assert total(model.prefill_ops) - solves + shared_gate * BATCH * PROMPT == pytest.approx(model.prefill, rel=1e-3)
    uncounted = sum(op.flops * op.count for op in model.decode_ops if isinstance(op, LinearAttention) or op.name == "linear_conv")
    convolutions = model.decode - (total(model.decode_ops) - uncounted + shared_gate * BATCH)
    # the counter takes the one-token convolution's padded outputs along
    taps = sum(op.flops * op.count for op in model.decode_ops if isinstance(op, Elementwise) and op.name == "linear_conv")
    assert 0 <= convolutions <= 4 * taps


def test_the_configuration_reader_and_the_model_agree_on_weights() -> None:
    for kind in ("llama", "qwen3_moe", "deepseek_v3", "gpt_oss"):
        model = small(kind)
        biases = 8 * (128 + 2 * 352) * 4 if kind == "gpt_oss" else 0  # experts' biases are two-dimensional there
        assert model.spec.parameters == model.weights - biases


def test_absorbed_latent_attention_agrees_with_its_transcription() -> None:
    """One layer's decode, product by product as DeepSeek-V2 (arXiv 2405.04434, section 2.1.2) absorbs it."""
    model = small("deepseek_v3")
    mla = model.spec.layers[0].attention
    assert mla is not None
    h, b, s, n = model.spec.hidden, BATCH, PROMPT + 1, mla.q_heads
    q_lora, lora, rope, nope, v = mla.q_lora_rank, mla.kv_lora_rank, mla.rope_dim, mla.nope_dim, mla.v_dim
    x, cache = torch.randn(b, h), torch.randn(b, s, lora + rope)
    down, up = torch.randn(h, q_lora + lora + rope), torch.randn(q_lora, n * (nope + rope))
    up_k, up_v, out = torch.randn(n, nope, lora), torch.randn(n, lora, v), torch.randn(n * v, h)
    with torch.no_grad(), flop_counter.FlopCounterMode(display=False) as counter:
        queries = ((x @ down)[:, :q_lora] @ up).view(b, n, nope + rope)
        absorbed = torch.bmm(queries[..., :nope].transpose(0, 1), up_k).transpose(0, 1)
        scores = torch.bmm(torch.cat([absorbed, queries[..., nope:]], -1), cache.transpose(1, 2))
        mixed = torch.bmm(scores.softmax(-1), cache[..., :lora])
        _ = torch.bmm(mixed.transpose(0, 1), up_v).transpose(0, 1).reshape(b, n * v) @ out
    names = ("qkv_a_proj", "q_b_proj", "absorb_q", "attn_decode", "absorb_v", "o_proj")
    layer = [op for op in model.decode_ops if op.name in names]
    assert len(layer) == len(names)
    assert sum(op.flops for op in layer) == counter.get_total_flops()


def test_compressed_attention_agrees() -> None:
    """DeepSeek-V4's attention modules alone: its hyper-connections are not among the operators."""
    if "deepseek_v4" not in transformers.CONFIG_MAPPING:
        pytest.skip("this transformers has no deepseek_v4")
    sizes = {
        "hidden_size": 128, "moe_intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 8, "head_dim": 32,
        "q_lora_rank": 48, "num_experts_per_tok": 2, "n_routed_experts": 8, "o_groups": 4, "o_lora_rank": 24, "vocab_size": 512,
        "index_n_heads": 4, "index_head_dim": 32, "index_topk": 64, "sliding_window": 256, "partial_rotary_factor": 0.5,
        "layer_types": ["sliding_attention", "heavily_compressed_attention"] + 2 * ["compressed_sparse_attention"],
        "mlp_layer_types": ["moe"] * 4,
    }  # fmt: skip
    config = transformers.CONFIG_MAPPING["deepseek_v4"](**sizes)
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation="eager", experts_implementation="eager"
    ).eval()
    with torch.no_grad(), flop_counter.FlopCounterMode(display=False) as counter:
        model(torch.randint(0, 512, (BATCH, PROMPT)), use_cache=True, logits_to_keep=1)
    modules = counter.get_flop_counts()
    counted = sum(sum(modules[f"DeepseekV4ForCausalLM.model.layers.{i}.self_attn"].values()) for i in range(4))
    fields = {**config.to_dict(), "architectures": ["DeepseekV4ForCausalLM"], "compress_ratios": [0, 128, 4, 4]}
    spec = spec_from_config({**fields, "qk_rope_head_dim": 16, "dtype": None}, id="v4", source="test")
    ops = Workload(spec, ParallelPlan(), PrecisionPlan()).step(StepTokens(prefill_tokens=BATCH * PROMPT, prefill_sequences=BATCH))
    ours = 0.0
    for op in ops:
        if isinstance(op, Attention):
            # the window is wider than the prompt, and all entries are chosen; an index score is summed over its heads
            keys = (0 if op.name.startswith("index") else PROMPT) + (PROMPT / op.compress if op.compress else 0)
            flops = 2 * op.batch * op.q_len * keys * op.q_heads * (op.qk_dim + op.v_dim) * op.count
            ours += flops
        elif isinstance(op, Gemm) and op.name not in ("router", "lm_head", "shared_gate_up", "shared_down"):
            ours += op.flops * op.count
    assert ours == counted
