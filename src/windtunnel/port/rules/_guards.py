"""Conditions that keep what only CUDA has from running elsewhere; they must stay as they are."""

from __future__ import annotations

import ast

from windtunnel.port.device_choice import branches_after, names_others
from windtunnel.port.python import PythonTree

_ONLY_CUDA = (
    "torch.cuda.get_device_capability", "torch.cuda.get_device_properties", "torch.cuda.CUDAGraph", "torch.cuda.graph",
    "torch.cuda.make_graphed_callables", "torch.cuda.get_arch_list", "torch.cuda.cudart", "torch.version.cuda",
    "torch.cuda.nvtx.", "torch.cuda.utilization", "torch.cuda.temperature", "torch.cuda.power_draw", "torch.cuda.clock_rate",
    "torch.utils.cpp_extension.", "flash_attn.", "xformers.", "apex.", "pynvml.", "cupy.", "numba.cuda.", "bitsandbytes.",
    "transformer_engine.", "triton.", "tensorrt.", "nvidia.",
)  # fmt: skip
GUARDS = "the branch that it guards needs CUDA itself; port that first"
OTHERS_FOLLOW = "a branch that follows is another accelerator's own; name the others beside it"


def guards_cuda_only(python: PythonTree, node: ast.AST) -> str:
    """The reason to leave a condition at ``node`` alone: what runs where it holds is CUDA's own. Empty where it is not."""
    below = node
    for above in python.ancestors(node):
        if isinstance(above, ast.If) and above.test is below:
            negated = isinstance(above.test, ast.UnaryOp) and isinstance(above.test.op, ast.Not)
            return GUARDS if not negated and any(_needs_cuda(python, s) for s in above.body) else ""
        if isinstance(above, ast.IfExp) and above.test is below:
            return GUARDS if _needs_cuda(python, above.body) else ""
        # `available and capability`, or `not available or capability`: the second is asked only where the first holds
        negated = isinstance(below, ast.UnaryOp) and isinstance(below.op, ast.Not)
        if isinstance(above, ast.BoolOp) and isinstance(above.op, ast.Or if negated else ast.And):
            later = above.values[above.values.index(below) + 1 :] if below in above.values else []
            if any(_needs_cuda(python, value) for value in later):
                return GUARDS
        if isinstance(above, ast.stmt):
            return ""
        below = above
    return ""


def others_follow(python: PythonTree, node: ast.AST) -> str:
    """The reason to leave a comparison at ``node`` alone: another accelerator would no longer come to the branch that it has."""
    below = node
    for above in python.ancestors(node):
        if isinstance(above, ast.If | ast.IfExp) and above.test is below:
            return OTHERS_FOLLOW if names_others(branches_after(above)[0]) else ""
        if isinstance(above, ast.stmt):
            return ""
        below = above
    return ""


def _needs_cuda(python: PythonTree, node: ast.AST) -> bool:
    for inside in ast.walk(node):
        if isinstance(inside, ast.Attribute | ast.Name) and isinstance(inside.ctx, ast.Load):
            name = python.resolve(inside)
            if name and name.startswith(_ONLY_CUDA):
                return True
    return False
