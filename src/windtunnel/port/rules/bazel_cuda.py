"""CUDA in the build files of Bazel, Buck, GN and Meson."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_RULE = re.compile(
    r"(?<![\w.])(?P<call>(?:cuda|gpu|nv)_(?:library|binary|test|objects|cc_library|kernel_library|configure|toolchain\w*|import|header_library)"
    r"|(?:tf|if)_cuda\w*|if_cuda_is_configured|rules_cuda_\w+)\s*\(|[\"'](?P<label>@(?:local_config_cuda|cuda|cuda_\w+|rules_cuda|local_cuda|cudnn|nccl)//[^\"']*)[\"']"
    r"|\b(?P<meson>import\s*\(\s*'(?:unstable-)?cuda'\s*\)|add_languages\s*\(\s*'cuda'|dependency\s*\(\s*'(?:cuda|cudnn|nccl)')"
    r"|^project\s*\([^)]*(?P<language>'cuda')",
    re.M,
)


def find(source: Source) -> Iterator[Finding]:
    if source.path.lower().endswith((".txt", ".cmake", ".mk")):
        return
    for match in code_matches(source, _RULE):
        yield source.finding(RULE, *match.span(match.lastgroup or 0))


RULE = Rule(
    id="bazel-cuda",
    kind="capability",
    languages=("build",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="CUDA in the build files of Bazel, Buck, GN and Meson: cuda_library, @local_config_cuda, dependency('cuda').",
    why="These rules call nvcc, and stop where NVIDIA's toolkit is not installed.",
    instead="Choose them by a configuration (select, an option of Meson) that is off by default, beside sources without CUDA.",
    find=find,
    cases=(
        Case('# cuda_library(name = "x")\ncc_library(name = "cuda_helpers", srcs = ["cuda.cc"])\n', 0, name="BUILD"),
        Case("project('x', 'cpp')\n# add_languages('cuda')\nmessage('cuda')\n", 0, name="meson.build"),
        Case(
            'load("@rules_cuda//cuda:defs.bzl", "cuda_library")\ncuda_library(name = "x", srcs = ["a.cu"])\n',
            2,
            name="BUILD.bazel",
        ),
        Case('deps = if_cuda(["@local_config_cuda//cuda:cudart"])\n', 2, name="BUILD"),
        Case("project('x', 'cpp', 'cuda')\ncuda = dependency('cuda', version : '>=11')\n", 2, name="meson.build"),
    ),
    hints=(b"cuda", b"cudnn", b"nccl", b"gpu_", b"nv_"),
)
