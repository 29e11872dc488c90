"""Prices the operators of programs: what each formula of ``program_formulas`` is told of an operator and its chip."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from windtunnel.catalog.chip import Chip
from windtunnel.cost import program_formulas as f
from windtunnel.cost.formulas import PLAIN, Machine
from windtunnel.cost.price import NOTHING, OpCost, priced, roofline
from windtunnel.workload.ops import Attention, AttentionBackward, Convolution, Pass, activation_bytes

if TYPE_CHECKING:
    from windtunnel.cost.model import CostModel

BACKWARD_EFFICIENCY = 0.85
"""Share of the forward's FLOP/s that attention's gradients reach. **Source:** FlashAttention-2 (arXiv 2307.08691, section 4.1):
up to 73 % of an A100's peak forward, 63 % backward."""


def program_cost(costs: CostModel, op: Pass | Convolution | Attention | AttentionBackward) -> OpCost:
    """Time of one launch. Raises MissingFactError, UnsupportedError."""
    if isinstance(op, Pass):
        return _pass(costs, op)
    if isinstance(op, Convolution):
        return _depthwise(costs, op) if op.depthwise else _convolution(costs, op)
    if isinstance(op, AttentionBackward):
        forward = costs.cost(op.forward)
        factor = op.flops / op.forward.flops / BACKWARD_EFFICIENCY if op.forward.flops > 0 else 0.0
        return OpCost(forward.time_s * factor, forward.bound, forward.evidence, forward.spread)
    return _attention(costs, op)


def vector_flops_per_s(chip: Chip) -> float:
    """Rate of the vector units in plain floats; 0 where no source gives it.

    Makers of GPUs (PyTorch's cuda) print it as the FP32 peak; that of other chips is their matrix unit's.
    """
    for key in ("vector_flops_per_s.fp32", "vector_flops_per_s.fp16", *(["matrix_flops_per_s.fp32"] * (chip.device == "cuda"))):
        if chip.has(key):
            return chip.value(key)
    return 0.0


def _pass(costs: CostModel, op: Pass) -> OpCost:
    if op.bytes <= 0:
        return NOTHING
    p = costs.family("pass")
    slowed = f.slowed(p.values, op.kind, op.contiguous)
    times = f.walk(PLAIN, p.values, costs.memory_bytes_per_s, costs.cache_bytes, op.bytes, slowed)
    return priced(times, p, 0.0)


def _convolution(costs: CostModel, op: Convolution) -> OpCost:
    if op.flops <= 0:
        return NOTHING
    dtype = convolution_dtype(costs, op.dtype)
    p = costs.family("convolution")
    times = f.convolution(PLAIN, p.values, achieved(costs, dtype), *convolution_shape(op))
    # what is left in the cache by the call before need not cross the memory's interface
    return priced(times, p, roofline(costs.machine(dtype), op.flops, 0.0))


def convolution_shape(op: Convolution) -> tuple[float, float, float, float, float, float, float, float]:
    """What the formula takes of a convolution: m, n, k of one group's product, groups, bytes of images and of weights,
    whether its kernel is a window, whether its images are planar."""
    places, taps = math.prod(op.result), math.prod(op.kernel)
    within, wide = op.in_channels / op.groups, op.out_channels / op.groups
    images = op.batch * (math.prod(op.image) * op.in_channels + places * op.out_channels) * activation_bytes(op.dtype)
    m, n, k = op.batch * places, wide, taps * within
    if op.direction == "input_gradient":
        m, n = op.batch * math.prod(op.image), within
        k = op.flops / (2.0 * op.groups * m * n)
    elif op.direction == "weight_gradient":
        m, n, k = taps * within, wide, op.batch * places
    return m, n, k, op.groups, images, op.bytes - images, float(taps > 1), float(not op.channels_last)


def achieved(costs: CostModel, dtype: str) -> Machine:
    """The chip with the rates that its matrix products reach: convolutions and attention over all keys are fitted as shares
    of those, so that what is known of a chip's products carries over to them."""
    machine = costs.machine(dtype)
    share = costs.family("gemm", dtype).values["compute"]
    return Machine(machine.flops_per_s * share, machine.wide_flops_per_s * share, machine.bytes_per_s, machine.cache_bytes)


def convolution_dtype(costs: CostModel, dtype: str) -> str:
    """The type that multiplies: PyTorch lets cuDNN round FP32 convolutions (not products) to TF32 unless told otherwise."""
    chip = costs.chip
    if dtype == "fp32" and costs.tf32_convolutions and chip.device == "cuda" and chip.has("matrix_flops_per_s.tf32"):
        return "tf32"
    return costs.running(dtype) if dtype in ("bf16", "fp16") else dtype


def _depthwise(costs: CostModel, op: Convolution) -> OpCost:
    p = costs.family("depthwise")
    times = f.depthwise(
        PLAIN, p.values, costs.memory_bytes_per_s, costs.cache_bytes, vector_flops_per_s(costs.chip), op.flops, op.bytes,
        float(not op.channels_last),
    )  # fmt: skip
    return priced(times, p, 0.0)


def _attention(costs: CostModel, op: Attention) -> OpCost:
    if op.flops <= 0:
        return NOTHING
    p = costs.family("attention_full")
    times = f.attention_full(PLAIN, p.values, achieved(costs, costs.wide), op.flops, op.bytes, op.q_len, op.seen, op.qk_dim)
    return priced(times, p, roofline(costs.machine(costs.wide), op.flops, 0.0))
