"""The device cuda and the backend nccl as options of the commands that a script runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_OPTION = re.compile(
    r"(?<![\w\-])(?:--?[\w\-.]*(?:device|accelerator|map[_\-]location|(?P<backend>backend))[\w\-]*(?:[= ]|[\"'],[ ]*[\"'])"
    r"|[\w.]*(?:device|DEVICE|accelerator|ACCELERATOR|(?P<named>backend|BACKEND))(?:_(?:mode|type|name|MODE|TYPE|NAME))?=(?:[\"']?\$\{(?!TORCH_DEVICE|DISTRIBUTED_BACKEND)\w+:-)?)[\"']?(?P<value>(?(backend)nccl|(?(named)nccl|cuda(?::\d+)?)))(?![\w\-:/.=])"
)


def find(source: Source) -> Iterator[Finding]:
    other_shell = source.path.lower().endswith((".bat", ".ps1", ".fish"))
    for match in code_matches(source, _OPTION):
        edits: tuple[Edit, ...] = ()
        before = match.string[match.start("value") - 1]
        if source.language in ("shell", "slurm") and before in "= " and not other_shell and not _quoted(source, match.start()):
            variable = "DISTRIBUTED_BACKEND" if match["value"] == "nccl" else "TORCH_DEVICE"
            edits = (Edit(*match.span("value"), f"${{{variable}:-{match['value']}}}"),)
        yield source.finding(RULE, *match.span("value"), edits=edits)


def _quoted(source: Source, at: int) -> bool:
    """Whether the place may lie within quotes, where a variable may mean something else."""
    line, column = source.line_column(at)
    before = source.lines[line - 1][: column - 1]
    return before.count("'") % 2 == 1 or before.count('"') % 2 == 1


RULE = Rule(
    id="cuda-command-option",
    kind="spelling",
    languages=("shell", "slurm", "dockerfile", "compose", "kubernetes", "ci", "build"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="safe",
    what="Telling a program its device or backend on the command line: --device cuda, --ddp-backend nccl, device=cuda:0.",
    why="The program is told to go to CUDA whatever the machine has.",
    instead="Take it from a variable that is cuda (nccl) by default, or leave it out where the program can choose.",
    find=find,
    cases=(
        Case("# python t.py --device cuda\npython t.py --device cpu --data cuda\n", 0, name="run.sh"),
        Case("python t.py --device ${TORCH_DEVICE:-cuda} --device cuda-x\n", 0, name="run.sh", note="fixed"),
        Case("DEVICE=${TORCH_DEVICE:-cuda}\n", 0, name="run.sh", note="fixed"),
        Case("cmake -DBACKEND=cuda_backend .\n", 0, name="run.sh"),
        Case("python t.py --device cuda\n", after="python t.py --device ${TORCH_DEVICE:-cuda}\n", name="run.sh"),
        Case(
            "torchrun t.py --ddp-backend=nccl train.device=cuda:0\n",
            2,
            after="torchrun t.py --ddp-backend=${DISTRIBUTED_BACKEND:-nccl} train.device=${TORCH_DEVICE:-cuda:0}\n",
            name="run.sh",
        ),
        Case('CMD ["python", "t.py", "--device", "cuda"]\n', name="Dockerfile"),
        Case("export EVAL_DEVICE_MODE=${EVAL_DEVICE_MODE:-cuda}\nBACKEND='nccl' x\n", 2, None, name="run.sh"),
        Case("export DEVICE=cuda:1\n", after="export DEVICE=${TORCH_DEVICE:-cuda:1}\n", name="run.sh"),
        Case("bash -c 'python t.py --device cuda'\n", name="run.sh"),
        Case("services:\n  a:\n    image: x\n    command: python t.py --device cuda\n", name="compose.yml"),
    ),
    hints=(b"cuda", b"nccl"),
)
