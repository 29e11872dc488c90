"""Models whose layers are listed one by one: Nemotron-H (a mixer or a feed-forward each), Nemotron's searched Llamas.

Each function gives the list of (mixer, feed-forward) pairs, one a layer.
"""

from __future__ import annotations

from windtunnel.catalog.configs.attention import head_width, heads
from windtunnel.catalog.configs.ffn import mixture
from windtunnel.catalog.configs.fields import MAX_EXPERTS, MAX_HEADS, MAX_LAYERS, Fields, shown
from windtunnel.catalog.model import AttentionSpec, FfnSpec

Pairs = list[tuple[AttentionSpec | None, FfnSpec | None]]

LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
BLOCKS = {**{name: name for name in LETTERS.values()}, "linear_attention": "mamba", "full_attention": "attention"}


def _blocks(fields: Fields) -> list[str]:
    """What each layer is, from layers_block_type or the letters of hybrid_override_pattern."""
    if fields.has("layers_block_type"):
        n = fields.whole("num_hidden_layers", high=MAX_LAYERS, default=len(fields.items("layers_block_type")))
        return fields.layer_names("layers_block_type", n, BLOCKS)
    pattern = fields.values.get("hybrid_override_pattern")
    if not isinstance(pattern, str) or not 0 < len(pattern) <= MAX_LAYERS:
        fields.fail("hybrid_override_pattern", f"{shown(pattern)} will not do; a string of M, *, - and E, one a layer, is needed")
    unknown = set(pattern) - set(LETTERS)
    if unknown:
        fields.fail("hybrid_override_pattern", f"the letter {sorted(unknown)[0]!r} is not known; M, *, - and E are")
    n = fields.whole("num_hidden_layers", high=MAX_LAYERS, default=len(pattern))
    if n != len(pattern):
        fields.fail("hybrid_override_pattern", f"has {len(pattern)} letters, but num_hidden_layers is {n}")
    return [LETTERS[letter] for letter in pattern]


def nemotron_h(fields: Fields) -> Pairs:
    """Nemotron-H and Nemotron 3: each layer is a Mamba-2 mixer, an attention, a dense layer or a mixture."""
    blocks = _blocks(fields)
    if not blocks:
        fields.fail("layers_block_type", "is empty; one of mamba, attention, mlp and moe a layer is needed")
    pairs: dict[str, tuple[AttentionSpec | None, FfnSpec | None]] = {}
    gated = fields.text("mlp_hidden_act", "hidden_act", default="relu2") not in ("relu2", "relu")
    if "mamba" in blocks:
        groups, count = fields.whole("n_groups", high=MAX_HEADS), fields.whole("mamba_num_heads", high=MAX_HEADS)
        if count % groups:
            fields.fail("n_groups", f"{groups} groups do not divide {count} heads (mamba_num_heads)")
        taps = fields.whole("conv_kernel", high=1024, default=4)
        state, width = fields.whole("ssm_state_size"), fields.whole("mamba_head_dim")
        pairs["mamba"] = AttentionSpec("linear", groups, count, state, width, conv_width=taps), None
    if "attention" in blocks:
        q, kv = heads(fields)
        width = head_width(fields, q)
        pairs["attention"] = AttentionSpec("gqa", q, kv, width, width), None
    if "mlp" in blocks:
        pairs["mlp"] = None, FfnSpec(fields.whole("intermediate_size"), gated=gated)
    if "moe" in blocks:
        shared = fields.whole("n_shared_experts", low=0, high=MAX_EXPERTS, default=1)
        shared_width = fields.whole("moe_shared_expert_intermediate_size", low=0, default=0) if shared else 0
        latent = fields.whole("moe_latent_size", low=0, default=0)
        width = fields.whole("moe_intermediate_size")
        pairs["moe"] = None, mixture(fields, width, shared_width, gated=gated, latent=latent)
    return [pairs[block] for block in blocks]


def searched_llama(fields: Fields) -> Pairs:
    """Llama-Nemotron: a Llama whose layers were searched; each has its own width and may lack attention.

    The width is 2/3 * ffn_mult * hidden_size, rounded up to a multiple of 256, as in the models' published code.
    """
    hidden = fields.whole("hidden_size")
    q = fields.whole("num_attention_heads", high=MAX_HEADS)
    width = head_width(fields, q)
    n = fields.whole("num_hidden_layers", high=MAX_LAYERS)
    blocks = fields.per_layer("block_configs", n)
    if not blocks:
        fields.fail("block_configs", "missing; one object a layer is needed")
    pairs: Pairs = []
    for i, value in enumerate(blocks):
        block = Fields(value, fields.name(f"block_configs[{i}]"))
        mixer, ffn = block.nested("attention"), block.nested("ffn")
        attention = feed = None
        for part in (mixer, ffn):
            if part.flag("replace_with_linear"):
                part.fail("replace_with_linear", "a linear layer in place of this part is not supported; false is needed")
        if not mixer.flag("no_op"):
            share = mixer.whole("n_heads_in_group", high=MAX_HEADS)
            if q % share:
                mixer.fail("n_heads_in_group", f"groups of {share} do not divide {q} heads (num_attention_heads)")
            window = mixer.whole("window_length", low=0, high=2**62, default=0)
            attention = AttentionSpec("gqa", q, q // share, width, width, window=window)
        if not ffn.flag("no_op"):
            mult = ffn.values.get("ffn_mult")
            if isinstance(mult, bool) or not isinstance(mult, int | float) or not 0 < mult <= 100:
                ffn.fail("ffn_mult", f"{shown(mult)} will not do; a number above 0 and up to 100 is needed")
            feed = FfnSpec(-(-int(2 * mult * hidden / 3) // 256) * 256)
        pairs.append((attention, feed))
    return pairs
