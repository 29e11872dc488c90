"""What folds, orders or accumulates along dimensions: sums, extrema, sorting, scans, Fourier transforms, linear algebra."""

from __future__ import annotations

import math
from collections.abc import Mapping

from windtunnel.workload.ops import Pass
from windtunnel.workload.program.call import ITEM_BYTES, Call, TensorSpec
from windtunnel.workload.program.work.naming import names
from windtunnel.workload.program.work.traffic import ROW_ON_CHIP_BYTES, Ops, Rule, innermost, read, walk, written

_REDUCTIONS = names(
    """
    sum nansum mean nanmean amax amin aminmax max min argmax argmin all any prod var std var_mean std_mean norm
    linalg_vector_norm logsumexp count_nonzero _is_all_true _is_any_true linalg_norm linalg_matrix_norm sum_to_size trace
    dist hash_tensor renorm batch_norm_backward_reduce segment_reduce
    """
)
_NORM_DIM = {"linalg_vector_norm": 2, "norm": 2}
_ORDERED = names(
    """
    sort argsort topk kthvalue median nanmedian mode unique_consecutive _unique2 unique_dim msort quantile
    searchsorted bucketize _unique
    """
)
_SCANS = names(
    "cumsum cumprod cummax cummin _cummax_helper _cummin_helper logcumsumexp _logcumsumexp diff nonzero nonzero_static trapezoid"
)
_RADIX_BITS = 8
"""Bits of a key that one pass of a radix sort orders by."""
_FACTORISATIONS = {
    "linalg_cholesky_ex": 1 / 3, "cholesky": 1 / 3, "cholesky_inverse": 2 / 3, "cholesky_solve": 2.0, "linalg_inv_ex": 2.0,
    "linalg_lu_factor_ex": 2 / 3, "linalg_lu": 2 / 3, "lu_unpack": 0.0, "linalg_lu_solve": 2.0, "_linalg_solve_ex": 8 / 3,
    "linalg_solve_triangular": 1.0, "triangular_solve": 1.0, "_linalg_det": 2 / 3, "_linalg_slogdet": 2 / 3, "linalg_qr": 4 / 3,
    "linalg_householder_product": 4 / 3, "ormqr": 2.0, "geqrf": 4 / 3, "linalg_ldl_factor_ex": 1 / 3, "linalg_ldl_solve": 2.0,
    "_linalg_eigh": 9.0, "linalg_eigh": 9.0, "_linalg_eigvals": 10.0, "linalg_eig": 25.0, "_linalg_svd": 21.0,
    "linalg_lstsq": 4.0,    "linalg_matrix_exp": 30.0, "linalg_pinv": 25.0,
}  # fmt: skip
"""FLOPs over n cubed of a square matrix, leading term. **Source:** Golub and Van Loan, Matrix Computations, 4th edition, the
operation counts beside each algorithm (the iterative ones: with vectors, to convergence as it usually is)."""


def _dims(call: Call, x: TensorSpec) -> set[int]:
    """The dimensions that are folded; all where none is given."""
    given = call.option("dim", _NORM_DIM.get(call.name, 1))
    places = given if isinstance(given, tuple) else (given,)
    found = {p % len(x.shape) for p in places if isinstance(p, int) and not isinstance(p, bool)} if x.shape else set()
    return found or set(range(len(x.shape)))


def _reduced(call: Call) -> Ops:
    """Folded along dimensions; contiguous where neighbours are among what is folded."""
    x = call.args[0]
    if not isinstance(x, TensorSpec):
        return walk(call, "reduction", flops_each=1.0)
    if len(call.args) > 1 and isinstance(call.args[1], TensorSpec):  # max(a, b): element by element
        return walk(call, "pointwise", flops_each=1.0)
    inner = innermost(x)
    straight = inner == 0 or (inner > 0 and len(x.shape) - inner in _dims(call, x))
    made = call.outputs[0].numel if call.outputs else 1
    flops = 3.0 if call.name.startswith(("var", "std", "logsumexp")) else 1.0
    return walk(call, "reduction", row=x.numel / max(made, 1), flops_each=flops, contiguous=straight)


def _length(call: Call, place: int, default: int = -1) -> float:
    x = call.args[0]
    dim = call.option("dim", place, default)
    return float(x.shape[dim]) if x.shape and isinstance(dim, int) and not isinstance(dim, bool) else float(x.numel)


def _ordered(call: Call) -> Ops:
    """Rows that fit on the chip are ordered there; longer ones by radix, all keys and places moved for each digit."""
    x = call.args[0]
    if not isinstance(x, TensorSpec) or call.name in ("searchsorted", "bucketize"):
        return walk(call, "gather", flops_each=10.0, contiguous=False)
    selects = call.name in ("topk", "kthvalue")
    row = _length(call, {"topk": 2, "kthvalue": 2}.get(call.name, 1))
    digits = ITEM_BYTES[x.dtype] * 8 / _RADIX_BITS
    long = row * ITEM_BYTES[x.dtype] > ROW_ON_CHIP_BYTES
    if selects:
        return walk(call, "sort", reads=x.bytes * (digits if long else 1.0), row=row, flops_each=digits)
    passes = digits if long else 1.0
    pairs = written(call) if len(call.outputs) > 1 else float(x.bytes + 8 * x.numel)
    reads = x.bytes + (passes - 1.0) * pairs
    return walk(
        call, "sort", reads=reads, writes=written(call) + (passes - 1.0) * pairs, row=row, flops_each=math.log2(max(row, 2.0))
    )


def _scanned(call: Call) -> Ops:
    return walk(call, "scan", row=_length(call, 1), flops_each=1.0)


def _counted(call: Call) -> Ops:
    """Histograms: everything read, a bin of each added to."""
    return walk(call, "scatter", flops_each=1.0, contiguous=False)


def _transformed(call: Call) -> Ops:
    """A Fourier transform of each dimension in turn, across memory each time. 5 N log2 N FLOPs for a complex length of N."""
    x, made = call.args[0], call.outputs[0]
    dims = call.args[1] if isinstance(call.args[1], tuple) else (-1,)
    larger = x if x.numel >= made.numel else made
    points = math.prod(larger.shape[d] for d in dims) if larger.shape else 1
    real = 0.5 if call.name != "_fft_c2c" else 1.0
    between = (len(dims) - 1.0) * max(x.bytes, made.bytes)
    flops = 5.0 * real * math.log2(max(points, 2))
    inner = innermost(x)
    straight = {d % len(x.shape) for d in dims} == {len(x.shape) - inner} if inner > 0 else True
    return walk(
        call,
        "spectral",
        reads=x.bytes + between,
        writes=made.bytes + between,
        row=float(points),
        flops_each=flops,
        contiguous=straight,
    )


def _factorised(call: Call) -> Ops:
    """Batches of small dense matrices: the vendor's solver, whose time is mostly its many dependent steps."""
    x = max(call.inputs, key=lambda spec: spec.numel)
    if not x.numel or len(x.shape) < 2:
        return ()
    n = float(min(x.shape[-2:]))
    factor = _FACTORISATIONS[call.name.removesuffix("_")]
    matrices = x.numel / (x.shape[-1] * x.shape[-2])
    flops = factor * n * n * max(x.shape[-2:]) * matrices
    return (Pass(call.name, "other", read(call), written(call), float(x.numel), x.dtype, n, True, flops),)


def _distances(call: Call) -> Ops:
    """Every row of one against every row of the other."""
    width = float(call.args[0].shape[-1])
    made = call.outputs[0]
    if not made.numel:
        return ()
    return (
        Pass(call.name, "other", read(call), written(call), float(made.numel), made.dtype, width, True, 3.0 * width * made.numel),
    )


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_REDUCTIONS, _reduced),
    **dict.fromkeys(_ORDERED, _ordered),
    **dict.fromkeys(_SCANS, _scanned),
    **dict.fromkeys(("bincount", "histc", "histogram", "_histogramdd_bin_edges"), _counted),
    **dict.fromkeys(("_fft_r2c", "_fft_c2c", "_fft_c2r"), _transformed),
    **dict.fromkeys(_FACTORISATIONS, _factorised),
    **dict.fromkeys(("_cdist_forward", "_cdist_backward", "_euclidean_dist", "_pdist_forward"), _distances),
}
