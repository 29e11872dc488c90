"""Random number generators of CUDA."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.neutral import NOT_PLAIN, device_edit, found
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    for spelled in source.python.device_strings:
        if spelled.role == "generator":
            edits = device_edit(source.python, spelled.node)
            yield found(source, RULE, spelled.node, edits, unfixed="" if edits else NOT_PLAIN)


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
)  # fmt: skip

RULE = Rule(
    id="generator-cuda",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="A random number generator on CUDA.",
    why="A generator belongs to one device; what lies on another refuses it.",
    instead="Make it on the accelerator that there is. Its numbers differ from CUDA's, seed for seed.",
    find=find,
    cases=(
        Case("import torch\ng = torch.Generator()\n", 0),
        Case("import torch\ng = torch.Generator(device=x.device)\n", 0),
        Case('import torch\ng = torch.Generator(device="cuda")\n', 1, _TOP + "g = torch.Generator(device=_DEVICE_TYPE)\n"),
        Case(
            "import torch\ng = torch.Generator('cuda').manual_seed(0)\n",
            1,
            _TOP + "g = torch.Generator(_DEVICE_TYPE).manual_seed(0)\n",
        ),
    ),
    hints=(b"Generator",),
)
