"""Which rules read which model: by model_type, or by the name of its class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from windtunnel.catalog.configs import attention, ffn, hybrid
from windtunnel.catalog.configs.fields import MAX_LAYERS, Fields


@dataclass(frozen=True, slots=True)
class Family:
    """How a family of models writes its layers, as pairs of a mixer and a feed-forward.

    tied: whether the output head is the embedding where the configuration does not say; defaults: values of the
    configuration class that config.json files of the family leave out.
    """

    layers: Callable[[Fields], hybrid.Pairs]
    tied: bool = False
    note: str = ""
    defaults: Mapping[str, object] = field(default_factory=dict)


def _apart(
    mixers: Callable[[Fields, int], attention.Mixers], ffns: Callable[[Fields, int], ffn.Ffns]
) -> Callable[[Fields], hybrid.Pairs]:
    """The layers of a model whose configuration speaks of mixers and of feed-forwards apart."""

    def layers(fields: Fields) -> hybrid.Pairs:
        n = fields.whole("num_hidden_layers", high=MAX_LAYERS)
        return list(zip(mixers(fields, n), ffns(fields, n), strict=True))

    return layers


DENSE = Family(_apart(attention.grouped, ffn.dense))
_UNGATED = Family(_apart(attention.grouped, ffn.ungated))
_GEMMA2 = Family(_apart(attention.grouped, ffn.dense), tied=True, defaults={"sliding_window_pattern": 2})
_GEMMA3 = Family(
    _apart(attention.grouped, ffn.dense),
    tied=True,
    defaults={
        "vocab_size": 262_208,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
        "max_position_embeddings": 131_072,
    },
)
_EVERY_FOURTH = Family(_apart(attention.grouped, ffn.dense), defaults={"sliding_window_pattern": 4})
_MIXTRAL = Family(_apart(attention.grouped, ffn.all_experts))
_QWEN_MOE = Family(_apart(attention.grouped, ffn.qwen))
_DEEPSEEK = Family(_apart(attention.latent, ffn.deepseek))
_GLM_MOE = Family(_apart(attention.grouped, ffn.deepseek))

_CHUNKS = "attention in chunks of attention_chunk_size is priced as a sliding window of that size"
_V4 = (
    "compressed attention is approximated: the window's keys and the compressed entries are counted, the residual streams "
    "(hc_mult) and the compressor's state are not"
)
_K3 = "attention over earlier layers' residuals (attn_res_block_size) is left out"

FAMILIES: dict[str, Family] = {
    **dict.fromkeys(("llama", "mistral", "ministral", "ministral3", "qwen2", "qwen3", "mimo", "seed_oss"), DENSE),
    **dict.fromkeys(("phi3", "internlm3", "olmo2", "glm4", "hunyuan_v1_dense", "granite", "smollm3", "ernie4_5"), DENSE),
    **dict.fromkeys(("qwen2_5_vl", "qwen2_vl", "qwen3_vl", "mistral3"), DENSE),
    **dict.fromkeys(("olmo3", "exaone4", "cohere2"), _EVERY_FOURTH),
    **dict.fromkeys(("nemotron", "starcoder2"), _UNGATED),
    "gemma": Family(_apart(attention.grouped, ffn.dense), tied=True),
    "gemma2": _GEMMA2,
    **dict.fromkeys(("gemma3", "gemma3_text"), _GEMMA3),
    **dict.fromkeys(("mixtral", "minimax_m2", "phimoe"), _MIXTRAL),
    "gpt_oss": Family(_apart(attention.grouped, ffn.all_experts), defaults={"sliding_window_pattern": 2}),
    **dict.fromkeys(("qwen2_moe", "qwen3_moe", "qwen3_vl_moe", "pangu_pro_moe", "PanguProMoE"), _QWEN_MOE),
    **dict.fromkeys(("qwen3_next", "qwen3_5_moe"), Family(_apart(attention.hybrid, ffn.qwen))),
    "qwen3_5": Family(_apart(attention.hybrid, ffn.dense)),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "kimi_k25"), _DEEPSEEK),
    **dict.fromkeys(("glm_moe_dsa", "glm4_moe_lite", "mistral4"), _DEEPSEEK),
    **dict.fromkeys(("deepseek_v4", "deepseek_ref"), Family(_apart(attention.compressed, ffn.deepseek), note=_V4)),
    "kimi_linear": Family(_apart(attention.latent_and_delta, ffn.deepseek)),
    "kimi_k3": Family(_apart(attention.latent_and_delta, ffn.deepseek), note=_K3),
    **dict.fromkeys(("glm4_moe", "glm4v_moe", "dots1", "hy_v3", "solar_open"), _GLM_MOE),
    "ernie4_5_moe": Family(_apart(attention.grouped, ffn.deepseek), tied=True),
    "exaone_moe": Family(_apart(attention.grouped, ffn.deepseek), defaults={"sliding_window_pattern": 4}),
    "step3p7": Family(_apart(attention.step, ffn.deepseek)),
    **dict.fromkeys(("minimax_m3", "minimax_m3_vl"), Family(_apart(attention.block_sparse, ffn.deepseek))),
    "mimo_v2_flash": Family(_apart(attention.mimo, ffn.deepseek)),
    "llama4": Family(_apart(attention.chunked, ffn.llama4), note=_CHUNKS),
    "gemma4": Family(_apart(attention.gemma4, ffn.gemma4), tied=True),
    "nemotron_h": Family(hybrid.nemotron_h),
    "nemotron-nas": Family(hybrid.searched_llama),
}
ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "mistral",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "MixtralForCausalLM": "mixtral",
    "Qwen2MoeForCausalLM": "qwen2_moe",
    "Qwen3MoeForCausalLM": "qwen3_moe",
    "Qwen3NextForCausalLM": "qwen3_next",
    "Qwen3_5ForConditionalGeneration": "qwen3_5",
    "Qwen3_5MoeForConditionalGeneration": "qwen3_5_moe",
    "DeepseekV2ForCausalLM": "deepseek_v2",
    "DeepseekV3ForCausalLM": "deepseek_v3",
    "DeepseekV32ForCausalLM": "deepseek_v32",
    "DeepseekV4ForCausalLM": "deepseek_v4",
    "KimiK25ForConditionalGeneration": "kimi_k25",
    "KimiK3ForConditionalGeneration": "kimi_k3",
    "KimiLinearForCausalLM": "kimi_linear",
    "GlmMoeDsaForCausalLM": "glm_moe_dsa",
    "Glm4MoeForCausalLM": "glm4_moe",
    "MiniMaxM2ForCausalLM": "minimax_m2",
    "MiniMaxM3ForCausalLM": "minimax_m3",
    "MiniMaxM3VLForConditionalGeneration": "minimax_m3",
    "MiniMaxM3SparseForConditionalGeneration": "minimax_m3",
    "GptOssForCausalLM": "gpt_oss",
    "Llama4ForConditionalGeneration": "llama4",
    "Gemma3ForConditionalGeneration": "gemma3",
    "Gemma4ForConditionalGeneration": "gemma4",
    "NemotronHForCausalLM": "nemotron_h",
    "DeciLMForCausalLM": "nemotron-nas",
    "MiMoV2FlashForCausalLM": "mimo_v2_flash",
    "Step3p7FlashForCausalLM": "step3p7",
    "PanguProMoEForCausalLM": "pangu_pro_moe",
    "PanguProMoEV2ForCausalLM": "pangu_pro_moe",
}
PLAIN = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
# fields that say that a model of an unknown architecture is not a plain one
ODD = ("expert", "moe", "lora", "ssm", "mamba", "linear_", "index_", "compress", "recurrent", "hybrid", "block_configs", "n_embd")
