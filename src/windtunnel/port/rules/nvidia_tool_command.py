"""NVIDIA's compiler and profilers where scripts call them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches, is_said
from windtunnel.port.source import Source

_TOOLS = (
    "nvcc|nsys|ncu|nvprof|nsight-sys|nv-nsight-cu-cli|cuda-memcheck|compute-sanitizer|cuda-gdb|cuobjdump|nvdisasm|ptxas|trtexec"
)
_COMMAND = re.compile(
    rf"(?:^[ \t]*@?|[;&|(`][ \t]*|\b(?:srun|time|exec|sudo|then|do|else|run:|RUN|command:|which|-v)[ \t]+"
    rf"|[\w)}}]/|[:?]?=[ \t]*|-[ \t]+)"
    rf"(?P<tool>{_TOOLS})(?=$|[\s;|&)`])(?!\s*=)"
    # Python within a script
    rf"|(?<=\(\[[\"'])(?P<listed>{_TOOLS})(?=[\"'][,\]])",
    re.M,
)
_NAMED = re.compile(r"(?P<name>\bNVCC)[ \t]*[:?]?=[^\n]*\Z")


def find(source: Source) -> Iterator[Finding]:
    for match in code_matches(source, _COMMAND):
        if is_said(match):
            continue
        group = "tool" if match["tool"] else "listed"
        tool = match[group]
        advice = "Build the kernels only where nvcc is found, and let the package work without them." if tool == "nvcc" else ""
        # NVCC ?= $(CUDA_HOME)/bin/nvcc: the variable and what it holds are one place
        named = _NAMED.search(match.string, match.string.rfind("\n", 0, match.start(group)) + 1, match.start(group))
        start = named.start("name") if named and source.language == "build" else match.start(group)
        yield source.finding(RULE, start, match.end(group), advice=advice)


RULE = Rule(
    id="nvidia-tool-command",
    kind="capability",
    languages=("shell", "slurm", "dockerfile", "compose", "kubernetes", "ci", "build"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Calling NVIDIA's compiler, profilers and checkers: nvcc, nsys, ncu, nvprof, compute-sanitizer, ...",
    why="They work only on CUDA programs, and are installed only with NVIDIA's toolkit.",
    instead="Profile by torch.profiler, or by the device's own tool (msprof, cnperf, msys, unitrace), chosen by what is there.",
    find=find,
    cases=(
        Case("# nvcc --version\necho about nvcc\nncu_dir=1\n", 0, name="run.sh"),
        Case("torchrun --nproc_per_node 8 t.py\n", 0, name="run.sh", note="neutral"),
        Case("python - <<E\nx = names['nvcc']\nE\n", 0, name="run.sh"),
        Case("python - <<E\nimport subprocess\nsubprocess.run(['nvcc', '--version'])\nE\n", name="run.sh"),
        Case("nvcc -o a a.cu\nnsys profile python t.py\n", 2, name="run.sh"),
        Case("srun nsys profile -o x python t.py\n", name="job.slurm"),
        Case("a.o: a.cu\n\tnvcc -c a.cu\n", name="Makefile"),
        Case("NVCC := $(CUDA_HOME)/bin/nvcc\n", name="Makefile"),
        Case("RUN nvcc --version\n", name="Dockerfile"),
        Case("jobs:\n  a:\n    steps:\n    - run: |\n        nvcc --version\n", name=".github/workflows/a.yml"),
    ),
    hints=(
        b"nvcc",
        b"nsys",
        b"ncu",
        b"nvprof",
        b"nsight",
        b"cuda-",
        b"compute-sanitizer",
        b"cuobjdump",
        b"nvdisasm",
        b"ptxas",
        b"trtexec",
    ),
)
