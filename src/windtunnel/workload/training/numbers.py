"""How many weights a rank holds of a layer, and the FLOPs that a token needs."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.catalog.model import Layer, ModelSpec
from windtunnel.workload.llm.memory import attention_weights
from windtunnel.workload.llm.precision import PrecisionPlan

_WIDE = PrecisionPlan()


@dataclass(frozen=True, slots=True)
class LayerNumbers:
    """Weights of one layer on one rank. dense: those that all data-parallel ranks hold alike; experts: the routed ones."""

    dense: float
    experts: float


def layer_numbers(spec: ModelSpec, layer: Layer, tp: int, ep: int, etp: int) -> LayerNumbers:
    """Norms and biases left out."""
    dense = experts = 0.0
    if layer.attention is not None:
        dense += attention_weights(layer.attention, spec.hidden, tp, _WIDE) / 2.0
    ffn = layer.ffn
    if ffn is not None:
        matrices = 3.0 if ffn.gated else 2.0
        if ffn.experts:
            experts = matrices * (ffn.latent or spec.hidden) * ffn.intermediate / etp * ffn.experts / ep
            dense += spec.hidden * (matrices * ffn.shared_intermediate / tp + ffn.experts + 2.0 * ffn.latent)
        else:
            dense += matrices * spec.hidden * ffn.intermediate / tp
    return LayerNumbers(dense, experts)


def model_flops_per_token(spec: ModelSpec, length: int) -> float:
    """FLOPs that training needs for one token of a sequence of ``length``, the convention behind MFU here.

    Six for each weight that a token passes through (the embedding's table is read, not multiplied), and three times
    attention's two products over what a token sees: under a causal mask half of the sequence, or its window. Recomputation
    does not count, nor do the layers of multi-token prediction.
    """
    table = 0 if spec.tied_embeddings else spec.vocab * spec.hidden
    total = 6.0 * (spec.active_parameters - table)
    for layer in spec.layers:
        a = layer.attention
        if a is None or a.kind == "linear":
            continue
        seen = sum_seen(length, float(min(a.window or length, a.topk or length)))
        width = a.nope_dim + a.rope_dim + a.v_dim if a.kind == "mla" else a.qk_dim + a.v_dim
        total += layer.count * 6.0 * seen * a.q_heads * width
    return total


def sum_seen(length: float, limit: float) -> float:
    """Keys that a token sees on average, at most ``limit`` of those before it."""
    reach = min(length, limit)
    return (reach * (reach + 1.0) / 2.0 + (length - reach) * reach) / length
