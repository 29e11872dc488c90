"""Wheels of PyTorch built for one version of CUDA, and the places where they and NVIDIA's packages lie."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_INDEX = re.compile(
    r"https?://[^\s\"'<>]*?(?:/whl/(?:nightly/|test/)?cu(?:\d{2,3}|\$)[^\s\"'<>,]*"
    r"|pypi\.(?:ngc\.)?nvidia\.com[^\s\"'<>,]*"
    r"|developer\.download\.nvidia\.\w+/[^\s\"'<>]*|helm\.ngc\.nvidia\.com[^\s\"'<>]*|nvidia\.github\.io/[^\s\"'<>]*|-cu1\d\d[^\s\"'<>]*|/cu1\d\d(?:/[^\s\"'<>]*|(?=[\s\"'<>,;)\]]|$)))"
    r"|(?<=[\w\"'}*])\+cu(?:\d{2,3}\b|\$\{?\w+[^\s\"'};,]*\}?|(?=\$))"
    r"|(?:(?<=-c )|(?<=--channel ))nvidia(?=[\s/])|(?<=- )nvidia(?=[ \t]*\r?$)",
    re.M,
)
_VERSION = re.compile(r"[/\-]cu1\d\d(?!\d)")
_BUILD = re.compile(r"(?<==)py[\d.]+_cuda[\d.]+\w*(?:_cudnn[\w.]*)?")
# the name of such wheels, kept in a variable or given to who installs them
_TAG = re.compile(
    r"(?:^[ \t]*(?:(?:ARG|ENV|export|local|readonly)[ \t]+)?(?!UV_)\w+[ \t]*[=:][ \t]*[\"']?(?:\$\{\w+:-)?"
    r"|--torch-backend[= ][\"']?|^[ \t]*- [\"']?|^[ \t]*(?:- )?\w+:[ \t]*\[[^\]\n]*?(?<=[\[ ,\"']))"
    r"(?P<tag>cu1\d\d?)(?=[\"'}]*[ \t]*(?:\r?$|[,\]&;\\#])|(?<=-backend[= ]cu\d\d\d)\b)",
    re.M,
)


def find(source: Source) -> Iterator[Finding]:
    for match in code_matches(source, _INDEX):
        # a variable that gives the version is none of it
        written = match.group().split("$", 1)[0]
        if _VERSION.search(match.group(), len(written)):
            written = match.group()
        yield source.finding(RULE, match.start(), match.start() + len(written))
    if source.language != "requirements":
        for match in code_matches(source, _TAG):
            yield source.finding(RULE, *match.span("tag"))
    for match in code_matches(source, _BUILD):
        yield source.finding(RULE, *match.span())


RULE = Rule(
    id="cuda-wheel-index",
    kind="capability",
    languages=("requirements", "shell", "slurm", "dockerfile", "ci", "compose", "kubernetes", "build", "config"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Wheels built for one version of CUDA (torch==2.4.0+cu121, .../whl/cu121), and NVIDIA's own package indexes.",
    why="A wheel for CUDA brings no other backend, and pins the plugin of another device out.",
    instead="Ask for the version alone (torch==2.4.0), and leave the index to who installs (`--index-url`).",
    find=find,
    cases=(
        Case("# --extra-index-url https://download.pytorch.org/whl/cu118\n--index-url https://download.pytorch.org/whl/cpu\n", 0),
        Case("pip install mine[cu118] -r cu118.txt; X=build/cu118\n", 0, name="run.sh", note="a project's own names"),
        Case("torch==2.4.0+cpu\nmine==1.0+custom\n", 0),
        Case("--extra-index-url https://download.pytorch.org/whl/cu118\ntorch==2.1.0+cu118\n", 2),
        Case("torch==2.16.0.dev20261009+cu134\n"),
        Case(
            'pip install torch=="${V}+cu${C//./}" --index-url "https://download.pytorch.org/whl/cu${C//./}"\n', 2, name="run.sh"
        ),
        Case("RUN pip install torch --index-url https://download.pytorch.org/whl/nightly/cu121\n", name="Dockerfile"),
        Case('[[tool.uv.index]]\nname = "t"\nurl = "https://download.pytorch.org/whl/cu128"\n', name="pyproject.toml"),
        Case("pip install --extra-index-url https://wheels.mine.ai/nightly/cu130 x\n", name="run.sh"),
        Case('url="https://wheels.mine.ai/${sha}/cu130"\n', name="run.sh"),
        Case("RUN curl -O https://developer.download.nvidia.com/compute/cuda/repos/x/a.deb\n", name="Dockerfile"),
        Case("dependencies:\n  - pytorch=1.12.1=py3.9_cuda11.3_cudnn8.3.2_0\n", name="environment.yml"),
        Case('ARG TORCH_BACKEND="cu130"\nRUN uv pip install --torch-backend=cu128 torch\n', 2, name="Dockerfile"),
        Case("T=${TORCH_BACKEND:-cu130}\n", name="run.sh"),
        Case("channels:\n  - pytorch\n  - nvidia\ndependencies:\n  - pytorch\n", name="environment.yml"),
    ),
    hints=(b"cu", b"nvidia"),
)
