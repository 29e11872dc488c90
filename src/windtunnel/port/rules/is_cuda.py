"""Tensors that are asked whether they lie on CUDA."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.neutral import DEVICE_TYPE, found, in_parentheses
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
        if isinstance(call, ast.Call) and call.func is node:
            continue  # a method: current_platform.is_cuda() asks for the kind of machine, and is somebody's own
        reason = guards_cuda_only(python, node)
        if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            reason = OWN
        if reason:
            yield found(source, RULE, node, at=at, unfixed=reason)
            continue
        text = f"device.type == {DEVICE_TYPE}"
        opening = in_parentheses(python, node, text).startswith("(")
        around = (Edit(start, start, "("), Edit(end, end, ")")) if opening else ()
        yield found(source, RULE, node, (Edit(*at, text), *around), at=at)


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
        Case("import torch\nif x.is_cuda:\n    pass\n", 1, _TOP + "if x.device.type == _DEVICE_TYPE:\n    pass\n"),
        Case("import torch\nif not x.is_cuda:\n    pass\n", 1, _TOP + "if not (x.device.type == _DEVICE_TYPE):\n    pass\n"),
        Case(
            "import torch\nok = all(p.is_cuda for p in m.parameters())\n",
            1,
            _TOP + "ok = all((p.device.type == _DEVICE_TYPE) for p in m.parameters())\n",
        ),
        Case("import torch\n\n\nclass Mine:\n    def f(self):\n        return self.is_cuda\n", 1, None),
    ),
    hints=(b"is_cuda",),
)
