"""Compiled extensions for CUDA: built at set-up or while running, and operators that are registered for CUDA."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.python import PythonTree, keyword, string
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_MODULE = "torch.utils.cpp_extension"
_ALWAYS = (
    f"{_MODULE}.CUDAExtension",
    f"{_MODULE}.load",
    f"{_MODULE}.load_inline",
    f"{_MODULE}._get_cuda_arch_flags",
    f"{_MODULE}.library_paths",
)
_FOR_CUDA = ("torch.library.register_kernel", "torch.library.impl", "torch.library.custom_op")


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    yield from _implemented(source)
    for node in python.uses(*_ALWAYS):
        if not (python.text(node).endswith(("load", "load_inline")) and _without_cuda(python, node)):
            yield source.finding(RULE, *python.span(node))
    for call in python.calls(f"{_MODULE}.CppExtension"):
        if any(
            "cuda" in (string(n) or "") or (string(n) or "").endswith(".cu")
            for n in ast.walk(call)
            if isinstance(n, ast.Constant)
        ):
            yield source.finding(RULE, *python.span(call.func))
    for call in python.calls(*_FOR_CUDA):
        for given in (*call.args[1:], keyword(call, "device_types", "types", "dispatch_key")):
            for name in ast.walk(given) if given is not None else ():
                if isinstance(name, ast.Constant) and isinstance(name.value, str) and name.value.lower() == "cuda":
                    yield source.finding(RULE, *python.span(name), why="The operator has a kernel for CUDA alone.")


def _without_cuda(python: PythonTree, node: ast.AST) -> bool:
    """Whether a call of load or load_inline can be seen to have sources for the CPU alone."""
    call = python.parent(node)
    if not isinstance(call, ast.Call) or call.func is not node:
        return False
    if python.resolve(node).endswith("load_inline"):
        return keyword(call, "cuda_sources") is None and len(call.args) < 3 and not any(k.arg is None for k in call.keywords)
    texts = [n.value for n in ast.walk(call) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return any(t.endswith((".cpp", ".cc", ".c")) for t in texts) and not any("cu" in t for t in texts)


def _implemented(source: Source) -> Iterator[Finding]:
    """``library.impl("op", f, "CUDA")`` of torch.library.Library."""
    for call in source.python.of(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "impl" and not source.python.resolve(call.func):
            key = call.args[2] if len(call.args) > 2 else keyword(call, "dispatch_key")
            if string(key) in ("CUDA", "AutogradCUDA", "AutocastCUDA") and key is not None:
                yield source.finding(RULE, *source.python.span(key), why="The operator has a kernel for CUDA alone.")


RULE = Rule(
    id="cpp-extension",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A compiled extension for CUDA: CUDAExtension, load and load_inline of torch.utils.cpp_extension, a "
    "kernel registered for CUDA.",
    why="Its kernels are compiled by nvcc for NVIDIA's (or hipcc for AMD's) instructions; each other accelerator "
    "needs kernels of its own.",
    instead="Write the operator in PyTorch, or with torch.library, a kernel for each device behind one name.",
    find=find,
    cases=(
        Case("from setuptools import Extension\nExtension('a', ['a.c'])\n", 0),
        Case("from torch.utils.cpp_extension import BuildExtension\nx = BuildExtension\n", 0, note="a command of set-up"),
        Case("from torch.utils.cpp_extension import CppExtension\nCppExtension('a', ['a.cpp'])\n", 0, note="for the CPU"),
        Case("from torch.utils.cpp_extension import load\nm = load('m', ['m.cpp'])\n", 0, note="for the CPU"),
        Case("from torch.utils import cpp_extension\ncpp_extension.CUDAExtension('a', ['a.cu'])\n"),
        Case("from torch.utils.cpp_extension import load\nm = load('m', ['m.cu'])\n"),
        Case("from torch.utils.cpp_extension import CUDAExtension as C\nC('a', ['a.cu'])\n"),
        Case('import torch\n\n\n@torch.library.register_kernel("a::b", "cuda")\ndef b(x):\n    pass\n'),
        Case('lib.impl("f", f, "CUDA")\nlib.impl("f", f, "CPU")\n'),
    ),
    hints=(b"cpp_extension", b"torch.library", b".impl("),
)
