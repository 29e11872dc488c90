"""Checks of the compute capability, and lists of NVIDIA's architectures."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.python import PythonTree
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import spelled
from windtunnel.port.source import Source

_CALLS = ("torch.cuda.get_device_capability", "torch.cuda.get_arch_list", "torch.cuda.get_gencode_flags")
_ARCHITECTURE = re.compile(r"(-gencode[= ]?)?(-?-?(gpu-)?arch(itecture)?[= ])?(compute|sm)_\d{2,3}[af]?\b\S*")
_FORMATTED = re.compile(r"(?:arch|code)=(?:compute|sm|lto)_$|^-?-?(?:gencode|generate-code)\b")
_PROPERTIES = re.compile(r"prop|capab", re.I)


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    yield from spelled(source, RULE, *_CALLS)
    for constant in python.of(ast.Constant):
        if (
            isinstance(constant.value, str)
            and _ARCHITECTURE.fullmatch(constant.value.strip())
            and constant not in python.docstrings
        ):
            yield source.finding(RULE, *python.span(constant))
    for joined in python.of(ast.JoinedStr):
        # f"-gencode=arch=compute_{n},code=sm_{n}"
        texts = [v.value for v in joined.values if isinstance(v, ast.Constant) and isinstance(v.value, str)]
        if any(_FORMATTED.search(text) for text in texts):
            yield source.finding(RULE, *python.span(joined))
    seen: set[int] = set()
    for attribute in python.of(ast.Attribute):
        # the first on a line stands for both: props.major == 8 and props.minor == 0
        if isinstance(python.parent(attribute), ast.Assign | ast.AnnAssign | ast.FormattedValue):
            continue  # kept or told; what it decides stands elsewhere
        if attribute.attr in ("major", "minor") and attribute.lineno not in seen and _is_properties(python, attribute.value):
            seen.add(attribute.lineno)
            yield source.finding(RULE, *python.span(attribute))


def _is_properties(python: PythonTree, node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return python.resolve(node.func).endswith("get_device_properties")
    if not isinstance(node, ast.Name):
        return False
    bound = python.binding(node)[1]
    return isinstance(bound, ast.Call) and _is_properties(python, bound)


RULE = Rule(
    id="compute-capability",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A check of the compute capability, or a list of NVIDIA's architectures to compile for.",
    why="The numbers count NVIDIA's generations; other accelerators have none, or count otherwise.",
    instead="Ask for the capability that is meant: a dtype, an operator, an amount of memory.",
    find=find,
    cases=(
        Case("capability = (8, 0)\n", 0),
        Case('print("sm_80 needs compute_80 or so, and more words")\n', 0, note="a message"),
        Case("version.major\n", 0, note="of something else"),
        Case("import torch\np = torch.cuda.get_device_properties(0)\nmajor = p.major\n", 0, note="nothing is decided by it"),
        Case("import torch\nif torch.cuda.get_device_capability()[0] >= 8:\n    pass\n"),
        Case("import torch\nmajor, minor = torch.cuda.get_device_capability(0)\n"),
        Case('flags.append(f"-gencode=arch=compute_{n},code=sm_{n}")\n'),
        Case('flags.append("arch=compute_80,code=sm_80")\n'),
        Case("import torch\np = torch.cuda.get_device_properties(0)\nif p.major >= 8 and p.minor == 0:\n    pass\n"),
    ),
    hints=(b"capability", b"compute_", b"sm_", b"arch_list", b"gencode", b".major", b".minor"),
)
