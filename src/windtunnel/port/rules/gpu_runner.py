"""Machines with NVIDIA's chips asked of CI."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._entries import entries
from windtunnel.port.source import Source

_KEYS = {
    "runs-on",
    "tags",
    "resource_class",
    "queue",
    "labels",
    "pool",
    "demands",
    "group",
    "gpu_type",
    "machine_type",
    "agents",
    "vm_image",
}
_LABEL = re.compile(r"(?:^|[\W_])(?:cuda|nvidia|linux-cuda-\w+)(?=$|[\W_]|\d)", re.I)
"""Labels that name NVIDIA or CUDA: what is merely called gpu, or after one of its chips, is the owner's own word."""
_OTHERS = re.compile(r"npu|ascend|musa|mlu|xpu|rocm|amd|mi\d{3}|gaudi|intel|mps", re.I)


def find(source: Source) -> Iterator[Finding]:
    for entry in entries(source):
        if not entry.value or entry.block or entry.value.startswith("${{") or _OTHERS.search(entry.value):
            continue
        # a list's items count for the key that has the list
        names = {entry.key} if entry.key else {name for name in entry.path[-2:] if name != "[]"}
        if entry.path and entry.path[-1] in ("runs-on", "agents", "pool"):
            names |= {entry.path[-1]}
        of_images = entry.key == "image" and "machine" in entry.path
        if (names & _KEYS or of_images) and _LABEL.search(entry.value) and "on" not in entry.path:
            yield source.finding(RULE, entry.start, entry.end)


RULE = Rule(
    id="gpu-runner",
    kind="spelling",
    languages=("ci",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="CI jobs for machines labelled as having NVIDIA's: runs-on, tags, resource_class, queues that name nvidia or cuda.",
    why="The job runs on those machines only, so nothing shows that another device works.",
    instead="Make the label one of a matrix (cpu, cuda, npu, ...) and give the same tests the device by a variable.",
    find=find,
    cases=(
        Case("jobs:\n  a:\n    # runs-on: gpu\n    runs-on: ubuntu-latest\n    name: gpu tests\n", 0),
        Case("jobs:\n  a:\n    runs-on: ${{ matrix.gpu }}\n  b:\n    runs-on: [self-hosted, npu]\n", 0),
        Case("jobs:\n  a:\n    runs-on: [self-hosted, gpu]\n", 0, note="an accelerator of any kind"),
        Case("on:\n  push:\n    tags: [gpu-*]\njobs:\n  a:\n    runs-on: ubuntu-latest\n", 0, note="tags of git"),
        Case("jobs:\n  a:\n    runs-on: linux.4xlarge.nvidia.gpu\n"),
        Case("test:\n  tags:\n    - linux\n    - cuda\n  script: x\n", name=".gitlab-ci.yml"),
        Case(
            "jobs:\n  a:\n    machine:\n      image: linux-cuda-12:default\n    resource_class: gpu.nvidia.small\n",
            2,
            name=".circleci/config.yml",
        ),
        Case("steps:\n  - agents:\n      queue: 'cuda_4_queue'\n", name=".buildkite/pipeline.yml"),
    ),
    hints=(b"cuda", b"CUDA", b"nvidia", b"NVIDIA"),
)
