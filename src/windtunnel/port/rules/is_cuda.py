"""Tensors that are asked whether they lie on CUDA."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.neutral import DEVICE_TYPE, found, in_parentheses
from windtunnel.port.python import PythonTree
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._guards import guards_cuda_only
from windtunnel.port.source import Source

OWN = "an attribute of its own class, which may not be a tensor's"


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for node in python.of(ast.Attribute):
        if node.attr != "is_cuda" or not isinstance(node.ctx, ast.Load):
            continue
        start, end = python.span(node)
        at = end - len("is_cuda"), end
        call = python.parent(node)
        if isinstance(call, ast.Attribute) or (isinstance(call, ast.Call) and call.func is node):
            continue  # a method: current_platform.is_cuda() asks for the kind of machine, and is somebody's own
        reason = guards_cuda_only(python, node)
        if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            reason = OWN
        if reason:
            yield found(source, RULE, node, at=at, unfixed=reason)
            continue
        negation = _negation(python, node)
        if negation:
            yield found(source, RULE, node, (negation, Edit(*at, f"device.type != {DEVICE_TYPE}")), at=at)
            continue
        text = f"device.type == {DEVICE_TYPE}"
        opening = in_parentheses(python, node, text).startswith("(")
        around = (Edit(start, start, "("), Edit(end, end, ")")) if opening else ()
        yield found(source, RULE, node, (Edit(*at, text), *around), at=at)


def _negation(python: PythonTree, node: ast.Attribute) -> Edit | None:
    """The edit that takes away the ``not`` right before a node; None where there is none."""
    above = python.parent(node)
    if not (isinstance(above, ast.UnaryOp) and isinstance(above.op, ast.Not)):
        return None
    start, end = python.start(above), python.start(node)
    return Edit(start, end, "") if python.source.text[start:end].rstrip(" ") == "not" else None


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
)  # fmt: skip

RULE = Rule(
    id="is-cuda",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="A tensor asked whether it lies on CUDA.",
    why="On any other accelerator the answer is no, and the program takes the branch that was meant for the CPU.",
    instead="Compare the type of its device with that of the accelerator that there is.",
    find=find,
    cases=(
        Case("import torch\nis_cuda = True\n", 0, note="a name"),
        Case("from vllm.platforms import current_platform\nif current_platform.is_cuda():\n    pass\n", 0, note="a method"),
        Case("import torch\nplatform.is_cuda.return_value = False\n", 0, note="a stand-in for a method"),
        Case("import torch\nif x.is_cuda:\n    pass\n", 1, _TOP + "if x.device.type == _DEVICE_TYPE:\n    pass\n"),
        Case("import torch\nif not x.is_cuda:\n    pass\n", 1, _TOP + "if x.device.type != _DEVICE_TYPE:\n    pass\n"),
        Case("import torch\nok = not (x.is_cuda)\n", 1, _TOP + "ok = not (x.device.type == _DEVICE_TYPE)\n"),
        Case(
            "import torch\nok = all(p.is_cuda for p in m.parameters())\n",
            1,
            _TOP + "ok = all(p.device.type == _DEVICE_TYPE for p in m.parameters())\n",
        ),
        Case("import torch\n\n\nclass Mine:\n    def f(self):\n        return self.is_cuda\n", 1, None),
    ),
    hints=(b"is_cuda",),
)
