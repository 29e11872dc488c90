"""Element-wise operators of a layer as the passes over memory that a training loop makes of them.

Engines that serve fuse more, over tensors that fit the last cache; a loop's tensors are hundreds of megabytes.
"""

from __future__ import annotations

from windtunnel.workload.ops import Elementwise, Pass, PassKind

_KINDS: tuple[tuple[str, PassKind], ...] = (
    ("norm", "norm"),
    ("permute", "gather"),
    ("embedding", "gather"),
    ("router_topk", "softmax"),
    ("index_topk", "softmax"),
    ("loss", "softmax"),
    ("optimizer", "optimizer"),
)
_MODEL_CODE = ("norm", "rope", "_act", "_gate", "linear_conv")


def as_pass(op: Elementwise, *, unfused: float = 1.0) -> Pass:
    """The same bytes walked in the way its name says; unfused: how many times the bytes of a fused kernel plain PyTorch moves
    in what it does in several steps (norms, rotary positions, gated activations)."""
    kind: PassKind = next((kind for part, kind in _KINDS if part in op.name), "pointwise")
    times = unfused if any(part in op.name for part in _MODEL_CODE) else 1.0
    half = op.bytes * times / 2.0
    return Pass(op.name, kind, half, half, op.bytes / 4.0, "bf16", count=op.count)


def quantises(op: Elementwise) -> bool:
    """Whether the pass narrows a product's input, which the product's own price includes."""
    return op.name.endswith("_quant") or op.name.endswith("_quant_backward")
