"""Handing NVIDIA's chips to a container by docker run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code
from windtunnel.port.source import Source

_RUN = re.compile(r"\b(?:docker|podman|nerdctl|apptainer|singularity|nvidia-docker)\b(?:\\\r?\n|[^\n;])*")
_OPTION = re.compile(
    r"(?<=\s)(?:--gpus[= ](?:\"[^\"]*\"|'[^']*'|[^\s\"']+)|--runtime[= ]nvidia\b"
    r"|--device[= ]nvidia\.com/gpu\S*|--nv(?=\s))|^nvidia-docker\b"
)

# as an element of an array, say; only Docker has these values
_ALONE = re.compile(r"(?<![\w\-])--gpus[= ](?:all\b|[\"'\\]+device=)")
_PLAIN = re.compile(r"--[\w\-]+(?:[= ][\w.,/=]+)?")


def find(source: Source) -> Iterator[Finding]:
    text = code(source)
    for option in _ALONE.finditer(text):
        if not any(command.start() <= option.start() < command.end() for command in _RUN.finditer(text)):
            yield source.finding(RULE, *option.span())
    for command in _RUN.finditer(text):
        for option in _OPTION.finditer(command.group()):
            start, end = command.start() + option.start(), command.start() + option.end()
            edits: tuple[Edit, ...] = ()
            if source.language in ("shell", "slurm") and _PLAIN.fullmatch(option.group()) and _splits_words(source):
                # unset, the variable gives the option as it stood; set, empty or not, it is what the machine needs
                edits = (Edit(start, end, f"${{ACCELERATOR_OPTIONS-{option.group()}}}"),)
            yield source.finding(RULE, start, end, edits=edits)


def _splits_words(source: Source) -> bool:
    """Whether the shell splits what a variable without quotes holds; zsh and fish do not."""
    first = source.lines[0]
    return not source.path.lower().endswith((".zsh", ".fish", ".bat", ".ps1")) and "zsh" not in first and "fish" not in first


RULE = Rule(
    id="docker-gpus-option",
    kind="spelling",
    languages=("shell", "slurm", "ci", "build"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="safe",
    what="Handing NVIDIA's chips to a container: docker run --gpus, --runtime=nvidia, singularity --nv.",
    why="Only NVIDIA's container runtime knows these options; without it the container does not start.",
    instead="Keep the options in a variable: `--runtime=ascend -e ASCEND_VISIBLE_DEVICES=0`, `--runtime=mthreads`, "
    "`--device /dev/cambricon_dev0` or `--device /dev/dri` do it elsewhere, and nothing on a CPU.",
    find=find,
    cases=(
        Case("# docker run --gpus all x\ndocker run -it x\n", 0, name="run.sh"),
        Case("python train.py --gpus 2\n", 0, name="run.sh", note="the program's own option"),
        Case("docker run ${ACCELERATOR_OPTIONS---gpus all} x\n", 0, name="run.sh", note="fixed"),
        Case("docker run --gpus all x\n", after="docker run ${ACCELERATOR_OPTIONS---gpus all} x\n", name="run.sh"),
        Case(
            "docker run -it \\\n  --runtime=nvidia \\\n  x\n",
            after="docker run -it \\\n  ${ACCELERATOR_OPTIONS---runtime=nvidia} \\\n  x\n",
            name="run.sh",
        ),
        Case("apptainer exec --nv x.sif t\n", after="apptainer exec ${ACCELERATOR_OPTIONS---nv} x.sif t\n", name="job.slurm"),
        Case("jobs:\n  a:\n    steps:\n    - run: docker run --gpus '\"device=0\"' x\n", name=".github/workflows/a.yml"),
        Case('OPTIONS=(--gpus "\\"device=0\\"")\n', name="run.sh"),
        Case("nvidia-docker run x\n", name="run.sh"),
    ),
    hints=(b"--gpus", b"nvidia", b"--nv"),
)
