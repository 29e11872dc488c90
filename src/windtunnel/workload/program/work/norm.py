"""Normalisations, softmax and losses: how often their operand crosses memory, forward and backward.

A row that fits on the chip is read once, folded and applied there; a longer one is read again to be applied. Gradients of
weights fold along the other dimension, so they are a pass of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

from windtunnel.workload.ops import Pass
from windtunnel.workload.program.call import ITEM_BYTES, Call, TensorSpec
from windtunnel.workload.program.work.naming import names
from windtunnel.workload.program.work.traffic import (
    ROW_ON_CHIP_BYTES,
    Ops,
    Rule,
    channels_last,
    innermost,
    read,
    size,
    walk,
    written,
)

LAYER_FLOPS, BATCH_FLOPS, SOFTMAX_FLOPS, GRADIENT_FLOPS = 8.0, 6.0, 10.0, 10.0
"""Arithmetic an element, roughly: moments and their application; the same; maximum, exponential, sum, quotient; gradients."""


def _crossings(row: float, dtype: str) -> float:
    """How often a row of so many elements is read."""
    return 1.0 if row * ITEM_BYTES[dtype] <= ROW_ON_CHIP_BYTES else 2.0


def _weight_gradients(call: Call, grad: TensorSpec, x: TensorSpec, made: list[TensorSpec], rows: float) -> Ops:
    """The sum over all rows of the gradient (and its product with the input), once for all weights."""
    if not made:
        return ()
    return (
        Pass(
            f"{call.name}.weights", "reduction", size((grad, x)), size(made), float(x.numel), x.dtype, rows, False, 3.0 * x.numel
        ),
    )


def _asked(call: Call, place: int, first: int) -> list[TensorSpec]:
    """The gradients of weights that the mask asks for; outputs hold one for each that is asked for, or all."""
    mask = call.option("output_mask", place, (True, True, True))
    outputs = call.outputs[first if len(call.outputs) == len(mask) else sum(map(bool, mask[:first])) :]
    return [spec for spec in outputs if spec.numel] if any(mask[first:]) else []


def _rows(call: Call, x: TensorSpec, row: float, flops: float, crossings: float = 0.0, kept: float = 0.0) -> Ops:
    """A pass of kind norm over rows of x; kept: bytes besides x that are read as well."""
    again = crossings or _crossings(row, x.dtype)
    return walk(call, "norm", reads=kept + again * x.bytes, row=row, flops_each=flops)


def _layer(call: Call) -> Ops:
    x = call.args[0]
    row = float(math.prod(call.args[1])) if isinstance(call.args[1], tuple) else float(x.shape[-1])
    return _rows(call, x, row, LAYER_FLOPS, kept=read(call) - x.bytes)


def _layer_backward(call: Call) -> Ops:
    grad, x = call.args[0], call.args[1]
    row = float(math.prod(call.args[2]))
    mask = call.option("output_mask", 5 if "rms" in call.name else 7, (True, True, True))
    made: Ops = ()
    if mask[0]:
        reads = read(call) + (_crossings(2.0 * row, x.dtype) - 1.0) * (grad.bytes + x.bytes)
        made = walk(call, "norm", reads=reads, writes=float(x.bytes), row=row, flops_each=GRADIENT_FLOPS)
    weights = _asked(call, 5 if "rms" in call.name else 7, 1)
    return (*made, *_weight_gradients(call, grad, x, weights, x.numel / max(row, 1.0)))


def _group(call: Call) -> Ops:
    x = call.args[0]
    row = x.numel / max(x.shape[0] * int(call.option("group", 6, 1)), 1)
    return _rows(call, x, row, LAYER_FLOPS, kept=read(call) - x.bytes)


def _group_backward(call: Call) -> Ops:
    grad, x = call.args[0], call.args[1]
    groups = max(x.shape[0] * int(call.option("group", 8, 1)), 1)
    again = _crossings(2.0 * x.numel / groups, x.dtype)
    reads = read(call) + (again - 1.0) * (grad.bytes + x.bytes)
    return walk(call, "norm", reads=reads, row=x.numel / groups, flops_each=GRADIENT_FLOPS)


def _batch_applied(call: Call) -> Ops:
    """Running statistics applied: a scale and a shift of each channel."""
    return walk(call, "pointwise", writes=float(call.outputs[0].bytes), flops_each=2.0)


def _batch(call: Call, training: int | None) -> Ops:
    """In training every channel is folded over the whole batch and then applied: two readings. Else it is one scaling."""
    x = call.args[0]
    taught = training is None or bool(call.option("training", training, True))
    if not x.numel:
        return ()
    if not taught:
        return _batch_applied(call)
    row = x.numel / max(x.shape[1], 1)
    statistics = 4.0 * x.shape[1] * ITEM_BYTES["fp32"]
    return walk(call, "norm", reads=read(call) + x.bytes, writes=written(call) + statistics, row=row, flops_each=BATCH_FLOPS)


def _batch_backward(call: Call, x_at: int, grad_at: int, train: int | None, mask_at: int | None) -> Ops:
    x, grad = call.args[x_at], call.args[grad_at]
    row = x.numel / max(x.shape[1], 1)
    taught = train is None or bool(call.option("train", train, True))
    mask = (True, True, True) if mask_at is None else call.option("output_mask", mask_at, (True, True, True))
    if not mask[0]:
        weights = [spec for spec in call.outputs if spec.numel]
        return _weight_gradients(call, grad, x, weights, row)
    if not taught and not any(mask[1:]):
        return walk(call, "pointwise", reads=float(grad.bytes), flops_each=2.0)
    twice = size((x, grad)) if taught else 0.0
    return walk(call, "norm", reads=read(call) + twice, row=row, flops_each=GRADIENT_FLOPS)


def _along(call: Call, spec: TensorSpec, dim: object) -> tuple[float, bool]:
    """(length of the dimension, whether neighbours along it lie side by side)."""
    place = dim if isinstance(dim, int) else -1
    if not spec.shape:
        return 1.0, True
    place %= len(spec.shape)
    return float(spec.shape[place]), innermost(spec) in (0, len(spec.shape) - place)


def _softmax(call: Call) -> Ops:
    x = call.args[0]
    row, straight = _along(call, x, call.option("dim", 1))
    again = _crossings(row, x.dtype)
    return walk(call, "softmax", reads=again * x.bytes, row=row, flops_each=SOFTMAX_FLOPS, contiguous=straight)


def _softmax_backward(call: Call) -> Ops:
    grad, y = call.args[0], call.args[1]
    row, straight = _along(call, y, call.option("dim", 2))
    again = _crossings(2.0 * row, y.dtype)
    return walk(call, "softmax", reads=again * size((grad, y)), row=row, flops_each=4.0, contiguous=straight)


def _masked_softmax(call: Call) -> Ops:
    x = call.args[0]
    row, straight = _along(call, x, call.option("dim", 2))
    return walk(call, "softmax", row=row, flops_each=SOFTMAX_FLOPS, contiguous=straight)


def _nll(call: Call) -> Ops:
    """One score of each row is fetched by its target's index, and the lot summed."""
    scores, target = call.args[0], call.args[1]
    reads = target.bytes + target.numel * ITEM_BYTES[scores.dtype]
    if not target.numel:
        return ()
    row = float(target.numel) if call.option("reduction", 3, 1) else 1.0
    return (
        Pass(
            call.name,
            "reduction",
            float(reads),
            written(call),
            float(target.numel),
            scores.dtype,
            row,
            False,
            float(target.numel),
        ),
    )


def _nll_backward(call: Call) -> Ops:
    """Zeros all over, and one element of each row set."""
    target = call.args[2]
    return walk(call, "scatter", reads=float(size((call.args[0], target))), flops_each=0.0, contiguous=True)


def _loss(call: Call) -> Ops:
    """Element by element, then folded, unless it is asked for each element."""
    reduction = call.option(
        "reduction", {"smooth_l1_loss": 2, "huber_loss": 2}.get(call.name, 3 if "cross" in call.name else 2), 1
    )
    folded = bool(reduction) and bool(call.outputs) and call.outputs[0].numel == 1
    return walk(call, "reduction" if folded else "pointwise", row=float(call.args[0].numel) if folded else 1.0, flops_each=3.0)


def _loss_backward(call: Call) -> Ops:
    return walk(call, "pointwise", flops_each=3.0)


def _weight_norm(call: Call) -> Ops:
    """Each output's weights folded to their length, and scaled to the one that was learned."""
    v = call.option("v", 1 if call.name.endswith("backward") else 0)
    return walk(call, "norm", row=v.numel / max(v.shape[0], 1), flops_each=4.0)


def _ctc(call: Call) -> Ops:
    return walk(call, "scan", row=float(call.args[0].shape[0]), flops_each=10.0)


def _statistics(call: Call) -> Ops:
    """Mean and variance of each channel over batch and space."""
    x = call.args[0]
    row = x.numel / max(x.shape[1], 1)
    return walk(call, "reduction", row=row, flops_each=3.0, contiguous=not channels_last(x))


_LOSSES = names(
    """
    mse_loss smooth_l1_loss huber_loss binary_cross_entropy soft_margin_loss multi_margin_loss
    multilabel_margin_loss_forward binary_cross_entropy_with_logits l1_loss kl_div poisson_nll_loss
    """
)

_LOSS_GRADIENTS = names(
    """
    mse_loss_backward smooth_l1_loss_backward huber_loss_backward binary_cross_entropy_backward soft_margin_loss_backward
    multi_margin_loss_backward multilabel_margin_loss_backward
    """
)

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("native_layer_norm", "layer_norm", "_fused_rms_norm", "rms_norm"), _layer),
    **dict.fromkeys(("native_layer_norm_backward", "_fused_rms_norm_backward"), _layer_backward),
    "native_group_norm": _group,
    "native_group_norm_backward": _group_backward,
    "native_batch_norm": partial(_batch, training=5),
    "cudnn_batch_norm": partial(_batch, training=5),
    "miopen_batch_norm": partial(_batch, training=5),
    "_native_batch_norm_legit": lambda call: _batch(call, 3 if call.op.endswith("no_stats") else 5),
    "_native_batch_norm_legit_functional": partial(_batch, training=5),
    "_native_batch_norm_legit_no_training": _batch_applied,
    "_batch_norm_with_update": partial(_batch, training=None),
    "_batch_norm_with_update_functional": partial(_batch, training=None),
    "_batch_norm_no_update": _batch_applied,
    "batch_norm_elemt": _batch_applied,
    "batch_norm_backward": partial(_batch_backward, x_at=1, grad_at=0, train=None, mask_at=9),
    "native_batch_norm_backward": partial(_batch_backward, x_at=1, grad_at=0, train=7, mask_at=9),
    "cudnn_batch_norm_backward": partial(_batch_backward, x_at=0, grad_at=1, train=None, mask_at=None),
    "miopen_batch_norm_backward": partial(_batch_backward, x_at=0, grad_at=1, train=None, mask_at=None),
    "batch_norm_stats": _statistics,
    "batch_norm_update_stats": _statistics,
    **dict.fromkeys(("_softmax", "_log_softmax", "softmax", "log_softmax", "_safe_softmax", "special_softmax"), _softmax),
    **dict.fromkeys(("_softmax_backward_data", "_log_softmax_backward_data"), _softmax_backward),
    **dict.fromkeys(("_weight_norm_interface", "_weight_norm_interface_backward"), _weight_norm),
    "_masked_softmax": _masked_softmax,
    "_masked_softmax_backward": _softmax_backward,
    **dict.fromkeys(("nll_loss_forward", "nll_loss2d_forward", "nll_loss", "nll_loss_nd"), _nll),
    **dict.fromkeys(("nll_loss_backward", "nll_loss2d_backward"), _nll_backward),
    **dict.fromkeys(_LOSSES, _loss),
    **dict.fromkeys(_LOSS_GRADIENTS, _loss_backward),
    **dict.fromkeys(("_ctc_loss", "_ctc_loss_backward", "_cudnn_ctc_loss"), _ctc),
}
