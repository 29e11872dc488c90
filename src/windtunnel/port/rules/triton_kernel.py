"""Kernels written in Triton."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import imports
from windtunnel.port.source import Source

_DECORATORS = ("triton.jit", "triton.autotune", "triton.heuristics")


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    yield from imports(source, RULE, "triton")
    definitions: list[ast.FunctionDef | ast.AsyncFunctionDef] = [*python.of(ast.FunctionDef)]
    for definition in definitions:
        for decorator in definition.decorator_list:
            func = decorator.func if isinstance(decorator, ast.Call) else decorator
            if python.resolve(func) == "triton.jit":
                yield source.finding(RULE, *python.span(func))


RULE = Rule(
    id="triton-kernel",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "mps", "cpu"),
    safety="none",
    what="A kernel written in Triton, and the import of Triton.",
    why="Triton compiles for NVIDIA, AMD and Intel GPUs; other vendors have forks of it, with other limits on "
    "blocks and memory, or none.",
    instead="Keep a branch in plain PyTorch beside it, and try the kernel with the target's fork (triton-ascend, triton-musa).",
    find=find,
    cases=(
        Case("use_triton = True\n", 0),
        Case("from .triton_utils import f\n", 0, note="its own module"),
        Case("import tritonclient.http\n", 0, note="another package"),
        Case("import torch\nx = torch.compile(f)\n", 0, note="PyTorch's own business"),
        Case("import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef k(x):\n    pass\n", 3),
    ),
    hints=(b"triton",),
)
