"""The token mixers of a configuration, one a layer: grouped, latent, sliding, linear, sparse and compressed attention.

Each function takes the fields and the number of layers, and gives one AttentionSpec (or None) a layer.
**Source:** the field names are those of the models' published config.json files and of the configuration classes
of Hugging Face transformers 5.23.
"""

from __future__ import annotations

from dataclasses import replace

from windtunnel.catalog.configs.fields import MAX_HEADS, MAX_LAYERS, MAX_WIDTH, Fields
from windtunnel.catalog.model import AttentionSpec

Mixers = list[AttentionSpec | None]

FULL, SLIDING, LINEAR, CHUNKED = "full", "sliding", "linear", "chunked"
LAYER_TYPES = {
    "full_attention": FULL,
    "attention": FULL,
    "sliding_attention": SLIDING,
    "linear_attention": LINEAR,
    "chunked_attention": CHUNKED,
    "minimax_m3_sparse": "sparse",
    "deepseek_sparse_attention": FULL,
}
WHOLE_CONTEXT = 2**62


def heads(fields: Fields, q_field: str = "num_attention_heads", kv_field: str = "num_key_value_heads") -> tuple[int, int]:
    """Query heads and the key/value heads that they share, which must divide them."""
    q = fields.whole(q_field, high=MAX_HEADS)
    kv = fields.whole(kv_field, high=MAX_HEADS, default=q)
    if q % kv:
        fields.fail(kv_field, f"{kv} heads cannot be shared by {q} query heads ({q_field}); a divisor of {q} is needed")
    return q, kv


def head_width(fields: Fields, q_heads: int) -> int:
    """The width of a head: stated, or the hidden size cut by the query heads."""
    field = fields.first("head_dim", "attention_head_dim")
    if fields.has(field):
        return fields.whole(field)
    hidden = fields.whole("hidden_size")
    if hidden % q_heads:
        fields.fail("hidden_size", f"{hidden} cannot be cut into {q_heads} heads (num_attention_heads); head_dim is needed")
    return hidden // q_heads


def sliding_layers(fields: Fields, n: int) -> list[str]:
    """Which kind of attention each layer has, from layer_types or from the older ways to say it."""
    named = fields.layer_names("layer_types", n, LAYER_TYPES)
    if named:
        return named
    if fields.has("sliding_window_pattern") and fields.has("sliding_window"):
        letters = fields.values["sliding_window_pattern"]
        if isinstance(letters, str) and 0 < len(letters) <= MAX_LAYERS and set(letters) <= {"L", "G"}:  # local and global
            return [FULL if letters[i % len(letters)] == "G" else SLIDING for i in range(n)]
        every = fields.whole("sliding_window_pattern", high=MAX_LAYERS)
        return [FULL if (i + 1) % every == 0 else SLIDING for i in range(n)]
    if fields.has("full_attention_interval"):
        every = fields.whole("full_attention_interval", high=MAX_LAYERS)
        return [FULL if (i + 1) % every == 0 else LINEAR for i in range(n)]
    always = fields.text("model_type") in ("mistral", "mixtral", "phi3")
    if fields.has("sliding_window") and fields.flag("use_sliding_window", always):
        # in Qwen2 and Qwen3 only the layers from max_window_layers on slide
        first = fields.whole("max_window_layers", low=0, high=MAX_LAYERS, default=0)
        return [SLIDING if i >= first else FULL for i in range(n)]
    return [FULL] * n


def window_of(fields: Fields) -> int:
    """Tokens of the sliding window."""
    return fields.whole("sliding_window", "sliding_window_size", high=WHOLE_CONTEXT)


def grouped(fields: Fields, n: int) -> Mixers:
    """Grouped-query attention, full or sliding, as in Llama, Mistral, Qwen, GLM-4.5, MiniMax-M2, gpt-oss, Gemma 2 and 3."""
    q, kv = heads(fields)
    width = head_width(fields, q)
    full = AttentionSpec("gqa", q, kv, width, fields.whole("v_head_dim", default=width), gated=fields.flag("attn_output_gate"))
    kinds = sliding_layers(fields, n)
    if not set(kinds) <= {FULL, SLIDING}:
        fields.fail("layer_types", "this architecture has only full_attention and sliding_attention")
    sliding = replace(full, window=window_of(fields)) if SLIDING in kinds else full
    return [sliding if kind == SLIDING else full for kind in kinds]


def hybrid(fields: Fields, n: int) -> Mixers:
    """Gated delta rule mixed with gated full attention, as in Qwen3-Next and Qwen3.5: every fourth layer is full."""
    q, kv = heads(fields)
    width = head_width(fields, q)
    full = AttentionSpec("gqa", q, kv, width, width, gated=fields.flag("attn_output_gate", True))
    keys, values = heads(fields, "linear_num_value_heads", "linear_num_key_heads")[::-1]
    linear = AttentionSpec(
        "linear",
        keys,
        values,
        fields.whole("linear_key_head_dim"),
        fields.whole("linear_value_head_dim"),
        conv_width=fields.whole("linear_conv_kernel_dim", high=1024, default=4),
    )
    kinds = fields.layer_names("layer_types", n, LAYER_TYPES)
    if not kinds:
        every = fields.whole("full_attention_interval", high=MAX_LAYERS, default=4)
        kinds = [FULL if (i + 1) % every == 0 else LINEAR for i in range(n)]
    if not set(kinds) <= {FULL, LINEAR}:
        fields.fail("layer_types", "this architecture has only full_attention and linear_attention")
    return [linear if kind == LINEAR else full for kind in kinds]


def latent_spec(fields: Fields) -> AttentionSpec:
    """One layer of multi-head latent attention."""
    q = fields.whole("num_attention_heads", high=MAX_HEADS)
    nope, rope = fields.whole("qk_nope_head_dim"), fields.whole("qk_rope_head_dim", low=0)
    return AttentionSpec(
        "mla",
        q,
        q,
        nope + rope,
        fields.whole("v_head_dim", default=nope),
        q_lora_rank=fields.whole("q_lora_rank", low=0, default=0),
        kv_lora_rank=fields.whole("kv_lora_rank"),
        nope_dim=nope,
        rope_dim=rope,
        gated=fields.flag("mla_use_output_gate"),
    )


def latent(fields: Fields, n: int) -> Mixers:
    """Multi-head latent attention, with DeepSeek's sparse selection where index_topk is given.

    GLM-5.2 and later compute the selection in some layers ("full" in indexer_types) and use it again in those
    that follow ("shared").
    """
    spec = latent_spec(fields)
    if not fields.has("index_topk"):
        return [spec] * n
    chosen = replace(spec, topk=fields.whole("index_topk", high=WHOLE_CONTEXT))
    index_heads, index_dim = fields.whole("index_n_heads", high=MAX_HEADS), fields.whole("index_head_dim")
    indexing = replace(chosen, index_heads=index_heads, index_dim=index_dim)
    types = fields.layer_names("indexer_types", n, {"full": "full", "shared": "shared"})
    return [chosen if kind == "shared" else indexing for kind in types or ["full"] * n]


def latent_and_delta(fields: Fields, n: int) -> Mixers:
    """Kimi delta attention mixed with latent attention, as in Kimi Linear and Kimi K3 (layers are counted from 1)."""
    full = latent_spec(fields)
    linear_fields = fields.nested("linear_attn_config")
    count, width = linear_fields.whole("num_heads", high=MAX_HEADS), linear_fields.whole("head_dim")
    delta = AttentionSpec(
        "linear",
        count,
        count,
        width,
        width,
        conv_width=linear_fields.whole("short_conv_kernel_size", high=1024, default=4),
        decay_rank=width,
        gate_rank=0 if linear_fields.flag("use_full_rank_gate") else width,
    )
    places = {}
    for field, spec in (("full_attn_layers", full), ("kda_layers", delta)):
        for i, place in enumerate(linear_fields.items(field)):
            places[linear_fields.as_whole(place, f"{field}[{i}]", 1, n)] = spec
    missing = next((i for i in range(1, n + 1) if i not in places), None)
    if missing is not None:
        linear_fields.fail("kda_layers", f"layer {missing} of {n} is neither here nor in full_attn_layers; one is needed")
    return [places[i] for i in range(1, n + 1)]


def compressed(fields: Fields, n: int) -> Mixers:
    """DeepSeek-V4: a sliding window beside compressed entries, 4 tokens an entry (sparse) or 128 (all seen), or none."""
    q = fields.whole("num_attention_heads", high=MAX_HEADS)
    width = fields.whole("head_dim")
    groups = fields.whole("o_groups", high=MAX_HEADS, default=1)
    if q % groups:
        fields.fail("o_groups", f"{groups} groups do not divide {q} heads (num_attention_heads)")
    window = AttentionSpec(
        "gqa",
        q,
        fields.whole("num_key_value_heads", high=1, default=1),
        width,
        width,
        window=window_of(fields),
        q_lora_rank=fields.whole("q_lora_rank", low=0, default=0),
        rope_dim=fields.whole("qk_rope_head_dim", low=0, high=width, default=0),
        shared_kv=True,
        o_lora_rank=fields.whole("o_lora_rank", low=0, default=0),
        o_groups=groups,
    )
    sparse = replace(
        window,
        compress=4,
        topk=fields.whole("index_topk", high=WHOLE_CONTEXT),
        index_heads=fields.whole("index_n_heads", high=MAX_HEADS),
        index_dim=fields.whole("index_head_dim"),
    )
    ratios = fields.per_layer("compress_ratios", n, at_least=True)
    if not ratios:
        fields.fail("compress_ratios", "missing; one of 0, 4 and 128 a layer is needed")
    specs = {0: window, 128: replace(window, compress=128), 4: sparse}
    layers: Mixers = []
    for i, ratio in enumerate(ratios):
        if isinstance(ratio, bool) or not isinstance(ratio, int) or ratio not in specs:
            fields.fail(f"compress_ratios[{i}]", "one of 0, 4 and 128 is needed")
        layers.append(specs[ratio])
    return layers


def block_sparse(fields: Fields, n: int) -> Mixers:
    """MiniMax-M3: grouped attention that sees whole blocks of keys, chosen by an indexer, in the layers that say so."""
    q, kv = heads(fields)
    width = head_width(fields, q)
    full = AttentionSpec("gqa", q, kv, width, width)
    if not fields.has("sparse_attention_config"):
        return [full] * n
    part = fields.nested("sparse_attention_config")
    if not part.flag("use_sparse_attention", True):
        return [full] * n
    block = part.whole("sparse_block_size", high=MAX_WIDTH)
    sparse = replace(
        full,
        topk=part.whole("sparse_topk_blocks", high=MAX_WIDTH) * block,
        index_heads=part.whole("sparse_num_index_heads", high=MAX_HEADS),
        index_dim=part.whole("sparse_index_dim"),
    )
    flags = part.layer_flags("sparse_attention_freq", n)
    return [sparse if flag else full for flag in flags or [True] * n]


def chunked(fields: Fields, n: int) -> Mixers:
    """Llama 4: three layers in four see only their chunk of the context, every fourth all of it."""
    q, kv = heads(fields)
    width = head_width(fields, q)
    full = AttentionSpec("gqa", q, kv, width, width)
    if not fields.has("attention_chunk_size"):
        return [full] * n
    local = replace(full, window=fields.whole("attention_chunk_size", high=WHOLE_CONTEXT))
    kinds = fields.layer_names("layer_types", n, LAYER_TYPES)
    flags = fields.layer_flags("no_rope_layers", n)
    every = fields.whole("no_rope_layer_interval", high=MAX_LAYERS, default=4)
    chunk = [kind == CHUNKED for kind in kinds] or flags or [(i + 1) % every != 0 for i in range(n)]
    return [local if is_local else full for is_local in chunk]


def gemma4(fields: Fields, n: int) -> Mixers:
    """Gemma 4: sliding layers, and global ones with heads of their own width whose values are their keys."""
    q, kv = heads(fields)
    sliding = AttentionSpec("gqa", q, kv, head_width(fields, q), head_width(fields, q), window=window_of(fields))
    same = fields.flag("attention_k_eq_v")
    width = fields.whole("global_head_dim", default=sliding.qk_dim)
    global_kv = fields.whole("num_global_key_value_heads", high=MAX_HEADS, default=kv) if same else kv
    if q % global_kv:
        fields.fail("num_global_key_value_heads", f"{global_kv} heads cannot be shared by {q} query heads")
    full = AttentionSpec("gqa", q, global_kv, width, width, v_from_k=same)
    kinds = fields.layer_names("layer_types", n, LAYER_TYPES)
    kinds = kinds or [FULL if (i + 1) % 6 == 0 or i == n - 1 else SLIDING for i in range(n)]
    reusing = n - fields.whole("num_kv_shared_layers", low=0, high=n, default=0)
    specs = [sliding if kind == SLIDING else full for kind in kinds]
    return [replace(spec, reuses_kv=True) if i >= reusing else spec for i, spec in enumerate(specs)]


def mimo(fields: Fields, n: int) -> Mixers:
    """MiMo-V2: sliding layers (1 in hybrid_layer_pattern) have heads of their own number and width."""
    q, kv = heads(fields)
    width = head_width(fields, q)
    full = AttentionSpec("gqa", q, kv, width, fields.whole("v_head_dim", default=width))
    flags = fields.layer_flags("hybrid_layer_pattern", n)
    if not any(flags):
        return [full] * n
    q, kv = heads(fields, fields.first("swa_num_attention_heads", "num_attention_heads"), "swa_num_key_value_heads")
    width = fields.whole("swa_head_dim", default=width)
    sliding = AttentionSpec("gqa", q, kv, width, fields.whole("swa_v_head_dim", default=full.v_dim), window=window_of(fields))
    return [sliding if flag else full for flag in flags]


def step(fields: Fields, n: int) -> Mixers:
    """Step-3.5 and 3.7: grouped attention whose sliding layers have a number of query heads of their own."""
    layers = grouped(fields, n)
    other = fields.nested("attention_other_setting") if fields.has("attention_other_setting") else fields
    field = "num_attention_heads" if other is not fields else "num_sliding_attention_heads"
    if not other.has(field):
        return layers
    kv = other if other.has("num_attention_groups") else fields
    name = "num_attention_groups" if kv.has("num_attention_groups") else "num_key_value_heads"
    q, shared = other.whole(field, high=MAX_HEADS), kv.whole(name, high=MAX_HEADS)
    if q % shared:
        other.fail(field, f"{q} query heads cannot share {shared} key heads ({kv.name(name)})")
    return [replace(spec, q_heads=q, kv_heads=shared) if spec is not None and spec.window else spec for spec in layers]
