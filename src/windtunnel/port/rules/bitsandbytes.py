"""The bitsandbytes package."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import imports
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    yield from imports(source, RULE, "bitsandbytes")


RULE = Rule(
    id="bitsandbytes",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="The bitsandbytes package.",
    why="Its 8-bit and 4-bit kernels are made for CUDA first; few other accelerators have them, each with its own limits.",
    instead="Quantise with torchao or the plugin's own tools, or keep the weights wide.",
    find=find,
    cases=(
        Case("bnb = 1\n", 0),
        Case("# bitsandbytes\n", 0),
        Case("import bitsandbytes as bnb\no = bnb.optim.AdamW8bit(p)\n", 1),
    ),
    hints=(b"bitsandbytes",),
)
