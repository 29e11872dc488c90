"""Packages for CUDA among the requirements that a set-up script lists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.python import PythonTree
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_REQUIREMENT = re.compile(
    r"(triton|pytorch-triton|flash[-_]attn|flash[-_]attention|flashinfer(-python)?|xformers|bitsandbytes|apex|cupy(-cuda\d+\w*)?|"
    r"nvidia-[\w\-]+|pynvml|nvidia[-_]ml[-_]py3?|tensorrt[\w\-]*|torch[-_]tensorrt|transformer[-_]engine|onnxruntime-gpu|"
    r"tensorflow-gpu|pycuda|cuda-python|faiss-gpu(-cu\d+)?|cu(df|ml|graph|cim)(-cu\d+)?|auto[-_]gptq|autoawq|deepspeed-kernels|"
    r"causal[-_]conv1d|mamba[-_]ssm|liger[-_]kernel|torch(vision|audio)?==\S+\+cu\d+)"
    r"(\[[\w,\-]*\])?\s*([=<>!~]=?[^'\"]*)?(;.*)?$",
    re.I,
)
_LISTS = re.compile(r"requires?$|requirements|extras|dependenc|deps$|install", re.I)


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    if not any(python.calls("setuptools.setup", "distutils.core.setup", "skbuild.setup")):
        return
    for constant in python.of(ast.Constant):
        if isinstance(constant.value, str) and _REQUIREMENT.match(constant.value.strip()) and _is_listed(python, constant):
            yield source.finding(RULE, *python.span(constant))


def _is_listed(python: PythonTree, constant: ast.Constant) -> bool:
    """Whether the string stands in a list of requirements, not among keys or names."""
    parent = python.parent(constant)
    if not isinstance(parent, ast.List | ast.Tuple | ast.Call):
        return False
    for above in python.ancestors(parent):
        if isinstance(above, ast.keyword):
            return bool(_LISTS.search(above.arg or ""))
        if isinstance(above, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr):
            return bool(_LISTS.search(ast.unparse(above)[:60]))
        if isinstance(above, ast.stmt):
            return False
    return False


RULE = Rule(
    id="cuda-package-string",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A package that is made for CUDA among the requirements of a set-up script.",
    why="It cannot be installed, or not be loaded, where there is no CUDA.",
    instead="Make it an extra for CUDA, and import it where it is used, with another branch beside.",
    find=find,
    cases=(
        Case("requires = ['triton==2.0.0']\n", 0, note="no set-up script"),
        Case("from setuptools import setup\nsetup(install_requires=['torch>=2', 'numpy'])\n", 0),
        Case("from setuptools import setup\nsetup(keywords=['triton'])\n", 0, note="a keyword"),
        Case("from setuptools import setup\nsetup(install_requires=['torch>=2', 'triton>=2.1'])\n"),
        Case(
            "from setuptools import setup\nextras_require = {'fast': ['flash-attn', 'x']}\nsetup(extras_require=extras_require)\n"
        ),
    ),
    hints=(b"setup(",),
)
