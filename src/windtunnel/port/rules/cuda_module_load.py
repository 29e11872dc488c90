"""Environment modules of CUDA."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_LOAD = re.compile(r"\b(?:module|ml)[ \t]+(?:load|add|swap|try-load)?[ \t]*(?P<names>[^\n;&|\"'\]]+)")
_MODULE = re.compile(r"(?<![\w\-.])[\w./\-]*(?:cuda|cudnn|nccl|nvhpc|tensorrt)[\w./\-]*", re.I)


def find(source: Source) -> Iterator[Finding]:
    for match in code_matches(source, _LOAD):
        if match["names"].split()[:1] in (["unload"], ["purge"], ["avail"], ["list"], ["spider"]):
            continue
        name = _MODULE.search(match["names"])
        if name:  # the others of the line belong to it
            start = match.start("names")
            yield source.finding(RULE, start + name.start(), start + name.end())


RULE = Rule(
    id="cuda-module-load",
    kind="capability",
    languages=("slurm", "shell", "config", "ci"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Loading an environment module of CUDA, cuDNN or NCCL.",
    why="Clusters without NVIDIA's chips have no such module, and `module load` fails or leaves the paths unset.",
    instead="Load it only where it is there (`module try-load cuda`), or keep what is the "
    "cluster's own in a file that the script sources.",
    find=find,
    cases=(
        Case("# module load cuda\nmodule load python/3.11 gcc\n", 0, name="job.slurm"),
        Case("module purge\nmodule unload cuda\n", 0, name="job.slurm"),
        Case("python module.py cuda\n", 0, name="run.sh"),
        Case("module load cuda/12.1 cudnn/8\n", 1, name="job.slurm"),
        Case("job:\n  setup: ['module load cudnn/v8.4']\n", name="conf.yaml"),
        Case("ml CUDA/12.1.1\n", name="run.sh"),
    ),
    hints=(b"module", b"ml "),
)
