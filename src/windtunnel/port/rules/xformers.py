"""The xFormers package."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import imports
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    yield from imports(source, RULE, "xformers")


RULE = Rule(
    id="xformers",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="The xFormers package.",
    why="Its fused operators are written for CUDA (and ROCm).",
    instead="Use torch.nn.functional.scaled_dot_product_attention, or keep xFormers behind a test for its operators.",
    find=find,
    cases=(
        Case("use_xformers = True\n", 0, note="a flag"),
        Case("from .xformers import x\n", 0, note="its own module"),
        Case("import xformers.ops as xops\ny = xops.memory_efficient_attention(q, k, v)\n", 1),
        Case("from xformers.ops import memory_efficient_attention\n", 1),
    ),
    hints=(b"xformers",),
)
