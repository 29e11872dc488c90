"""A ModelSpec from the config.json of a model, as serving engines read it.

An architecture that is known is read by its family's rules. One that is not, but whose fields are those of a plain
Llama-like model, is taken for one and says so in its notes; anything else is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from windtunnel.catalog.configs import attention, ffn, hybrid
from windtunnel.catalog.configs.fields import MAX_CONTEXT, MAX_LAYERS, MAX_VOCAB, MAX_WIDTH, Fields
from windtunnel.catalog.configs.quantisation import Storage, storage
from windtunnel.catalog.model import Layer, ModelSpec
from windtunnel.errors import UnsupportedError, nearest


@dataclass(frozen=True, slots=True)
class Family:
    """How a family of models writes its layers: mixers and feed-forwards apart, or listed together."""

    mixers: Callable[[Fields, int], attention.Mixers] | None
    ffns: Callable[[Fields, int], ffn.Ffns] | None
    listed: Callable[[Fields], hybrid.Pairs] | None = None
    tied: bool = False
    note: str = ""


_DENSE = Family(attention.grouped, ffn.dense)
_TIED = Family(attention.grouped, ffn.dense, tied=True)
_MIXTRAL = Family(attention.grouped, ffn.all_experts)
_QWEN_MOE = Family(attention.grouped, ffn.qwen)
_DEEPSEEK = Family(attention.latent, ffn.deepseek)
_GLM_MOE = Family(attention.grouped, ffn.deepseek)

_CHUNKS = "attention in chunks of attention_chunk_size is priced as a sliding window of that size"
_V4 = (
    "compressed attention is approximated: the window's keys and the compressed entries are counted, the residual streams "
    "(hc_mult) and the compressor's state are not"
)
_K3 = "attention over earlier layers' residuals (attn_res_block_size) is left out"

FAMILIES: dict[str, Family] = {
    **dict.fromkeys(("llama", "mistral", "ministral", "ministral3", "qwen2", "qwen3", "mimo", "seed_oss"), _DENSE),
    **dict.fromkeys(("phi3", "internlm3", "olmo2", "olmo3", "glm4", "exaone4", "hunyuan_v1_dense", "granite"), _DENSE),
    **dict.fromkeys(("qwen2_5_vl", "qwen2_vl", "qwen3_vl", "mistral3", "smollm3", "ernie4_5", "cohere2"), _DENSE),
    **dict.fromkeys(("gemma", "gemma2", "gemma3", "gemma3_text"), _TIED),
    **dict.fromkeys(("mixtral", "minimax_m2", "gpt_oss", "phimoe"), _MIXTRAL),
    **dict.fromkeys(("qwen2_moe", "qwen3_moe", "qwen3_vl_moe", "olmoe", "pangu_pro_moe"), _QWEN_MOE),
    **dict.fromkeys(("qwen3_next", "qwen3_5_moe"), Family(attention.hybrid, ffn.qwen)),
    "qwen3_5": Family(attention.hybrid, ffn.dense),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "kimi_k25", "glm_moe_dsa"), _DEEPSEEK),
    **dict.fromkeys(("deepseek_v4", "deepseek_ref"), Family(attention.compressed, ffn.deepseek, note=_V4)),
    "kimi_linear": Family(attention.latent_and_delta, ffn.deepseek),
    "kimi_k3": Family(attention.latent_and_delta, ffn.deepseek, note=_K3),
    **dict.fromkeys(("glm4_moe", "glm4v_moe", "ernie4_5_moe", "dots1", "step3p7"), _GLM_MOE),
    "minimax_m3": Family(attention.block_sparse, ffn.deepseek),
    "mimo_v2_flash": Family(attention.mimo, ffn.deepseek),
    "llama4": Family(attention.chunked, ffn.llama4, note=_CHUNKS),
    "gemma4": Family(attention.gemma4, ffn.gemma4, tied=True),
    "nemotron_h": Family(None, None, hybrid.nemotron_h),
    "nemotron-nas": Family(None, None, hybrid.searched_llama),
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


def _family(config: Fields, text: Fields) -> tuple[str, Family, tuple[str, ...]]:
    """The architecture's name, its family and what is to be noted about the choice."""
    names = [name for name in config.items("architectures", 100) if isinstance(name, str)]
    architecture = names[0] if names else config.text("model_type")
    kinds = [ARCHITECTURES.get(name, "") for name in names]
    kinds += [config.text("model_type"), text.text("model_type"), text.text("model_type").removesuffix("_text")]
    for kind in kinds:
        if kind in FAMILIES:
            return architecture[:200] or kind, FAMILIES[kind], ()
    odd = next((name for name in text.values if isinstance(name, str) and any(word in name for word in ODD) and text.has(name)), "")
    if odd or not all(text.has(field) for field in PLAIN):
        missing = next((field for field in PLAIN if not text.has(field)), "")
        if not architecture:
            text.fail(missing or "architectures", "missing; a config.json of a language model names its architectures and its sizes")
        close = nearest(architecture, [*ARCHITECTURES, *FAMILIES]) or ["LlamaForCausalLM"]
        why = f"has {odd}" if odd else f"lacks {missing}"
        raise UnsupportedError(
            f"{config.name('architectures')}: {architecture[:60]!r} is not supported and {text.name(why)[:60]}, so it cannot be read "
            f"as a plain Llama-like model; nearest known: {close[0]}"
        )
    return architecture[:200] or "unnamed", _DENSE, ("architecture not known: read as a dense Llama-like model by its fields",)


def _text_part(config: Fields) -> tuple[Fields, tuple[str, ...]]:
    """The fields of the language model: those of text_config where there is one, else the configuration's own."""
    for name in ("text_config", "llm_config", "language_config"):
        if config.has(name):
            return config.nested(name), (f"text part alone ({name}); encoders of images and sound are left out",)
    return config, ()


def _merged(pairs: hybrid.Pairs) -> tuple[Layer, ...]:
    """Equal layers counted together, in the order of their first appearance."""
    return tuple(Layer(count, mixer, feed) for (mixer, feed), count in Counter(pairs).items())


def _storage(config: Fields, text: Fields, quantisation: Mapping[str, object] | None, n_layers: int) -> Storage:
    """The stored types, from hf_quant_config.json where it is given, else from quantization_config."""
    if quantisation is not None:
        outer = Fields(quantisation, "hf_quant_config")
        return storage(outer.nested("quantization") if outer.has("quantization") else outer, _typed(config, text), n_layers)
    for fields in (text, config):
        if fields.has("quantization_config"):
            return storage(fields.nested("quantization_config"), _typed(config, text), n_layers)
    return storage(Fields({}), _typed(config, text), n_layers)


def _typed(config: Fields, text: Fields) -> Fields:
    """Whichever of the two states a dtype."""
    return text if text.has("dtype") or text.has("torch_dtype") or text.has("expert_dtype") else config


def spec_from_config(
    config: Mapping[str, object],
    *,
    id: str,
    source: str,
    quantisation: Mapping[str, object] | None = None,
    aliases: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> ModelSpec:
    """The model that a config.json describes.

    config: its content; quantisation: the content of hf_quant_config.json, where the model has one.
    Raises InvalidInputError naming the field that is missing, malformed or contradicts another, and
    UnsupportedError for an architecture or a quantisation that is not known.
    """
    outer = Fields(config)
    if outer.has("config") and not outer.has("hidden_size"):
        outer.fail("config", "a nested config is not a config.json; give its inner object")
    text, said = _text_part(outer)
    architecture, family, chosen = _family(outer, text)
    if family.listed is not None:
        pairs = family.listed(text)
    else:
        assert family.mixers is not None and family.ffns is not None
        n = text.whole("num_hidden_layers", high=MAX_LAYERS)
        pairs = list(zip(family.mixers(text, n), family.ffns(text, n), strict=True))
    stored = _storage(outer, text, quantisation, len(pairs))
    experts = any(feed is not None and feed.experts for _, feed in pairs)
    tied = text.flag("tie_word_embeddings", outer.flag("tie_word_embeddings", family.tied))
    more = [family.note] if family.note else []
    if text.whole("hidden_size_per_layer_input", low=0, default=0):
        more.append("embeddings per layer (hidden_size_per_layer_input) are left out")
    return ModelSpec(
        id=id,
        architecture=architecture,
        hidden=text.whole("hidden_size", high=MAX_WIDTH),
        vocab=text.whole("vocab_size", high=MAX_VOCAB, default=_default_vocab(text, family)),
        layers=_merged(pairs),
        precision=stored.rest,
        attention_precision=stored.attention if stored.attention != stored.rest else "",
        expert_precision=stored.experts if experts and stored.experts != stored.rest else "",
        kv_precision=stored.kv,
        source=source,
        tied_embeddings=tied,
        max_context=text.whole("max_position_embeddings", "model_max_length", low=0, high=MAX_CONTEXT, default=0),
        mtp_layers=text.whole("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers", low=0, high=1000, default=0),
        aliases=aliases,
        notes=(*notes, *chosen, *said, *more, *stored.notes),
    )


def _default_vocab(text: Fields, family: Family) -> int | None:
    """The vocabulary that Gemma 3's configurations leave out, as the configuration class has it."""
    return 262_208 if family is _TIED and text.text("model_type").startswith("gemma3") else None
