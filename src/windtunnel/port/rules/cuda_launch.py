"""Launches of CUDA kernels."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_without_strings
from windtunnel.port.source import Source

_LAUNCH = re.compile(r"(?<=[\w>\s)])<<<(?=[\s\w(:{])")


def find(source: Source) -> Iterator[Finding]:
    for match in _LAUNCH.finditer(code_without_strings(source)):
        yield source.finding(RULE, *match.span())


RULE = Rule(
    id="cuda-launch",
    kind="capability",
    languages=("cpp",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Launching a kernel by CUDA's `<<<grid, block>>>`.",
    why="It is CUDA's own syntax, and the launch goes to a CUDA stream.",
    instead="Launch behind an operator registered by TORCH_LIBRARY, with another implementation for the other devices.",
    find=find,
    cases=(
        Case('// f<<<1, 1>>>();\nconst char* s = "f<<<1, 1>>>()";\nint y = x << 3;\n', 0),
        Case("<<<<<<< HEAD\nint a;\n", 0, note="a conflict of a merge"),
        Case("f<<<grid, 256, 0, stream>>>(x);\n"),
        Case("f<float>\n    <<<grid, 256>>>(x);\ng<<<1, 1>>>();\n", 2),
    ),
    hints=(b"<<<",),
)
