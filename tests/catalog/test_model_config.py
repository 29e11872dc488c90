"""What config.json files say, and what is refused: one line that names the field."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.catalog.configs.families import ARCHITECTURES, FAMILIES
from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.model_config import spec_from_config
from windtunnel.errors import InvalidInputError, UnsupportedError, WindtunnelError

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
}
MOE = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 512}


def read(**changes: object) -> ModelSpec:
    return spec_from_config({**LLAMA, **changes}, id="m", source="test")


def test_plain_model_is_read() -> None:
    spec = read()
    (layer,) = spec.layers
    assert layer.count == 32
    assert layer.attention is not None
    assert (layer.attention.q_heads, layer.attention.kv_heads, layer.attention.qk_dim) == (32, 8, 128)
    assert spec.cache_numbers_per_token == 32 * 2 * 8 * 128
    assert spec.precision == "bf16"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_size": "4096"}, "hidden_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"hidden_size": math.nan}, "hidden_size"),
        ({"hidden_size": math.inf}, "hidden_size"),
        ({"hidden_size": -1}, "hidden_size"),
        ({"hidden_size": 10**40}, "hidden_size"),
        ({"hidden_size": 4095}, "hidden_size"),
        ({"hidden_size": [4096]}, "hidden_size"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_key_value_heads": 5}, "num_key_value_heads"),
        ({"num_key_value_heads": 64}, "num_key_value_heads"),
        ({"vocab_size": 1.5}, "vocab_size"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
        ({"torch_dtype": "int3"}, "torch_dtype"),
        ({"layer_types": ["full_attention"] * 31}, "layer_types"),
        ({"layer_types": ["full_attention"] * 31 + ["sideways"]}, "layer_types[31]"),
        ({"layer_types": ["sliding_attention"] * 32}, "sliding_window"),
        ({"quantization_config": []}, "quantization_config"),
        ({"quantization_config": {"quant_method": "gptq", "bits": -4}}, "quantization_config.bits"),
        ({"text_config": 3}, "text_config"),
        ({"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"]}, "moe_intermediate_size"),
        ({"model_type": "mixtral", "architectures": [], "num_local_experts": 4, "num_experts_per_tok": 5}, "num_experts_per_tok"),
    ],
)
def test_what_will_not_do_is_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        read(**changes)
    assert error.value.field == field
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 330


def test_a_field_of_the_text_part_is_named_with_its_path() -> None:
    with pytest.raises(InvalidInputError, match=r"^text_config\.hidden_size: "):
        spec_from_config({"architectures": ["LlamaForCausalLM"], "text_config": {**LLAMA, "hidden_size": 0}}, id="m", source="t")


def test_an_unknown_architecture_with_plain_fields_is_read_and_says_so() -> None:
    spec = read(architectures=["BrandNewForCausalLM"], model_type="brand_new")
    assert any("not known" in note for note in spec.notes)
    assert spec.parameters == read().parameters


def test_an_unknown_architecture_with_odd_fields_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnsupportedError, match="nearest known: Qwen3MoeForCausalLM"):
        read(architectures=["Qwen9MoeForCausalLM"], model_type="qwen9_moe", **MOE)


def test_every_architecture_has_a_family() -> None:
    assert set(ARCHITECTURES.values()) <= set(FAMILIES)


@pytest.mark.parametrize(
    ("quantisation", "attention", "experts", "rest"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", "fp8", "fp8"),
        ({"quant_method": "gptq", "bits": 4}, "w4a16", "w4a16", "w4a16"),
        ({"quant_method": "awq", "bits": 4}, "w4a16", "w4a16", "w4a16"),
        ({"quant_method": "gptq", "bits": 8}, "int8", "int8", "int8"),
        ({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}, "bf16", "fp4", "bf16"),
        ({"quant_algo": "NVFP4", "exclude_modules": ["lm_head", "model.layers.*.self_attn*"]}, "bf16", "fp4", "fp4"),
        (
            {"quant_algo": "NVFP4", "exclude_modules": [f"model.layers.{i}.self_attn.q_proj" for i in range(4)]},
            "bf16",
            "fp4",
            "fp4",
        ),
        ({"quant_algo": "NVFP4", "exclude_modules": ["model.layers.0.self_attn.q_proj"]}, "fp4", "fp4", "fp4"),
        ({"quant_algo": "NVFP4", "exclude_modules": ["model.layers.3.mlp.gate", "*norm*"]}, "fp4", "fp4", "fp4"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}, "input_activations": None}},
                "ignore": ["re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up)_proj.*"],
            },
            "bf16",
            "w4a16",
            "bf16",
        ),
        (
            {"quant_algo": "MIXED_PRECISION", "quantized_layers": {"layers.0.mlp.experts.1.up_proj": {"quant_algo": "NVFP4"}}},
            "bf16",
            "fp4",
            "bf16",
        ),
    ],
)
def test_stored_types_of_the_parts(quantisation: dict[str, object], attention: str, experts: str, rest: str) -> None:
    moe = {"model_type": "glm4_moe", "architectures": [], "num_hidden_layers": 4, "n_shared_experts": 1, **MOE}
    spec = read(**moe, quantization_config=quantisation)
    assert (spec.precision_of("attention"), spec.precision_of("experts"), spec.precision_of("rest")) == (attention, experts, rest)


def test_a_hostile_pattern_is_never_run() -> None:
    began = time.process_time()
    evil = "re:" + "(a+)+" * 30 + "$" + "a" * 4000
    read(quantization_config={"quant_method": "fp8", "modules_to_not_convert": [evil, "re:(((("] * 100})
    assert time.process_time() - began < 1


def test_an_unknown_quantisation_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="quant_method"):
        read(quantization_config={"quant_method": "wishful"})
    with pytest.raises(UnsupportedError, match=r"nvfp5.*nearest known: nvfp4"):
        read(quantization_config={"quant_algo": "NVFP5"})


def test_sliding_layers_keep_no_more_than_their_window() -> None:
    spec = read(
        architectures=["GptOssForCausalLM"],
        model_type="gpt_oss",
        sliding_window=128,
        num_local_experts=4,
        num_experts_per_tok=2,
    )
    assert spec.cache_numbers_of(100_000) == 16 * 2048 * (100_000 + 128)
    assert spec.cache_numbers_of(100) == 32 * 2048 * 100


def test_compressed_attention_sees_the_window_and_the_entries() -> None:
    config = {
        "model_type": "deepseek_v4",
        "hidden_size": 512,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "head_dim": 64,
        "vocab_size": 1000,
        "sliding_window": 128,
        "index_topk": 256,
        "index_n_heads": 4,
        "index_head_dim": 32,
        "compress_ratios": [0, 4, 128, 0],
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
    }
    window, sparse, heavy = (layer.attention for layer in spec_from_config(config, id="m", source="t").layers)
    assert window is not None
    assert sparse is not None
    assert heavy is not None
    assert window.keys_seen(65_536) == 128
    assert sparse.keys_seen(65_536) == 128 + 256
    assert heavy.keys_seen(65_536) == 128 + 512
    assert sparse.cache_numbers_of(65_536) == 128 * 64 + 65_536 / 4 * (64 + 32)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
NUMBERS: st.SearchStrategy[object] = st.sampled_from(
    [0, 1, 2, 3, 4, 8, 64, 128, 1000, 4096, -1, 10**9, 10**30, 1.5, math.nan, True, None, "8", [], {}]
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4), max_leaves=20
)
NAMES = [
    *sorted({*LLAMA, *MOE} - {"model_type", "architectures"}),
    *("layer_types", "sliding_window", "head_dim", "quantization_config", "text_config", "linear_attn_config", "block_configs"),
    *("kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "index_topk", "compress_ratios"),
    *("hybrid_override_pattern", "layers_block_type", "moe_layer_freq", "first_k_dense_replace", "n_shared_experts"),
    *("mamba_num_heads", "n_groups", "ssm_state_size", "mamba_head_dim", "attention_chunk_size", "sparse_attention_config"),
    *("linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim", "o_groups", "dtype"),
    *("mlp_only_layers", "decoder_sparse_step", "hybrid_layer_pattern", "sliding_window_pattern", "num_nextn_predict_layers"),
]


def one_line(error: WindtunnelError) -> None:
    assert "\n" not in str(error)


def holds(config: Any) -> None:
    """A spec whose numbers can be asked for, or an expected error; nothing else."""
    try:
        spec = spec_from_config(config, id="m", source="test")
    except WindtunnelError as error:
        one_line(error)
    else:
        assert spec.parameters >= spec.active_parameters >= 0
        assert spec.n_layers > 0
        assert spec.cache_numbers_of(1000.0) >= 0


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_any_json_is_read_or_refused(config: Any) -> None:
    holds(config)


@given(
    st.sampled_from(sorted(FAMILIES)),
    st.booleans(),
    st.dictionaries(st.sampled_from(NAMES), NUMBERS | JSON, max_size=6),
)
@settings(max_examples=600, deadline=None)
def test_any_field_of_any_family_is_read_or_refused(family: str, full: bool, changes: dict[str, object]) -> None:
    base = {**LLAMA, "architectures": [], **(MOE if full else {})}
    holds({**base, "model_type": family, **changes})


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_any_quantisation_is_read_or_refused(quantisation: Any) -> None:
    holds({**LLAMA, "quantization_config": quantisation})


@given(
    st.dictionaries(st.sampled_from(["quant_method", "quant_algo", "bits", "ignore", "config_groups", "quantized_layers"]), JSON)
)
@settings(max_examples=200, deadline=None)
def test_any_field_of_a_quantisation_is_read_or_refused(quantisation: Any) -> None:
    holds({**LLAMA, "quantization_config": quantisation})
