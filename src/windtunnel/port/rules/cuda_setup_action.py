"""Steps of CI that install CUDA."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._entries import entries
from windtunnel.port.source import Source

_ACTION = re.compile(r"(?:^|[/\-_.])(?:cuda|nvidia|cudnn|nvcc)(?:[/\-_.@]|$)", re.I)


def find(source: Source) -> Iterator[Finding]:
    for entry in entries(source):
        if entry.key == "uses" and _ACTION.search(entry.value):
            yield source.finding(RULE, entry.start, entry.end)


RULE = Rule(
    id="cuda-setup-action",
    kind="capability",
    languages=("ci",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="An action of CI that installs CUDA or NVIDIA's driver (Jimver/cuda-toolkit, setup-nvidia, ...).",
    why="What is built and tested after it is the CUDA variant alone.",
    instead="Run it only in the jobs for CUDA (`if: matrix.device == 'cuda'`), beside jobs for the CPU and other devices.",
    find=find,
    cases=(
        Case(
            "jobs:\n  a:\n    steps:\n    # - uses: Jimver/cuda-toolkit@v0\n    - uses: actions/checkout@v4\n      name: cuda\n",
            0,
        ),
        Case("jobs:\n  a:\n    steps:\n    - run: |\n        uses: x/cuda@v1\n", 0, note="text of a script"),
        Case("jobs:\n  a:\n    steps:\n    - name: x\n      uses: Jimver/cuda-toolkit@v0.2.11\n"),
        Case('jobs:\n  a:\n    steps: [{uses: "pytorch/test-infra/.github/actions/setup-nvidia@main"}]\n'),
    ),
    hints=(b"cuda", b"nvidia", b"cudnn", b"nvcc"),
)
