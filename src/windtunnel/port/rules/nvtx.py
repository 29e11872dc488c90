"""Marks for NVIDIA's profilers."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import imports, spelled
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    yield from spelled(source, RULE, "torch.cuda.nvtx.", "torch.autograd.profiler.emit_nvtx")
    yield from imports(source, RULE, "nvtx")
    python = source.python
    for node in python.uses("torch.cuda.nvtx"):
        if not isinstance(python.parent(node), ast.Attribute):
            yield source.finding(RULE, *python.span(node))


RULE = Rule(
    id="nvtx",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Ranges and marks of NVTX.",
    why="They are read by NVIDIA's profilers alone, and raise where PyTorch was built without CUDA.",
    instead="Use torch.profiler.record_function, which every profiler of PyTorch shows.",
    find=find,
    cases=(
        Case("from torch.profiler import record_function\n", 0),
        Case("import torch\ntorch.cuda.nvtx.range_push('a')\ntorch.cuda.nvtx.range_pop()\n", 2),
        Case("import torch.cuda.nvtx as nvtx\nwith nvtx.range('a'):\n    pass\n"),
        Case("import nvtx\n"),
    ),
    hints=(b"nvtx",),
)
