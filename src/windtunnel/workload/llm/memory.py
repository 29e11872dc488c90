"""Bytes that one rank of the fullest pipeline stage holds: weights, cache, activations."""

from __future__ import annotations

from windtunnel.catalog.model import AttentionSpec, FfnSpec, Layer, ModelSpec
from windtunnel.workload.llm.grouped import kv_projection_width, local_kv_heads
from windtunnel.workload.llm.indexer import compressor_width, index_key_width
from windtunnel.workload.llm.linear import mixed_width
from windtunnel.workload.llm.parallel import ParallelPlan, draft_layer, stage_layers
from windtunnel.workload.llm.precision import QUANTISED_INPUTS, PrecisionPlan
from windtunnel.workload.ops import activation_bytes as input_bytes
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
        total += spec.mtp_layers * (join + _layer_bytes(draft_layer(spec), spec.hidden, parallel, precision))
    return total


def _layer_bytes(layer: Layer, hidden: int, parallel: ParallelPlan, precision: PrecisionPlan) -> float:
    total = 0.0
    if layer.attention is not None:
        total += attention_weights(layer.attention, hidden, parallel.tp, precision)
    if layer.ffn is not None:
        total += ffn_weights(layer.ffn, hidden, parallel, precision)
    return total


def attention_weights(spec: AttentionSpec, hidden: int, tp: int, precision: PrecisionPlan) -> float:
    """Bytes of one layer's mixer on one rank."""
    wide, copied = weight_bytes(precision.attention), 0.0
    if spec.kind == "mla":
        numbers = _latent_numbers(spec, hidden, tp)
        if precision.absorbed != precision.attention:
            # prefill multiplies by the stored matrix, decode by a copy in another type
            copied = spec.kv_lora_rank * spec.q_heads / tp * (spec.nope_dim + spec.v_dim) * weight_bytes(precision.absorbed)
    elif spec.kind == "linear":
        numbers, copied = _linear_numbers(spec, hidden, tp), 2.0 * spec.conv_width * mixed_width(spec, tp)
    else:
        numbers = _grouped_numbers(spec, hidden, tp)
    if spec.index_heads:
        numbers += (spec.q_lora_rank or hidden) * spec.index_heads * spec.index_dim
        numbers += hidden * (index_key_width(spec) + spec.index_heads)
    return numbers * wide + copied


def _latent_numbers(spec: AttentionSpec, hidden: int, tp: int) -> float:
    heads = spec.q_heads / tp
    down = hidden * (spec.q_lora_rank + spec.kv_lora_rank + spec.rope_dim)
    query = (spec.q_lora_rank or hidden) * heads * (spec.nope_dim + spec.rope_dim)
    up = spec.kv_lora_rank * heads * (spec.nope_dim + spec.v_dim)
    return down + query + up + heads * spec.v_dim * hidden * (2 if spec.gated else 1)


def _linear_numbers(spec: AttentionSpec, hidden: int, tp: int) -> float:
    heads = spec.kv_heads / tp
    value = heads * spec.v_dim
    gate = spec.gate_rank * (hidden + value) if spec.gate_rank else hidden * value
    scalars = hidden * heads * (1 if spec.decay_rank else 2)
    decay = spec.decay_rank * (hidden + heads * spec.qk_dim)
    return hidden * mixed_width(spec, tp) + gate + scalars + decay + value * hidden


def _grouped_numbers(spec: AttentionSpec, hidden: int, tp: int) -> float:
    heads = spec.q_heads / tp
    width, out = heads * spec.qk_dim, heads * spec.v_dim
    query = spec.q_lora_rank * (hidden + width) if spec.q_lora_rank else hidden * width
    keys = hidden * (kv_projection_width(spec, tp) + compressor_width(spec))
    back = out * spec.o_lora_rank + spec.o_groups / tp * spec.o_lora_rank * hidden if spec.o_lora_rank else out * hidden
    return query + keys + back + (hidden * out if spec.gated else 0.0)


def ffn_weights(spec: FfnSpec, hidden: int, parallel: ParallelPlan, precision: PrecisionPlan) -> float:
    """Bytes of one layer's feed-forward on one rank."""
    matrices = 3.0 if spec.gated else 2.0
    if not spec.experts:
        return matrices * hidden * spec.intermediate / parallel.tp * weight_bytes(precision.dense)
    routed = matrices * (spec.latent or hidden) * spec.intermediate / parallel.moe_tp * spec.experts / parallel.moe_ep
    shared = matrices * spec.shared_intermediate / (parallel.tp if parallel.dp == 1 else 1)
    beside = hidden * (shared + 2.0 * spec.latent) * weight_bytes(precision.dense)
    return routed * weight_bytes(precision.experts) + beside + 2.0 * hidden * spec.experts


def kv_bytes(spec: ModelSpec, parallel: ParallelPlan, precision: PrecisionPlan, context: float, *, drafts: bool = False) -> float:
    """Cache and recurrent state of one sequence of ``context`` tokens on one rank; a window holds no more than its width."""
    return sum(
        count * (_cache_bytes(layer.attention, parallel.tp, precision, context) + _state_bytes(layer.attention, parallel.tp))
        for count, layer in _with_drafts(spec, parallel, drafts)
        if layer.attention is not None
    )


def kv_bytes_per_token(spec: ModelSpec, parallel: ParallelPlan, precision: PrecisionPlan, *, drafts: bool = False) -> float:
    """What each further token adds to a long sequence's cache on one rank (windows and states do not grow)."""
    return sum(
        count * _growth(layer.attention, parallel.tp, precision)
        for count, layer in _with_drafts(spec, parallel, drafts)
        if layer.attention is not None
    )


def state_bytes(spec: ModelSpec, parallel: ParallelPlan) -> float:
    """Recurrent state of one sequence on one rank: fp32, and the convolution's last inputs in 16 bit."""
    return sum(n * _state_bytes(x.attention, parallel.tp) for n, x in stage_layers(spec, parallel.pp) if x.attention is not None)


def _entry_bytes(spec: AttentionSpec, tp: int, precision: PrecisionPlan) -> float:
    """Bytes of one cache entry of one layer on one rank; a latent is whole on every rank."""
    share = local_kv_heads(spec, tp) / spec.kv_heads if spec.kind == "gqa" else 1.0
    return spec.entry_numbers * share * weight_bytes(precision.kv)


def _growth(spec: AttentionSpec, tp: int, precision: PrecisionPlan) -> float:
    """Bytes that one more token of a long context adds."""
    entry = 0.0 if spec.window and not spec.compress else _entry_bytes(spec, tp, precision)
    index = spec.index_dim * INDEX_BYTES if spec.index_heads else 0.0
    return (entry + index) / (spec.compress or 1)


def _cache_bytes(spec: AttentionSpec, tp: int, precision: PrecisionPlan, context: float) -> float:
    windowed = min(context, spec.window) * _entry_bytes(spec, tp, precision) if spec.window else 0.0
    return windowed + context * _growth(spec, tp, precision)


def _state_bytes(spec: AttentionSpec, tp: int) -> float:
    if spec.kind != "linear":
        return 0.0
    return 4.0 * spec.state_numbers / tp + 2.0 * mixed_width(spec, tp) * max(spec.conv_width - 1, 0)


def _with_drafts(spec: ModelSpec, parallel: ParallelPlan, drafts: bool) -> list[tuple[float, Layer]]:
    layers = stage_layers(spec, parallel.pp)
    if drafts and spec.mtp_layers:
        layers = [*layers, (float(spec.mtp_layers), draft_layer(spec))]
    return layers


def activation_bytes(
    spec: ModelSpec, parallel: ParallelPlan, precision: PrecisionPlan, tokens: float, logit_rows: float | None = None
) -> float:
    """The most that a step of ``tokens`` a data-parallel rank keeps at once beside weights and cache.

    The residual stream and a layer's input (and its quantised copy) live throughout; added is the widest of a
    layer's inner tensors, or the logits (16 bit and fp32; ``logit_rows`` of them, by default one a token up to 1024).
    """
    widest = 0.0
    for layer in spec.layers:
        if layer.attention is not None:
            widest = max(widest, _attention_width(layer.attention, parallel.tp))
        if layer.ffn is not None:
            widest = max(widest, _ffn_width(layer.ffn, spec.hidden, parallel))
    rows = min(tokens, 1024.0) if logit_rows is None else logit_rows
    logits = rows * spec.vocab * (2.0 + 4.0)
    copy = input_bytes(precision.attention) if precision.attention in QUANTISED_INPUTS else 0.0
    return tokens * spec.hidden * (4.0 + copy) + max(2.0 * tokens * widest, logits)


def _attention_width(spec: AttentionSpec, tp: int) -> float:
    heads = spec.q_heads / tp
    if spec.kind == "mla":
        latent = spec.q_lora_rank + spec.kv_lora_rank + spec.rope_dim
        return latent + heads * (2 * (spec.nope_dim + spec.rope_dim) + 2 * spec.v_dim)
    if spec.kind == "linear":
        return 2 * (mixed_width(spec, tp) + spec.kv_heads / tp * spec.v_dim)
    gate = heads * spec.v_dim if spec.gated else 0.0
    return spec.q_lora_rank + heads * (spec.qk_dim + spec.v_dim) + gate + kv_projection_width(spec, tp) + compressor_width(spec)


def _ffn_width(spec: FfnSpec, hidden: int, parallel: ParallelPlan) -> float:
    fan = 3.0 if spec.gated else 2.0
    if not spec.experts:
        return fan * spec.intermediate / parallel.tp
    # copies of all groups' tokens that reach this rank's experts, with their inner width and their results
    copies = parallel.dp * spec.topk / parallel.moe_ep
    routed = copies * (2.0 * (spec.latent or hidden) + fan * spec.intermediate / parallel.moe_tp)
    return routed + fan * spec.shared_intermediate / parallel.tp
