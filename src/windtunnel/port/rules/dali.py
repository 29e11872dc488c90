"""The DALI input pipeline."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import imports
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    yield from imports(source, RULE, "nvidia.dali")


RULE = Rule(
    id="dali",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="The DALI input pipeline.",
    why="It decodes and augments on NVIDIA GPUs.",
    instead="Use torchvision.transforms.v2 or the loader of the target.",
    find=find,
    cases=(
        Case("dali = None\n", 0),
        Case("from nvidia.dali import pipeline_def\n", 1),
        Case("import nvidia.dali.fn as fn\n", 1),
        Case("dali = __import__('nvidia.dali', fromlist=['ops'])\n"),
    ),
    hints=(b"nvidia",),
)
