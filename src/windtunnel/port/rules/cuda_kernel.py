"""Kernels written in CUDA C++."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_without_strings
from windtunnel.port.source import Source

# with a type, a name and parameters: more than the word
_DEFINED = re.compile(r"\b(?P<word>__global__)(?:\s|\\n)+[\w\s*&:<>(),]*?\w\s*\([^;{]*?\)\s*(?:\\n|\s)*\{")
_KERNEL = re.compile(r"\b__global__\b")


def find(source: Source) -> Iterator[Finding]:
    if source.language == "python":
        yield from _in_strings(source)
        return
    for match in _KERNEL.finditer(code_without_strings(source)):
        yield source.finding(RULE, *match.span())


def _in_strings(source: Source) -> Iterator[Finding]:
    """What a program compiles while it runs: ``cupy.RawKernel('extern "C" __global__ void f() {}', "f")``."""
    python = source.python
    for constant in python.of(ast.Constant):
        if isinstance(constant.value, str) and "__global__" in constant.value and constant not in python.docstrings:
            for match in _DEFINED.finditer(source.text, *python.span(constant)):
                yield source.finding(RULE, *match.span("word"))


RULE = Rule(
    id="cuda-kernel",
    kind="capability",
    languages=("cpp", "python"),
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
        Case('"""Say __global__ void f() {} in CUDA."""\nprint("a __global__ function")\n', 0, name="a.py", note="spoken of"),
        Case('k = """\nextern "C" __global__\nvoid f(int* a, const bool *b)\n{\n  g<<<1, 2>>>();\n}"""\n', name="a.py"),
        Case("__global__ void f(float* x) {}\n"),
        Case("template <typename T>\nstatic __global__ __launch_bounds__(256) void f(T* x) {}\n"),
    ),
    hints=(b"__global__",),
)
