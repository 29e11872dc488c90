"""A ModelSpec from the config.json of a model, as serving engines read it.

An architecture that is known is read by its family's rules. One that is not, but whose fields are those of a plain
Llama-like model, is taken for one and says so in its notes; anything else is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from windtunnel.catalog.configs.families import ARCHITECTURES, DENSE, FAMILIES, ODD, PLAIN, Family
from windtunnel.catalog.configs.fields import MAX_CONTEXT, MAX_VOCAB, MAX_WIDTH, Fields
from windtunnel.catalog.configs.hybrid import Pairs
from windtunnel.catalog.configs.quantisation import Storage, cache_type, storage
from windtunnel.catalog.model import Layer, ModelSpec
from windtunnel.errors import UnsupportedError, nearest


def _family(config: Fields, text: Fields) -> tuple[str, Family, tuple[str, ...]]:
    """The architecture's name, its family and what is to be noted about the choice."""
    names = [name for name in config.items("architectures", 100) if isinstance(name, str)]
    architecture = names[0] if names else config.text("model_type")
    kinds = [ARCHITECTURES.get(name, "") for name in names]
    kinds += [config.text("model_type"), text.text("model_type"), text.text("model_type").removesuffix("_text")]
    for kind in kinds:
        if kind in FAMILIES:
            return architecture[:200] or kind, FAMILIES[kind], ()
    named = [name for name in text.values if isinstance(name, str) and text.values[name]]
    odd = next((name for name in named if any(word in name for word in ODD)), "")
    if odd or not all(text.has(field) for field in PLAIN):
        missing = next((field for field in PLAIN if not text.has(field)), "")
        if not architecture:
            text.fail(missing or "architectures", "missing; a language model's config.json names its architectures and sizes")
        close = nearest(architecture, [*ARCHITECTURES, *FAMILIES]) or ["LlamaForCausalLM"]
        why = f"has {odd}" if odd else f"lacks {missing}"
        raise UnsupportedError(
            f"{config.name('architectures')}: {architecture[:60]!r} is not supported and {why[:60]}, so it cannot be read as a "
            f"plain Llama-like model; nearest known: {close[0]}"
        )
    return architecture[:200] or "unnamed", DENSE, ("architecture not known: read as a dense Llama-like model by its fields",)


def _text_part(config: Fields) -> tuple[Fields, tuple[str, ...]]:
    """The fields of the language model: those of text_config where there is one, else the configuration's own."""
    for name in ("text_config", "llm_config", "language_config"):
        if config.has(name):
            return config.nested(name), (f"text part alone ({name}); encoders of images and sound are left out",)
    return config, ()


def _merged(pairs: Pairs) -> tuple[Layer, ...]:
    """Equal layers counted together, in the order of their first appearance."""
    return tuple(Layer(count, mixer, feed) for (mixer, feed), count in Counter(pairs).items())


def _storage(config: Fields, text: Fields, quantisation: Mapping[str, object] | None, pairs: Pairs) -> Storage:
    """The stored types, from quantization_config where the configuration has one, else from hf_quant_config.json."""
    shared = [feed for _, feed in pairs if feed is not None and (not feed.experts or feed.shared_intermediate)]
    layers = {
        "attention": sum(mixer is not None for mixer, _ in pairs),
        "experts": sum(feed is not None and feed.experts > 0 for _, feed in pairs),
        "rest": len(shared),
    }
    typed = text if any(text.has(field) for field in ("dtype", "torch_dtype", "expert_dtype")) else config
    beside = Fields({})
    if quantisation is not None:
        outer = Fields(quantisation, "hf_quant_config")
        beside = outer.nested("quantization") if outer.has("quantization") else outer
    for fields in (text, config):
        if fields.has("quantization_config"):
            stored = storage(fields.nested("quantization_config"), typed, layers)
            return replace(stored, kv=stored.kv or cache_type(beside))
    return storage(beside, typed, layers)


def spec_from_config(
    config: Mapping[str, object],
    *,
    id: str,  # noqa: A002  # the field of ModelSpec
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
    text = text.with_defaults(family.defaults)
    pairs = family.layers(text)
    stored = _storage(outer, text, quantisation, pairs)
    experts = any(feed is not None and feed.experts for _, feed in pairs)
    tied = text.flag("tie_word_embeddings", outer.flag("tie_word_embeddings", family.tied))
    more = [family.note] if family.note else []
    if text.whole("hidden_size_per_layer_input", low=0, default=0):
        more.append("embeddings per layer (hidden_size_per_layer_input) are left out")
    return ModelSpec(
        id=id,
        architecture=architecture,
        hidden=text.whole("hidden_size", high=MAX_WIDTH),
        vocab=text.whole("vocab_size", high=MAX_VOCAB),
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
        notes=(*notes, *chosen, *said, *more),
    )
