"""The device "cuda" as a setting of a program."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._entries import entries
from windtunnel.port.source import Source

_KEY = re.compile(r"device|accelerator|map_?location|(?:^|_)(?:dev|placement)$", re.I)
_VALUE = re.compile(r"cuda(?::\d+)?|CUDA(?:ExecutionProvider)?|TensorrtExecutionProvider")


def find(source: Source) -> Iterator[Finding]:
    for entry in entries(source):
        name = entry.key or next((part for part in reversed(entry.path) if part != "[]"), "")
        if _VALUE.fullmatch(entry.value) and (entry.value.endswith("Provider") or _KEY.search(name)):
            yield source.finding(RULE, entry.start, entry.end)


RULE = Rule(
    id="config-cuda-device",
    kind="spelling",
    languages=("config",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="The device cuda as a setting in YAML, JSON, TOML, INI and files of variables.",
    why="The program is told to go to CUDA whatever the machine has.",
    instead="Leave the setting out, or give it a word that the program turns into torch.accelerator.current_accelerator().",
    find=find,
    cases=(
        Case("# device: cuda\ndevice: auto\nname: cuda\ndevices: cuda_stub\n", 0),
        Case("backend: cuda\nplatform: cuda\n", 0, note="words of the program's own"),
        Case("text: |\n  device: cuda\nother: x\n", 0, note="text of a block"),
        Case('{"device": "cpu", "title": "cuda"}\n', 0, name="a.json"),
        Case("train:\n  device: cuda\n  sub:\n    map_location: 'cuda:0'\n---\ndevice: &d \"cuda\"\n", 3),
        Case('{"a": [{"device": "cuda:1"}], "devices": ["cuda", "cpu"]}\n', 2, name="a.json"),
        Case('[run]\ndevice = "cuda"  # x\n', name="a.toml"),
        Case("[run]\ndevice = cuda\n", name="a.ini"),
        Case("TORCH_DEVICE=cuda\n", name=".env"),
    ),
    hints=(b"cuda", b"CUDA", b"Tensorrt"),
)
