"""The feed-forwards of a configuration, one a layer: dense, or a mixture of experts under its many spellings.

Each function takes the fields and the number of layers, and gives one FfnSpec (or None) a layer.
"""

from __future__ import annotations

from windtunnel.catalog.configs.fields import MAX_EXPERTS, MAX_LAYERS, MAX_WIDTH, Fields
from windtunnel.catalog.model import FfnSpec

Ffns = list[FfnSpec | None]


def dense(fields: Fields, n: int) -> Ffns:
    """The same dense layer everywhere."""
    return [FfnSpec(fields.whole("intermediate_size"))] * n


def ungated(fields: Fields, n: int) -> Ffns:
    """The same layer of two matrices everywhere: StarCoder 2, Nemotron-4."""
    return [FfnSpec(fields.whole("intermediate_size"), gated=False)] * n


def mixture(fields: Fields, intermediate: int, shared: int = 0, *, gated: bool = True, latent: int = 0) -> FfnSpec:
    """A mixture of experts, with the number of experts and how many a token is sent to under their usual names."""
    experts_field = fields.first("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
    topk_field = fields.first("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_k", "experts_per_token")
    experts = fields.whole(experts_field, high=MAX_EXPERTS)
    topk = fields.whole(topk_field, high=MAX_EXPERTS)
    if topk > experts:
        fields.fail(topk_field, f"{topk} is more than the {experts} experts there are ({experts_field})")
    return FfnSpec(intermediate, experts, topk, shared, gated, latent)


def all_experts(fields: Fields, n: int) -> Ffns:
    """A mixture in every layer whose width is intermediate_size: Mixtral, gpt-oss, MiniMax-M2, Phi-MoE."""
    shared = fields.whole("shared_intermediate_size", low=0, default=0)
    return [mixture(fields, fields.whole("intermediate_size"), shared)] * n


def qwen(fields: Fields, n: int) -> Ffns:
    """Qwen's mixtures: every decoder_sparse_step-th layer, but those in mlp_only_layers."""
    shared = fields.whole("shared_expert_intermediate_size", low=0, default=0)
    spec = mixture(fields, fields.whole("moe_intermediate_size"), shared)
    step = fields.whole("decoder_sparse_step", high=MAX_LAYERS, default=1)
    listed = enumerate(fields.items("mlp_only_layers"))
    only = {fields.as_whole(layer, f"mlp_only_layers[{i}]", 0, n - 1) for i, layer in listed}
    sparse = [(i + 1) % step == 0 and i not in only for i in range(n)]
    if all(sparse):
        return [spec] * n
    plain = FfnSpec(fields.whole("intermediate_size"))
    return [spec if is_sparse else plain for is_sparse in sparse]


def deepseek(fields: Fields, n: int) -> Ffns:
    """DeepSeek's mixtures, and those after them: some dense layers first, then experts and shared experts.

    Read by the names of DeepSeek, Kimi, GLM-4.5 and GLM-5, MiniMax-M3, MiMo-V2, Step-3.7 and ERNIE 4.5.
    """
    if not fields.has(fields.first("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")):
        return dense(fields, n)
    # MiniMax-M3 calls the experts' width intermediate_size, the dense layers' dense_intermediate_size
    plain_experts = fields.has("dense_intermediate_size") and not fields.has("moe_intermediate_size")
    width = fields.whole("intermediate_size" if plain_experts else "moe_intermediate_size")
    count = fields.whole("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", low=0, high=MAX_EXPERTS, default=0)
    each = fields.whole("shared_intermediate_size", "share_expert_dim", low=0, default=width)
    shared = count * each
    if shared > MAX_WIDTH:
        fields.fail(fields.first("n_shared_experts", "num_shared_experts"), f"{count} shared experts of {each} are too wide")
    latent = fields.whole("routed_expert_hidden_size", low=0, default=0)
    spec = mixture(fields, width, shared, latent=latent)
    sparse = fields.layer_flags("moe_layer_freq", n) if isinstance(fields.values.get("moe_layer_freq"), list) else []
    if not sparse:
        kinds = {"dense": "dense", "sparse": "sparse", "moe": "sparse", "hash_moe": "sparse"}
        sparse = [kind == "sparse" for kind in fields.layer_names("mlp_layer_types", n, kinds)]
    if not sparse:
        first = fields.whole("first_k_dense_replace", "moe_layer_start_index", low=0, high=n, default=0)
        every = fields.whole("moe_layer_freq", "moe_layer_interval", high=MAX_LAYERS, default=1)
        sparse = [i >= first and i % every == 0 for i in range(n)]
    if all(sparse):
        return [spec] * n
    plain = FfnSpec(fields.whole("dense_intermediate_size", "intermediate_size"))
    return [spec if is_sparse else plain for is_sparse in sparse]


def llama4(fields: Fields, n: int) -> Ffns:
    """Llama 4: a mixture with one shared expert in every interleave_moe_layer_step-th layer, a wider dense layer else."""
    width = fields.whole("intermediate_size")
    spec = mixture(fields, width, width)
    step = fields.whole("interleave_moe_layer_step", high=MAX_LAYERS, default=1)
    listed = [fields.as_whole(layer, f"moe_layers[{i}]", 0, n - 1) for i, layer in enumerate(fields.items("moe_layers"))]
    places = set(listed) or set(range(step - 1, n, step))
    if len(places) == n:
        return [spec] * n
    plain = FfnSpec(fields.whole("intermediate_size_mlp", "intermediate_size"))
    return [spec if i in places else plain for i in range(n)]


def gemma4(fields: Fields, n: int) -> Ffns:
    """Gemma 4: dense, or (enable_moe_block) a mixture that runs beside the dense layer."""
    width = fields.whole("intermediate_size")
    if not fields.flag("enable_moe_block"):
        reusing = n - fields.whole("num_kv_shared_layers", low=0, high=n, default=0)
        wide = fields.flag("use_double_wide_mlp")
        return [FfnSpec(2 * width if wide and i >= reusing else width) for i in range(n)]
    return [mixture(fields, fields.whole("moe_intermediate_size", "expert_intermediate_size"), width)] * n
