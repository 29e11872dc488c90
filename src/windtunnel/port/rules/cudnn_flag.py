"""Switches of cuDNN."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_OTHER_RULES = ("allow_tf32", "fp32_precision", "conv", "rnn", "version")


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for attribute in python.of(ast.Attribute):
        if attribute.attr not in _OTHER_RULES and python.resolve(attribute.value) == "torch.backends.cudnn":
            yield source.finding(RULE, *python.span(attribute))
    for node in python.uses("torch.backends.cudnn"):
        # the module itself, handed on: hasattr(torch.backends.cudnn, "flags")
        parent = python.parent(node)
        if not isinstance(parent, ast.Attribute) and not isinstance(parent, ast.Assign | ast.AnnAssign):
            yield source.finding(RULE, *python.span(node))
    for name, nodes in python.references.items():
        # from torch.backends.cudnn import flags
        if name.startswith("torch.backends.cudnn."):
            for node in nodes:
                if isinstance(node, ast.Name):
                    yield source.finding(RULE, *python.span(node))


RULE = Rule(
    id="cudnn-flag",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A switch of cuDNN: benchmark, deterministic, enabled, flags.",
    why="cuDNN is NVIDIA's; elsewhere the switch is read by nobody, and the search for fast kernels or the order "
    "of sums is not what it asks for.",
    instead="torch.use_deterministic_algorithms holds everywhere; look for the target's own switch for the rest.",
    find=find,
    cases=(
        Case("cudnn = True\n", 0),
        Case("import torch.backends.cudnn as cudnn\n", 0, note="an import binds nothing"),
        Case("import torch\ntorch.use_deterministic_algorithms(True)\n", 0),
        Case('import torch\nok = hasattr(torch.backends.cudnn, "flags")\n'),
        Case("import torch\ntorch.backends.cudnn.benchmark = True\n"),
        Case("import torch.backends.cudnn as cudnn\ncudnn.deterministic = True\n"),
        Case("from torch.backends import cudnn\nif cudnn.is_available():\n    pass\n"),
    ),
    hints=(b"cudnn",),
)
