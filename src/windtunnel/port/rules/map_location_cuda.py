"""Checkpoints that are loaded to CUDA."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.neutral import NOT_PLAIN, device_edit, found
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    for spelled in source.python.device_strings:
        if spelled.role == "map_location":
            edits = device_edit(source.python, spelled.node)
            yield found(source, RULE, spelled.node, edits, unfixed="" if edits else NOT_PLAIN)


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
)  # fmt: skip

RULE = Rule(
    id="map-location-cuda",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="A checkpoint that is loaded onto a CUDA device.",
    why="Without CUDA, loading raises.",
    instead="Load onto the accelerator that there is, or onto the CPU and move the model afterwards.",
    find=find,
    cases=(
        Case('import torch\ns = torch.load("cuda")\n', 0, note="a file's name"),
        Case('import torch\ns = torch.load(path, map_location="cpu")\n', 0),
        Case(
            'import torch\ns = torch.load(path, map_location="cuda:0")\n',
            1,
            _TOP + 's = torch.load(path, map_location=f"{_DEVICE_TYPE}:0")\n',
        ),
        Case("import torch\ns = torch.load(path, 'cuda')\n", 1, _TOP + "s = torch.load(path, _DEVICE_TYPE)\n"),
        Case(
            'import torch\nmap_location = {"cuda:0": "cuda:%d" % rank}\n',
            1,
            _TOP + 'map_location = {"cuda:0": f"{_DEVICE_TYPE}:%d" % rank}\n',
            note="the key says where it was saved",
        ),
    ),
    hints=(b"cuda",),
)
