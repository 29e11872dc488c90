"""The token mixers of a model as blocks: one for all layers whose projections have the same shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from windtunnel.catalog.model import AttentionSpec
from windtunnel.workload.llm.block import Block
from windtunnel.workload.llm.grouped import GroupedBlock, Kinds
from windtunnel.workload.llm.latent import LatentBlock
from windtunnel.workload.llm.linear import LinearBlock
from windtunnel.workload.llm.precision import PrecisionPlan

BLOCKS: dict[str, Callable[[Kinds, int, int, PrecisionPlan, str], Block]] = {
    "gqa": GroupedBlock,
    "mla": LatentBlock,
    "linear": LinearBlock,
}


def attention_blocks(layers: Kinds, hidden: int, tp: int, precision: PrecisionPlan, prefix: str = "") -> list[Block]:
    """Blocks for ``layers`` (a mixer and how many layers have it)."""
    shapes: dict[AttentionSpec, dict[AttentionSpec, float]] = {}
    for spec, count in layers:
        kinds = shapes.setdefault(_projections(spec), {})
        kinds[spec] = kinds.get(spec, 0.0) + count
    return [BLOCKS[shape.kind](list(kinds.items()), hidden, tp, precision, prefix) for shape, kinds in shapes.items()]


def _projections(spec: AttentionSpec) -> AttentionSpec:
    """``spec`` without what queries see: specs that are equal then run the same projections."""
    return replace(spec, window=0, topk=0, index_heads=0, index_dim=0, compress=0)
