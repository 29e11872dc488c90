"""What a chip's kernels do for one operator call: products, attention, convolutions, passes over memory.

``work`` is a table lookup: each family of operators has a module with its rules, by the operator's bare name. Names outside
every table get one pass over all that is read and written, and ``known`` says so. Nothing here needs PyTorch.
"""

from __future__ import annotations

from windtunnel.workload.program.call import Call
from windtunnel.workload.program.work import (
    attention,
    convolution,
    encoder,
    image,
    matmul,
    movement,
    norm,
    npu,
    optimizer,
    pointwise,
    recurrent,
    reduction,
)
from windtunnel.workload.program.work.collective import collective, is_collective
from windtunnel.workload.program.work.convolution import BIAS as CONVOLUTION_BIAS
from windtunnel.workload.program.work.naming import bare, in_place
from windtunnel.workload.program.work.traffic import Ops, Rule, walk
from windtunnel.workload.program.work.views import NO_KERNEL, is_view

__all__ = ["CONVOLUTION_BIAS", "collective", "is_collective", "is_view", "known", "work"]


def _nothing(call: Call) -> Ops:
    return ()


_RULES: dict[str, Rule] = {
    **dict.fromkeys(NO_KERNEL, _nothing),
    **pointwise.RULES,
    **movement.RULES,
    **reduction.RULES,
    **image.RULES,
    **norm.RULES,
    **optimizer.RULES,
    **recurrent.RULES,
    **matmul.RULES,
    **convolution.RULES,
    **attention.RULES,
    **encoder.RULES,
    **npu.RULES,
}


def _rule(op: str) -> Rule | None:
    """The rule of an operator by its full name; an in-place operator has that of the one it is named after."""
    name = bare(op)
    found = _RULES.get(name)
    if found is None and in_place(name):
        found = _RULES.get(name.rstrip("_"))
    if found is None:  # the functional form of what is written in place
        found = _RULES.get(name + "_")
    if found is None and name.startswith(optimizer.FOREACH):
        found = optimizer.foreach
    return _nothing if found is None and is_collective(op) else found


def known(op: str) -> bool:
    """Whether the work of this operator (``aten.addmm.default``) was thought of, rather than taken as one plain pass."""
    return _rule(op) is not None


def work(call: Call) -> Ops:
    """What one call launches, in order: nothing for views, and for collectives (see ``collective``).

    An operator that is not ``known`` is one Pass of kind "other" over all that it is given and makes.
    """
    rule = _rule(call.op)
    return walk(call, "other") if rule is None else rule(call)
