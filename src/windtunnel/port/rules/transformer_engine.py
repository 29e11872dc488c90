"""Transformer Engine."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import imports
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    yield from imports(source, RULE, "transformer_engine")


RULE = Rule(
    id="transformer-engine",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Transformer Engine.",
    why="FP8 training with it is made for Hopper and later NVIDIA GPUs.",
    instead="Train in bfloat16, or use the target's own FP8 where it has such units (torchao, plugin).",
    find=find,
    cases=(
        Case("transformer_engine = None\n", 0),
        Case("import transformer_engine.pytorch as te\nl = te.Linear(8, 8)\n", 1),
    ),
    hints=(b"transformer_engine",),
)
