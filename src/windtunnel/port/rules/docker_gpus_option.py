"""Handing NVIDIA's chips to a container by docker run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code
from windtunnel.port.source import Source

_RUN = re.compile(r"\b(?:docker|podman|nerdctl|apptainer|singularity|nvidia-docker)\b(?:\\\r?\n|[^\n;])*")
_OPTION = re.compile(
    r"(?<=\s)(?:--gpus[= ](?:\"[^\"]*\"|'[^']*'|[^\s\"']+)|--runtime[= ]nvidia\b"
    r"|--device[= ]nvidia\.com/gpu\S*|--nv(?=\s))|^nvidia-docker\b"
)


def find(source: Source) -> Iterator[Finding]:
    for command in _RUN.finditer(code(source)):
        for option in _OPTION.finditer(command.group()):
            yield source.finding(RULE, command.start() + option.start(), command.start() + option.end())


RULE = Rule(
    id="docker-gpus-option",
    kind="capability",
    languages=("shell", "slurm", "ci", "build"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Handing NVIDIA's chips to a container: docker run --gpus, --runtime=nvidia, singularity --nv.",
    why="Only NVIDIA's container runtime knows these options; without it the container does not start.",
    instead="Keep the options in a variable: `--runtime=ascend -e ASCEND_VISIBLE_DEVICES=0`, `--runtime=mthreads`, "
    "`--device /dev/cambricon_dev0` or `--device /dev/dri` do it elsewhere, and nothing on a CPU.",
    find=find,
    cases=(
        Case("# docker run --gpus all x\ndocker run -it x\n", 0, name="run.sh"),
        Case("python train.py --gpus 2\n", 0, name="run.sh", note="the program's own option"),
        Case("docker run --gpus all x\n", name="run.sh"),
        Case("docker run -it \\\n  --runtime=nvidia \\\n  x\n", name="run.sh"),
        Case("singularity exec --nv x.sif python t.py\n", name="job.slurm"),
        Case("jobs:\n  a:\n    steps:\n    - run: docker run --gpus '\"device=0\"' x\n", name=".github/workflows/a.yml"),
        Case("nvidia-docker run x\n", name="run.sh"),
    ),
    hints=(b"--gpus", b"nvidia", b"--nv"),
)
