"""Matrix products: of matrices, batches and groups of them, scaled, with what is added in the epilogue."""

from __future__ import annotations

import math
from collections.abc import Mapping

from windtunnel.workload.ops import BITS, Gemm
from windtunnel.workload.program.call import Call, TensorSpec
from windtunnel.workload.program.work.naming import in_place
from windtunnel.workload.program.work.traffic import Ops, Rule, copied, walk

_REAL = {"complex32": "fp16", "complex64": "fp32", "complex128": "fp64"}
_MATRIX_UNIT = frozenset(BITS) & {"fp64", "fp32", "bf16", "fp16", "fp8", "int8", "fp4"}
"""Stored types that a matrix product multiplies as they are; integers wider than a byte have no matrix unit anywhere."""


def _product(call: Call, m: float, n: float, k: float, weight: TensorSpec, batch: float = 1.0, dtype: str = "") -> Ops:
    """``batch`` products of m x k by k x n. Complex numbers multiply as four real products."""
    if weight.dtype == "fp4":
        k *= 2.0  # two values to a stored byte, and the shape counts bytes
    if not m * n * k * batch:
        return walk(call, "pointwise", reads=0.0)
    stored = dtype or weight.dtype
    if stored in _REAL:
        return (Gemm(call.name, m, n, k, _REAL[stored], 1.0, 4.0 * batch),)
    if stored not in _MATRIX_UNIT and stored not in BITS:
        return walk(call, "other", row=k, flops_each=2.0 * batch * m * n * k / max(s.numel for s in call.inputs))
    return (Gemm(call.name, m, n, k, stored, 1.0, batch),)


def _two(call: Call, a: TensorSpec, b: TensorSpec, dtype: str = "") -> Ops:
    """The product of two matrices, or of two batches of them; a batch that is one matrix expanded is one product."""
    if len(a.shape) == 2:
        return _product(call, a.shape[0], b.shape[1], a.shape[1], b, 1.0, dtype)
    batch, m, k = a.shape
    n = b.shape[2]
    if batch > 1 and b.stride and not b.stride[0]:
        return _product(call, float(batch * m), n, k, b, 1.0, dtype)
    if batch > 1 and a.stride and not a.stride[0]:
        return _product(call, m, float(batch * n), k, b, 1.0, dtype)
    return _product(call, m, n, k, b, batch, dtype)


def _plain(call: Call) -> Ops:
    return _two(call, call.option("self", 0), call.option("mat2", 1))


def _added(call: Call) -> Ops:
    """beta * C + A B. A row that is added to every row goes in the epilogue; a full C is copied to the result first."""
    c: TensorSpec = call.args[0]
    product = _two(call, call.args[1], call.args[2])
    row = len(c.shape) < 2 or c.numel == c.shape[-1] or (bool(c.stride) and not any(c.stride[:-1]))
    if row or in_place(call.name) or call.option("beta", None, 1) == 0:
        return product
    return (*copied(call.outputs[0] if call.outputs else c), *product)


def _summed_batch(call: Call) -> Ops:
    """The sum of a batch of products: one product over all of their inner lengths."""
    a, b = call.args[1], call.args[2]
    return _product(call, a.shape[1], b.shape[2], float(a.shape[0] * a.shape[2]), b)


def _vector(call: Call) -> Ops:
    matrix: TensorSpec = call.args[1] if call.name.startswith("addmv") else call.args[0]
    return _product(call, 1.0, matrix.shape[0], matrix.shape[1], matrix)


def _dot(call: Call) -> Ops:
    """The product of two vectors is a sum over memory: no matrix unit takes part."""
    return walk(call, "reduction", row=float(call.args[0].numel), flops_each=2.0)


def _linear(call: Call) -> Ops:
    x, weight = call.option("input", 0), call.option("weight", 1)
    n = weight.shape[0] if len(weight.shape) > 1 else 1
    return _product(call, x.numel / max(x.shape[-1], 1), n, x.shape[-1], weight)


def _matmul(call: Call) -> Ops:
    """As ``torch.matmul`` folds them: a batch by one matrix is one product."""
    a, b = call.option("self", 0), call.option("other", 1)
    if len(a.shape) == 1 and len(b.shape) == 1:
        return _dot(call)
    k = a.shape[-1]
    m = a.shape[-2] if len(a.shape) > 1 else 1
    n = b.shape[-1] if len(b.shape) > 1 else 1
    if len(b.shape) <= 2:
        return _product(call, a.numel / max(k, 1), n, k, b)
    if len(a.shape) == 1:
        return _product(call, 1.0, n, k, b, math.prod(b.shape[:-2]))
    made = call.outputs[0].numel if call.outputs else max(math.prod(a.shape[:-2]), math.prod(b.shape[:-2])) * m * n
    return _product(call, m, n, k, b, made / max(m * n, 1))


def _linear_backward(call: Call) -> Ops:
    x, grad, weight = call.args[0], call.args[1], call.args[2]
    mask = call.option("output_mask", 3, (True, True, True))
    n, k = weight.shape
    rows = x.numel / max(k, 1)
    made: Ops = ()
    if mask[0]:
        made += _product(call, rows, k, n, weight)
    if mask[1]:
        made += _product(call, n, k, rows, grad)
    if mask[2]:
        made += walk(call, "reduction", reads=float(grad.bytes), writes=float(call.outputs[-1].bytes), row=rows, contiguous=False)
    return made


def _grouped(call: Call) -> Ops:
    """A group's rows by its own matrix. Groups that got rows are ``min(groups, rows)``, each with an even share of them.

    Rows [T, K] by [E, K, N]; [E, M, K] by columns [K, T]; inner lengths [M, T] by [T, N] (the weights' gradient); or a batch.
    """
    a, b = call.args[0], call.args[1]
    offsets = call.option("offs", 4 if call.name.startswith("_scaled") else 2)
    if len(a.shape) == 3 and len(b.shape) == 3:
        return _two(call, a, b)
    if len(b.shape) == 3:
        groups, k, n = b.shape
        active = max(min(groups, a.shape[0]), 1)
        return _product(call, a.shape[0] / active, n, k, b, active)
    if len(a.shape) == 3:
        groups, m, k = a.shape
        active = max(min(groups, b.shape[1]), 1)
        return _product(call, m, b.shape[1] / active, k, b, active)
    groups = offsets.numel if isinstance(offsets, TensorSpec) else (call.outputs[0].shape[0] if call.outputs else 1)
    active = max(min(groups, a.shape[1]), 1)
    return _product(call, a.shape[0], b.shape[1], a.shape[1] / active, b, active)


def _weight_only(dtype: str) -> Rule:
    """Weights stored narrow and widened on the way to 16-bit products (n from the result, since they come packed)."""

    def rule(call: Call) -> Ops:
        x = call.args[0]
        return _product(call, x.numel / max(x.shape[-1], 1), call.outputs[0].shape[-1], x.shape[-1], x, 1.0, dtype)

    return rule


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("mm", "bmm", "_scaled_mm", "_scaled_mm_v2", "_int_mm"), _plain),
    **dict.fromkeys(("addmm", "baddbmm", "_addmm_activation"), _added),
    **dict.fromkeys(("_grouped_mm", "_scaled_grouped_mm", "_scaled_grouped_mm_v2"), _grouped),
    **dict.fromkeys(("mv", "addmv"), _vector),
    **dict.fromkeys(("dot", "vdot", "linalg_vecdot"), _dot),
    "addbmm": _summed_batch,
    "linear": _linear,
    "linear_backward": _linear_backward,
    "matmul": _matmul,
    "_weight_int8pack_mm": _weight_only("fp8_wide"),
    "_weight_int4pack_mm": _weight_only("w4a16"),
}
