"""Container images that bring CUDA."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_IMAGE = re.compile(
    r"(?<![\w.\-])(?:(?<=//)|(?<!/))(?:docker\.io/|docker://|[\w.\-]+\.[a-z]{2,}/(?:[\w\-]+/)*)?"
    r"(?:nvcr\.io[/#][\w./\-]+(?:[:@][\w.\-${}:]+)?"
    r"|nvidia/(?:cuda|cudagl|tensorrt|pytorch|tritonserver|dcgm-exporter|k8s-device-plugin|container-toolkit|driver|gpu-operator)"
    r"(?:[:@][\w.\-${}:]+)?(?![\w/])"
    r"|(?:pytorch/[\w\-]+|[\w.\-]+/[\w./\-]+|[\w.\-]+)(?:[:@](?=[\w.\-${}]*(?:cuda|[\-_.]cu(?:\d{2,3}\b|\$)|cudnn|-gpu\b))[\w.\-${}]+)"
    r"|(?:pytorch/manylinux[\w\-]*-cuda[\w.\-]*|pytorch/conda-builder:cuda[\w.]*|nvidia/cuda[\w\-]*)(?:[:@][\w.\-${}:]+)?)"
)
_WHERE = re.compile(
    r"^[ \t]*(?:FROM[ \t]+(?:--\S+[ \t]+)?|From:[ \t]*"
    r"|(?:-[ \t]*)?[\"']?(?:image|container|docker|base_image|repository|\w*_?image)[\"']?[ \t]*[:=][ \t]*[\"']?"
    r"|ARG[ \t]+\w+[ \t]*=[ \t]*[\"']?|-[ \t]+[\"']?(?=nvcr\.io|nvidia/|pytorch/)"
    r"|(?:export[ \t]+)?\w*IMAGE\w*[ \t]*[:?]?=[ \t]*[\"']?)"
    r"|\bdocker[ \t]+(?:run|pull|build|create)\b(?:\\\r?\n|[^\n]){0,1000}?"
    r"(?=[\s\"'](?:docker\.io/)?(?:nvcr\.io/|nvidia/|pytorch/))[\s\"']"
    r"|docker://|--container-image[= ][\"']?",
    re.M | re.I,
)


def find(source: Source) -> Iterator[Finding]:
    for match in code_matches(source, _WHERE):
        image = _IMAGE.match(match.string, match.end())
        if image and not image.group().startswith("$"):
            yield source.finding(RULE, *image.span())


RULE = Rule(
    id="nvidia-image",
    kind="capability",
    languages=("dockerfile", "compose", "kubernetes", "ci", "shell", "slurm", "config", "build"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A container image that brings CUDA: nvidia/cuda, nvcr.io/..., pytorch/pytorch:*-cuda*.",
    why="Its libraries serve NVIDIA's chips only, and it has no packages for others.",
    instead="Take the image from an argument (`ARG BASE=nvidia/cuda:...` then `FROM ${BASE}`): quay.io/ascend/cann, "
    "registry.mthreads.com, cambricon_pytorch, intel/intel-extension-for-pytorch, python:3.12-slim for a CPU.",
    find=find,
    cases=(
        Case("# FROM nvidia/cuda:12.1.0-base\nFROM python:3.11\nFROM ubuntu:22.04 AS cuda\n", 0, name="Dockerfile"),
        Case("FROM pytorch/pytorch:2.4.0-cpu\n", 0, name="Dockerfile"),
        Case("services:\n  a:\n    image: quay.io/ascend/cann:8.0\n", 0, name="compose.yml"),
        Case("FROM nvidia/cuda:12.1.0-devel-ubuntu22.04\n", name="Dockerfile"),
        Case("FROM --platform=linux/amd64 nvcr.io/nvidia/pytorch:24.01-py3 AS base\n", name="Dockerfile"),
        Case("FROM pytorch/pytorch:2.4.0-cuda12.1-cudnn9-devel\n", name="Dockerfile"),
        Case("ARG BASE=nvidia/cuda:${V}-base\nFROM ${BASE}\n", name="Dockerfile"),
        Case("jobs:\n  a:\n    container:\n      image: nvidia/cuda:12.1.0-base\n", name=".github/workflows/a.yml"),
        Case("services:\n  a:\n    image: 'nvcr.io/nvidia/tritonserver:24.01-py3'\n", name="compose.yml"),
        Case("docker run --rm -it nvidia/cuda:12.1.0-base nvidia-smi\n", name="run.sh"),
        Case("srun --container-image=nvcr.io#nvidia/pytorch:23.10-py3 python t.py\n", name="job.slurm"),
        Case("enroot import docker://nvcr.io#nvidia/pytorch:23.10-py3\n", name="run.sh"),
        Case("Bootstrap: docker\nFrom: nvidia/cuda:12.1.0-base\n", name="a.def"),
    ),
    hints=(b"nvidia/", b"nvcr.io", b"cuda", b"cudnn", b"-cu1", b"-gpu"),
)
