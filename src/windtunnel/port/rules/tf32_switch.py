"""Switches for TF32."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_NAMES = (
    "torch.backends.cuda.matmul.allow_tf32", "torch.backends.cudnn.allow_tf32", "torch.backends.cuda.matmul.fp32_precision",
    "torch.backends.cudnn.fp32_precision", "torch.backends.cudnn.conv.fp32_precision", "torch.backends.cudnn.rnn.fp32_precision",
)  # fmt: skip


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for attribute in python.of(ast.Attribute):
        if attribute.attr in ("allow_tf32", "fp32_precision") and f"{python.resolve(attribute.value)}.{attribute.attr}" in _NAMES:
            yield source.finding(RULE, *python.span(attribute))


RULE = Rule(
    id="tf32-switch",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A switch that lets matrix products of float32 round to TF32.",
    why="TF32 is a format of NVIDIA's matrix units: elsewhere the switch does nothing, and time and digits are "
    "others than expected.",
    instead="torch.set_float32_matmul_precision says what is wanted; the target's own switch (as npu's allow_hf32) does it.",
    find=find,
    cases=(
        Case("allow_tf32 = True\n", 0),
        Case('import torch\ntorch.set_float32_matmul_precision("high")\n', 0, note="neutral"),
        Case("import torch\ntorch.backends.cuda.matmul.allow_tf32 = True\n"),
        Case("import torch.backends.cudnn as cudnn\ncudnn.allow_tf32 = False\n"),
        Case("import torch\nold = torch.backends.cuda.matmul.allow_tf32\n"),
    ),
    hints=(b"allow_tf32", b"fp32_precision"),
)
