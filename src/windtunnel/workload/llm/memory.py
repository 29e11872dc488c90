"""Bytes that one rank of the fullest pipeline stage holds: weights, cache, activations."""

from __future__ import annotations

from windtunnel.catalog.model import AttentionSpec, FfnSpec, Layer, ModelSpec
from windtunnel.workload.llm.parallel import ParallelPlan, stage_layers
from windtunnel.workload.llm.precision import PrecisionPlan
from windtunnel.workload.ops import weight_bytes

INDEX_BYTES = 1.0 + 4.0 / 128.0
"""A cached indexer number: fp8, and an fp32 scale for each 128."""


def weights_bytes(spec: ModelSpec, parallel: ParallelPlan, precision: PrecisionPlan, *, drafts: bool = False) -> float:
    """Weights of one rank, norms left out; drafts: the multi-token-prediction layers are loaded too.

    Heads, dense widths and the vocabulary are cut tp ways; MLA's down-projections, indexers and routers are
    copied; key-value heads are copied where there are fewer of them than ranks.
    """
    total = sum(n * _layer_bytes(layer, spec.hidden, parallel, precision) for n, layer in stage_layers(spec, parallel.pp))
    tables = 1.0 if spec.tied_embeddings or parallel.pp > 1 else 2.0
    total += tables * spec.vocab * spec.hidden / parallel.tp * weight_bytes(precision.head)
    if drafts and spec.mtp_layers:
        join = 2.0 * spec.hidden * spec.hidden * weight_bytes(precision.attention)
        total += spec.mtp_layers * (join + _layer_bytes(spec.layers[-1], spec.hidden, parallel, precision))
    return total


def _layer_bytes(layer: Layer, hidden: int, parallel: ParallelPlan, precision: PrecisionPlan) -> float:
    total = 0.0
    if layer.attention is not None:
        total += attention_bytes(layer.attention, hidden, parallel.tp, precision)
    if layer.ffn is not None:
        total += ffn_bytes(layer.ffn, hidden, parallel, precision)
    return total


def attention_bytes(spec: AttentionSpec, hidden: int, tp: int, precision: PrecisionPlan) -> float:
    """One layer's mixer weights on one rank."""
    wide = weight_bytes(precision.attention)
    heads = spec.q_heads / tp
    if spec.kind == "mla":
        down = hidden * (spec.q_lora_rank + spec.kv_lora_rank + spec.rope_dim)
        query = (spec.q_lora_rank or hidden) * heads * (spec.nope_dim + spec.rope_dim)
        up = spec.kv_lora_rank * heads * (spec.nope_dim + spec.v_dim)
        total = (down + query + up + heads * spec.v_dim * hidden) * wide
        if precision.absorbed != precision.attention:
            # prefill multiplies by the stored matrix, decode by a copy in another type
            total += up * weight_bytes(precision.absorbed)
    elif spec.kind == "linear":
        key, value = heads * spec.qk_dim, spec.kv_heads / tp * spec.v_dim
        total = (hidden * (2 * key + 2 * value + 2 * spec.kv_heads / tp) + value * hidden) * wide
        total += 2.0 * spec.conv_width * (2 * key + value)
    else:
        query = heads * spec.qk_dim * (2 if spec.gated else 1)
        total = hidden * (query + kv_heads(spec, tp) * (spec.qk_dim + spec.v_dim) + heads * spec.v_dim) * wide
    if spec.index_heads:
        index = (spec.q_lora_rank or hidden) * spec.index_heads * spec.index_dim + hidden * (spec.index_dim + spec.index_heads)
        total += index * wide
    return total


def ffn_bytes(spec: FfnSpec, hidden: int, parallel: ParallelPlan, precision: PrecisionPlan) -> float:
    """One layer's feed-forward weights on one rank."""
    matrices = 3.0 if spec.gated else 2.0
    if not spec.experts:
        return matrices * hidden * spec.intermediate / parallel.tp * weight_bytes(precision.dense)
    routed = matrices * hidden * spec.intermediate / parallel.moe_tp * spec.experts / parallel.moe_ep
    shared = matrices * hidden * spec.shared_intermediate / (parallel.tp if parallel.dp == 1 else 1)
    return routed * weight_bytes(precision.experts) + shared * weight_bytes(precision.dense) + 2.0 * hidden * spec.experts


def kv_heads(spec: AttentionSpec, tp: int) -> float:
    """Key-value heads of one rank; at least one, copied where ranks outnumber them."""
    return max(spec.kv_heads / tp, 1.0)


def _cache_bytes(spec: AttentionSpec, tp: int, precision: PrecisionPlan) -> float:
    """Bytes that one token takes in one layer's cache on one rank."""
    if spec.kind == "linear":
        return 0.0
    numbers = spec.kv_lora_rank + spec.rope_dim if spec.kind == "mla" else kv_heads(spec, tp) * (spec.qk_dim + spec.v_dim)
    return numbers * weight_bytes(precision.kv) + spec.index_dim * INDEX_BYTES


def kv_bytes(spec: ModelSpec, parallel: ParallelPlan, precision: PrecisionPlan, context: float, *, drafts: bool = False) -> float:
    """Cache and state of one sequence of ``context`` tokens on one rank; windows hold no more than their width."""
    total = 0.0
    for count, layer in _with_drafts(spec, parallel, drafts):
        if layer.attention is not None:
            kept = min(context, layer.attention.window) if layer.attention.window else context
            total += count * (kept * _cache_bytes(layer.attention, parallel.tp, precision))
            total += count * _state_bytes(layer.attention, parallel.tp)
    return total


def kv_bytes_per_token(spec: ModelSpec, parallel: ParallelPlan, precision: PrecisionPlan, *, drafts: bool = False) -> float:
    """What each further token adds to a long sequence's cache on one rank (full windows and states do not grow)."""
    return sum(
        count * _cache_bytes(layer.attention, parallel.tp, precision)
        for count, layer in _with_drafts(spec, parallel, drafts)
        if layer.attention is not None and not layer.attention.window
    )


def state_bytes(spec: ModelSpec, parallel: ParallelPlan) -> float:
    """Recurrent state of one sequence on one rank, in fp32, with the convolution's last inputs."""
    return sum(n * _state_bytes(x.attention, parallel.tp) for n, x in stage_layers(spec, parallel.pp) if x.attention is not None)


def _state_bytes(spec: AttentionSpec, tp: int) -> float:
    if spec.kind != "linear":
        return 0.0
    mixed = 2 * spec.q_heads * spec.qk_dim + spec.kv_heads * spec.v_dim
    return (4.0 * spec.state_numbers + 2.0 * mixed * max(spec.conv_width - 1, 0)) / tp


def _with_drafts(spec: ModelSpec, parallel: ParallelPlan, drafts: bool) -> list[tuple[float, Layer]]:
    layers = stage_layers(spec, parallel.pp)
    if drafts and spec.mtp_layers:
        layers = [*layers, (float(spec.mtp_layers), spec.layers[-1])]
    return layers


def activation_bytes(
    spec: ModelSpec, parallel: ParallelPlan, precision: PrecisionPlan, tokens: float, logit_rows: float | None = None
) -> float:
    """The most that a step of ``tokens`` a data-parallel rank keeps at once beside weights and cache.

    The residual stream and a layer's input live throughout; added is the widest of a layer's inner tensors, or
    the logits (16 bit and fp32; ``logit_rows`` of them, by default one a token up to 1024).
    """
    hidden, tp = spec.hidden, parallel.tp
    widest = 0.0
    for layer in spec.layers:
        if layer.attention is not None:
            widest = max(widest, _attention_width(layer.attention, tp))
        if layer.ffn is not None:
            widest = max(widest, _ffn_width(layer.ffn, hidden, parallel))
    rows = min(tokens, 1024.0) if logit_rows is None else logit_rows
    logits = rows * spec.vocab * (2.0 + 4.0)
    return 2.0 * tokens * 2.0 * hidden + max(2.0 * tokens * widest, logits)


def _attention_width(spec: AttentionSpec, tp: int) -> float:
    heads = spec.q_heads / tp
    if spec.kind == "mla":
        latent = spec.q_lora_rank + spec.kv_lora_rank + spec.rope_dim
        return latent + heads * (2 * (spec.nope_dim + spec.rope_dim) + 2 * spec.v_dim)
    if spec.kind == "linear":
        return 2 * (2 * heads * spec.qk_dim + 2 * spec.kv_heads / tp * spec.v_dim)
    return heads * (spec.qk_dim * (2 if spec.gated else 1) + spec.v_dim) + kv_heads(spec, tp) * (spec.qk_dim + spec.v_dim)


def _ffn_width(spec: FfnSpec, hidden: int, parallel: ParallelPlan) -> float:
    fan = 3.0 if spec.gated else 2.0
    if not spec.experts:
        return fan * spec.intermediate / parallel.tp
    # copies of all groups' tokens that reach this rank's experts, with their inner width and their results
    copies = parallel.dp * spec.topk / parallel.moe_ep
    return copies * (2.0 * hidden + fan * spec.intermediate / parallel.moe_tp) + fan * spec.shared_intermediate / parallel.tp
