"""Tokens put in the order of experts, and back: passes over memory of a dropless mixture of experts."""

from __future__ import annotations

from collections.abc import Mapping

from windtunnel.workload.ops import Elementwise

FUSED: Mapping[str, tuple[float, float]] = {
    "permute": (4.0, 0.0),
    "unpermute": (2.0, 2.0),
    "permute_backward": (2.0, 2.0),
    "unpermute_backward": (4.0, 0.0),
}
"""Bytes an element of 16 bit, of each copy of a token and of each token. A kernel each: permuting reads and writes each copy,
unpermuting reads them and writes their sum; either is the other's gradient."""
PLAIN: Mapping[str, tuple[float, float]] = {
    "permute": (4.0, 0.0),
    "unpermute": (12.0, 2.0),
    "permute_backward": (6.0, 2.0),
    "unpermute_backward": (16.0, 0.0),
}
"""The same in plain PyTorch, counted on Megatron-LM of 2024: index_select; zeros (2), index_copy (4), times the probabilities
(4), sum (2). Gradients: index_add into zeros; the product with probabilities (4), that with what experts answered (6) and its
sum (2), index_select (4)."""


def permuting(elements: float, topk: int, *, fused: bool, sort: bool) -> tuple[list[Elementwise], list[Elementwise]]:
    """Passes forward and backward over ``elements`` of 16 bit, those of all copies.

    sort: what came from other ranks is put in the order of the rank's own experts as well, and back: a copy each time.
    """
    both: tuple[list[Elementwise], list[Elementwise]] = [], []
    for name, (copies, tokens) in (FUSED if fused else PLAIN).items():
        both[name.endswith("_backward")].append(Elementwise(name, (copies + tokens / topk) * elements))
    if sort:
        for ops, name in zip(both, ("permute_chunks", "permute_chunks_backward"), strict=True):
            ops.append(Elementwise(name, 4.0 * elements, count=2.0))
    return both
