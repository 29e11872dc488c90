"""Pooling, resizing and sampling of images, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping

from windtunnel.workload.ops import Pass
from windtunnel.workload.program.call import Call, TensorSpec
from windtunnel.workload.program.work.naming import names
from windtunnel.workload.program.work.traffic import Ops, Rule, fill, size, walk

_POOLS = names(
    """
    max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d
    fractional_max_pool2d fractional_max_pool3d
    """
)
_ADAPTIVE = [
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
]
_POOL_GRADIENTS = ["avg_pool2d_backward", "avg_pool3d_backward", "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward"]
_INDEXED_GRADIENTS = [
    "max_pool2d_with_indices_backward",
    "max_pool3d_with_indices_backward",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool3d_backward",
    "max_unpool2d",
    "max_unpool3d",
    "fractional_max_pool2d_backward",
    "max_pool2d_backward",
]
_TAPS = {
    "nearest1d": 1, "nearest2d": 1, "nearest3d": 1, "linear1d": 2, "bilinear2d": 4, "bicubic2d": 16, "trilinear3d": 8,
    "lanczos2d": 36, "nearest_exact": 1,
}  # fmt: skip
"""Input elements behind one output element of an upsampling without antialiasing."""


def _pooled(call: Call) -> Ops:
    """Each output looks at a window; windows that overlap are served by the cache."""
    window = call.option("kernel_size", 1, ())
    taps = float(math.prod(window)) if isinstance(window, tuple) else float(window)
    if isinstance(window, tuple) and len(window) == 1:
        taps **= len(call.args[0].shape) - 2
    share = call.outputs[0].numel / max(call.args[0].numel, 1) if call.outputs else 1.0
    return walk(call, "pool", row=taps, flops_each=taps * min(share, 1.0))


def _averaged(call: Call) -> Ops:
    x, made = call.args[0], call.outputs[0]
    row = x.numel / max(made.numel, 1)
    return walk(call, "reduction" if made.shape[-1:] == (1,) else "pool", row=max(row, 1.0), flops_each=1.0)


def _pool_backward(call: Call) -> Ops:
    """Only the gradient is read: an average's operand has no part in it."""
    grad = call.args[0]
    return walk(call, "pool", reads=float(grad.bytes), row=max(call.outputs[0].numel / max(grad.numel, 1), 1.0), flops_each=1.0)


def _index_backward(call: Call) -> Ops:
    """Zeros, and each gradient added where its index says."""
    grad = call.args[0]
    indices = next((spec for spec in reversed(call.inputs) if spec.dtype in ("int64", "int32")), None)
    made = call.outputs[0]
    if not made.numel:
        return ()
    reads = size((grad, indices)) if isinstance(indices, TensorSpec) else float(grad.bytes)
    row = max(made.numel / max(grad.numel, 1), 1.0)
    return (Pass(call.name, "pool", reads, float(made.bytes), float(made.numel), made.dtype, row, True, float(made.numel)),)


def _taps(name: str) -> float:
    return next((float(taps) for key, taps in _TAPS.items() if key in name), 4.0)


def _resized(call: Call) -> Ops:
    taps = _taps(call.name)
    return walk(call, "resample", row=taps, flops_each=2.0 * taps)


def _resized_backward(call: Call) -> Ops:
    """Nearest neighbours gather each input's gradients; the others add theirs to zeros."""
    taps = _taps(call.name)
    zeros = fill(call, call.outputs[0]) if taps > 1 and call.outputs else ()
    return (*zeros, *walk(call, "resample", row=taps, flops_each=2.0 * taps))


def _sampled(call: Call) -> Ops:
    return walk(call, "resample", row=4.0, flops_each=20.0, contiguous=False)


_SAMPLES = names(
    """
    grid_sampler_2d grid_sampler_3d cudnn_grid_sampler grid_sampler_2d_backward grid_sampler_3d_backward
    cudnn_grid_sampler_backward affine_grid_generator roi_align _roi_align_backward roi_pool ps_roi_align deform_conv2d
    """
)
_UPSAMPLES = names(
    """
    upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d
    _upsample_bilinear2d_aa _upsample_bicubic2d_aa _upsample_lanczos2d_aa
    """
)

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_POOLS, _pooled),
    **dict.fromkeys(_ADAPTIVE, _averaged),
    **dict.fromkeys(_POOL_GRADIENTS, _pool_backward),
    **dict.fromkeys(_INDEXED_GRADIENTS, _index_backward),
    **dict.fromkeys(_UPSAMPLES, _resized),
    **dict.fromkeys((f"{name}_backward" for name in _UPSAMPLES), _resized_backward),
    **dict.fromkeys(_SAMPLES, _sampled),
}  # fmt: skip
