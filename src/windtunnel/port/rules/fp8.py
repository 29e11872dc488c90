"""Eight-bit floating point."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import spelled
from windtunnel.port.source import Source

_NAMES = (
    "torch.float8_e4m3fn", "torch.float8_e5m2", "torch.float8_e4m3fnuz", "torch.float8_e5m2fnuz", "torch.float8_e8m0fnu",
    "transformer_engine.pytorch.fp8_autocast", "transformer_engine.pytorch.autocast",
    "transformer_engine.pytorch.fp8_model_init", "transformer_engine.pytorch.quantized_model_init",
    "torch._scaled_mm", "torch._scaled_grouped_mm", "torch.float4_e2m1fn_x2",
)  # fmt: skip


def find(source: Source) -> Iterator[Finding]:
    yield from spelled(source, RULE, *_NAMES)


RULE = Rule(
    id="fp8",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Eight-bit floating point: torch.float8_e4m3fn and its kin, scaled matrix products.",
    why="Matrix units for it came with NVIDIA's Hopper; many accelerators have none, or only one of the formats.",
    instead="Ask for the dtype on the target first, with INT8 or bfloat16 as the other branch.",
    find=find,
    cases=(
        Case('dtype = "fp8"\n', 0, note="an option's value"),
        Case("import torch\nx = x.to(torch.bfloat16)\n", 0),
        Case("import torch\nx = x.to(torch.float8_e4m3fn)\n"),
        Case("import transformer_engine.pytorch as te\nwith te.fp8_autocast(enabled=True):\n    pass\n"),
        Case("import torch\ny = torch._scaled_mm(a, b, scale_a=s, scale_b=t)\n"),
    ),
    hints=(b"float8", b"transformer_engine", b"_scaled_", b"float4"),
)
