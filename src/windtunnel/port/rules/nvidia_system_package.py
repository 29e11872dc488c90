"""NVIDIA's packages of the operating system."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_COMMAND = re.compile(
    r"\b(?:apt-get|apt|aptitude|yum|dnf|microdnf|tdnf|zypper|apk|pacman|dpkg|rpm|brew|choco|winget|apt-mark)\b"
    r"(?P<arguments>(?:\\\r?\n|[^\n;&|)])*)"
)
_PACKAGE = re.compile(
    r"(?<![\w/.\-:${@=])(?:cuda(?:-[\w${}.\-*]+)?(?=[\s=\"'_\\]|$)|libcu(?:dnn|blas|fft|rand|solver|sparse|tensor|file|dss|part)[\w${}\-]*"
    r"|(?:lib)?nccl[\w\-${}]*|libnv(?:infer|onnxparsers|parsers|jpeg|rtc|jitlink|fatbin|ml|toolsext)[\w\-${}]*|libnpp[\w\-]*|cudnn[\w\-]*"
    r"|(?:lib)?nvidia-[\w${}\-]+|datacenter-gpu-manager[\w\-]*|nsight-[\w\-.]+|tensorrt[\w\-]*)(?!\.so)"
)


def find(source: Source) -> Iterator[Finding]:
    for command in code_matches(source, _COMMAND):
        for package in _PACKAGE.finditer(command["arguments"]):
            at = command.start("arguments")
            # a variable in the name, as the version, is none of it
            name = package.group().split("$", 1)[0]
            yield source.finding(RULE, at + package.start(), at + package.start() + len(name))


RULE = Rule(
    id="nvidia-system-package",
    kind="capability",
    languages=("dockerfile", "shell", "slurm", "ci", "build"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Installing NVIDIA's packages by the system's package manager: cuda-*, libcudnn*, libnccl*, nvidia-*.",
    why="They serve NVIDIA's chips only, and are no help, or not to be had, elsewhere.",
    instead="Put them into a stage or a script of their own for CUDA, beside the other vendor's (CANN, MUSA, Neuware, oneAPI), "
    "chosen by an argument of the build.",
    find=find,
    cases=(
        Case("# apt-get install cuda-toolkit-12-1\nRUN apt-get install -y git libcurl4 cudasomething\n", 0, name="Dockerfile"),
        Case("echo libcudnn8\nls /x/libcudnn8\n", 0, name="run.sh", note="not installed"),
        Case(
            "RUN apt-get update && apt-get install -y \\\n    git \\\n    libnccl2=2.18 \\\n    cuda-toolkit-12-1\n",
            2,
            name="Dockerfile",
        ),
        Case('sudo apt -y install "cuda-${v}" "cuda-nvcc-${v}"\n', 2, name="run.sh"),
        Case("RUN yum install -y cuda libcudnn8-devel\n", 2, name="Dockerfile"),
        Case("jobs:\n  a:\n    steps:\n    - run: sudo apt install nvidia-driver-535\n", name=".github/workflows/a.yml"),
        Case("RUN dpkg -i cuda-keyring_1.1-1_all.deb\n", name="Dockerfile"),
    ),
    hints=(b"cu", b"nccl", b"nv", b"npp", b"gpu-manager", b"nsight", b"tensorrt"),
)
