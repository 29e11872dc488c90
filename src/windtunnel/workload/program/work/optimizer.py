"""Updates of many tensors in one call: PyTorch's ``_foreach`` operators, fused optimisers, gradient scaling."""

from __future__ import annotations

from collections.abc import Mapping

from windtunnel.workload.ops import Pass, PassKind
from windtunnel.workload.program.call import Call, TensorSpec
from windtunnel.workload.program.work.naming import in_place
from windtunnel.workload.program.work.pointwise import FLOPS
from windtunnel.workload.program.work.traffic import Ops, Rule, operands, results, size, tensors, walk

FOREACH = "_foreach_"
_FOREACH_REDUCES = {"norm", "max", "powsum"}
_FUSED = {"_fused_adam": 12.0, "_fused_adamw": 14.0, "_fused_sgd": 4.0, "_fused_adagrad": 8.0}
"""FLOPs an element, roughly."""


def _many(
    call: Call, kind: PassKind, listed: tuple[TensorSpec, ...], read: float, written: float, flops_each: float, row: float = 1.0
) -> Ops:
    """One pass over a list of tensors; dtype: of the largest."""
    numel = float(sum(spec.numel for spec in listed))
    if not numel:
        return ()
    largest = max(listed, key=lambda spec: spec.numel)
    return (
        Pass(call.name, kind, read, written, numel, largest.dtype, row, True, flops_each * numel, tensors=float(len(listed))),
    )


def foreach(call: Call) -> Ops:
    """The same operator on every tensor of a list."""
    listed = tensors(call.args[0])
    base = call.name.removeprefix(FOREACH).rstrip("_")
    if base in _FOREACH_REDUCES:
        mean = sum(spec.numel for spec in listed) / max(len(listed), 1)
        return _many(call, "reduction", listed, size(listed), size(results(call)), 2.0, mean)
    given = operands(call)
    reads = size(given)
    if base == "zero":
        reads = 0.0
    elif base == "copy" and in_place(call.name):
        reads -= size(listed)
    return _many(call, "optimizer", listed, reads, size(results(call)), FLOPS.get(base, 1.0 if base != "copy" else 0.0))


def _fused(call: Call) -> Ops:
    """Parameters and state read and written, gradients read (and written back unscaled where they were scaled)."""
    flops = _FUSED[call.name.rstrip("_")]
    parameters, gradients = tensors(call.args[0]), tensors(call.args[1])
    state = [spec for value in call.args[2:5] for spec in tensors(value) if spec.numel > 1 or spec.shape]
    scaled = isinstance(call.option("grad_scale"), TensorSpec)
    kept = size((*parameters, *state))
    return _many(call, "optimizer", parameters, kept + size(gradients), kept + (size(gradients) if scaled else 0.0), flops)


def _unscaled(call: Call) -> Ops:
    listed = tensors(call.args[0])
    return _many(call, "optimizer", listed, size(listed), size(listed), 2.0)


def _rescaled(call: Call) -> Ops:
    return walk(call, "pointwise", flops_each=2.0)


RULES: Mapping[str, Rule] = {
    **{f"{name}_": _fused for name in _FUSED},
    **dict.fromkeys(_FUSED, _fused),
    "_amp_foreach_non_finite_check_and_unscale_": _unscaled,
    "_amp_update_scale_": _rescaled,
}
"""Besides these, every name that begins with FOREACH is ``foreach``'s."""
