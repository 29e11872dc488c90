"""Kernels written in CUDA C++."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_without_strings
from windtunnel.port.source import Source

_KERNEL = re.compile(r"\b__global__\b")


def find(source: Source) -> Iterator[Finding]:
    for match in _KERNEL.finditer(code_without_strings(source)):
        yield source.finding(RULE, *match.span())


RULE = Rule(
    id="cuda-kernel",
    kind="capability",
    languages=("cpp",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A kernel written in CUDA C++ (`__global__`).",
    why="Only NVIDIA's compiler, and those that translate for chips built alike (ROCm, MUSA), take it.",
    instead="Register the operator by TORCH_LIBRARY with an implementation of PyTorch operators beside the kernel, which then "
    "serves every device; write it in Triton or in the vendor's language where it must be fast.",
    find=find,
    cases=(
        Case('// __global__ void f()\nconst char* s = "__global__";\nvoid f();\n', 0),
        Case("int my__global__name;\n", 0),
        Case("__global__ void f(float* x) {}\n"),
        Case("template <typename T>\nstatic __global__ __launch_bounds__(256) void f(T* x) {}\n"),
    ),
    hints=(b"__global__",),
)
