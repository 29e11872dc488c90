"""What a CUDA device is said to be like: processors, memory, warps."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import spelled
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    yield from spelled(source, RULE, "torch.cuda.get_device_properties")


RULE = Rule(
    id="device-properties",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="The properties of a CUDA device: multi_processor_count, total_memory, warp_size, name, major.",
    why="Other accelerators give other fields, under other names, and what is computed from them (blocks, warps) "
    "means nothing there.",
    instead="For memory use torch.accelerator.get_memory_info(); for the rest look at what the number is for.",
    find=find,
    cases=(
        Case("p = get_device_properties(0)\n", 0, note="another's"),
        Case("import torch\nn = torch.cuda.get_device_properties(0).multi_processor_count\n"),
        Case("from torch.cuda import get_device_properties\nm = get_device_properties('cuda').total_memory\n"),
    ),
    hints=(b"get_device_properties",),
)
