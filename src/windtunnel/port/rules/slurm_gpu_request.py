"""Accelerators asked of a batch system by the name "gpu"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

# how many (--gpus-per-node=4, ngpus=4) is no request of a kind
_REQUEST = re.compile(
    r"^#SBATCH[ \t]+(?P<batch>--gres[= ]\s*gpu\S*|--constraint[= ]\S*\b(?:a100|h100|v100|h200|nvidia)\b\S*)"
    r"|(?P<option>(?<=\s)--gres[= ]gpu[:\w]*)",
    re.M,
)

_PLAIN = re.compile(r"--[\w\-]+[= ][\w:]+")


def find(source: Source) -> Iterator[Finding]:
    for match in code_matches(source, _REQUEST):
        group = next(name for name in ("batch", "option") if match[name] is not None)
        edits: tuple[Edit, ...] = ()
        if group == "option" and _PLAIN.fullmatch(match[group]) and not source.path.endswith((".zsh", ".fish")):
            edits = (Edit(*match.span(group), f"${{ACCELERATOR_REQUEST-{match[group]}}}"),)
        yield source.finding(RULE, *match.span(group), edits=edits)


RULE = Rule(
    id="slurm-gpu-request",
    kind="spelling",
    languages=("slurm", "shell"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="safe",
    what="Asking Slurm for accelerators of the kind gpu.",
    why="How a cluster names its accelerators is its own choice (gpu, npu, mlu): a job for gpu is never started elsewhere.",
    instead="Leave the kind and number to the command that submits (`sbatch --gres=npu:8 job.slurm`), which wins over "
    "the script.",
    find=find,
    cases=(
        Case("#!/bin/bash\n##SBATCH --gres=gpu:1\n#SBATCH -N 1\n#SBATCH --gres=npu:8\n", 0, name="job.slurm"),
        Case("#!/bin/bash\n# --gres=gpu:1\n#SBATCH -p gpu-long\n", 0, name="job.slurm", note="a comment; a partition's name"),
        Case("#!/bin/bash\n#SBATCH --gpus-per-node=4\n#SBATCH -G 4\n#PBS -l ngpus=4\n", 0, name="job.sh", note="numbers"),
        Case("#!/bin/bash\n#SBATCH --gres=gpu:8\n", name="job.slurm"),
        Case("srun --gres=gpu:1 t\n", after="srun ${ACCELERATOR_REQUEST---gres=gpu:1} t\n", name="run.sh"),
    ),
    hints=(b"--gres", b"--constraint"),
)
