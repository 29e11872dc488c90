"""Convolutions in one to three dimensions, depthwise and transposed, and their gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from windtunnel.workload.ops import Convolution, Pass
from windtunnel.workload.program.call import Call, TensorSpec
from windtunnel.workload.program.work.traffic import Ops, Rule, channels_last

BIAS = "convolution_bias"
"""Name of the pass that adds a convolution's bias: PyTorch on cuDNN launches it by itself after the convolution; compilers and
the libraries of some chips fold it in."""

Direction = Literal["forward", "input_gradient", "weight_gradient"]


def _convolution(
    call: Call, x: TensorSpec, weight: TensorSpec, y: TensorSpec, transposed: bool, direction: Direction
) -> Convolution:
    """One direction of the convolution from x to y. A transposed one is the gradient of the convolution from y to x."""
    if transposed:
        x, y = y, x
        turned: dict[Direction, Direction] = {"forward": "input_gradient", "input_gradient": "forward"}
        direction = turned.get(direction, direction)
    spatial = len(weight.shape) - 2
    return Convolution(
        call.name,
        float(x.shape[0]) if len(x.shape) == spatial + 2 else 1.0,
        float(x.shape[-spatial - 1]),
        float(y.shape[-spatial - 1]),
        tuple(map(float, x.shape[-spatial:])),
        tuple(map(float, y.shape[-spatial:])),
        tuple(map(float, weight.shape[2:])),
        x.shape[-spatial - 1] / max(weight.shape[1], 1),
        weight.dtype,
        channels_last(x) or channels_last(y) or channels_last(weight),
        direction,
    )


def _forward(call: Call, transposed: bool, bias: object) -> Ops:
    x, weight = call.args[0], call.args[1]
    y = call.outputs[0]
    if not y.numel:
        return ()
    done = _convolution(call, x, weight, y, transposed, "forward")
    # kernels of depthwise convolutions add it as they go
    if not isinstance(bias, TensorSpec) or done.depthwise:
        return (done,)
    return (done, Pass(BIAS, "pointwise", float(y.bytes), float(y.bytes), float(y.numel), y.dtype, flops=float(y.numel)))


def _general(call: Call) -> Ops:
    return _forward(call, bool(call.option("transposed", 6, False)), call.option("bias", 2))


def _straight(call: Call) -> Ops:
    return _forward(call, False, call.option("bias", 2))


def _turned(call: Call) -> Ops:
    return _forward(call, True, call.option("bias", 2))


def _fused(call: Call) -> Ops:
    return _forward(call, "transpose" in call.name, None)


def _backward(call: Call) -> Ops:
    grad, x, weight = call.args[0], call.args[1], call.args[2]
    later = 0 if call.name.endswith("overrideable") else 1
    transposed = bool(call.option("transposed", 6 + later, False))
    mask = call.option("output_mask", 9 + later, (True, True, True))
    if not grad.numel or not x.numel:
        return ()
    made: Ops = ()
    if mask[0]:
        made += (_convolution(call, x, weight, grad, transposed, "input_gradient"),)
    if mask[1]:
        made += (_convolution(call, x, weight, grad, transposed, "weight_gradient"),)
    if mask[2]:
        channels = grad.shape[1]
        made += (
            Pass(
                "convolution_bias_gradient",
                "reduction",
                float(grad.bytes),
                float(channels * grad.bytes / grad.numel),
                float(grad.numel),
                grad.dtype,
                grad.numel / max(channels, 1),
                not channels_last(grad),
                float(grad.numel),
            ),
        )
    return made


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable"), _general),
    **dict.fromkeys(
        ("conv1d", "conv2d", "conv3d", "miopen_convolution", "mkldnn_convolution", "slow_conv3d", "_slow_conv2d_forward",
         "thnn_conv2d", "slow_conv_dilated2d", "slow_conv_dilated3d"),
        _straight,
    ),
    **dict.fromkeys(
        ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "slow_conv_transpose2d", "slow_conv_transpose3d"), _turned
    ),
    **dict.fromkeys(
        ("cudnn_convolution", "cudnn_convolution_transpose", "cudnn_convolution_relu", "cudnn_convolution_add_relu",
         "_conv_depthwise2d", "conv_depthwise3d", "miopen_depthwise_convolution", "miopen_convolution_transpose"),
        _fused,
    ),
    **dict.fromkeys(("convolution_backward", "convolution_backward_overrideable"), _backward),
}  # fmt: skip
