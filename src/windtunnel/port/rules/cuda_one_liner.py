"""Python that asks PyTorch about CUDA, written inside a script."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches, is_said
from windtunnel.port.source import Source

_ASKS = re.compile(
    r"\btorch\.(?:version\.cuda\b|cuda\.\w+(?:\.\w+)*|backends\.(?:cudnn|cuda)\.\w+)"
    r"|\bcpp_extension\.(?:CUDA\w+|CUDNN_HOME)|(?<=import )nvidia\.[a-z]\w+|(?<=find_spec\(['\"])nvidia\b[\w.]*"
)


def find(source: Source) -> Iterator[Finding]:
    for match in code_matches(source, _ASKS):
        if is_said(match):
            continue
        yield source.finding(RULE, *match.span())


RULE = Rule(
    id="cuda-one-liner",
    kind="capability",
    languages=("shell", "slurm", "dockerfile", "compose", "kubernetes", "ci", "build"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Python within a script (`python -c`, a here-document) that asks PyTorch about CUDA.",
    why="On other devices the answer is no, none or an error, and the script goes on as if there were no accelerator.",
    instead="Ask `torch.accelerator.is_available()` and `torch.accelerator.device_count()`, which answer for every device.",
    find=find,
    cases=(
        Case("# torch.cuda.is_available()\npython -c 'import torch; print(torch.__version__)'\n", 0, name="run.sh"),
        Case("python -c 'import torch; print(torch.accelerator.is_available())'\n", 0, name="run.sh"),
        Case(
            "python - <<E\nprint(f\"torch.version.cuda={v!r}\")\nprint('torch.cuda.is_available():', x)\nE\n",
            0,
            name="run.sh",
            note="a message",
        ),
        Case('python - <<E\nprint(f"{torch.version.cuda}", torch.cuda.device_count())\nE\n', 2, name="run.sh"),
        Case("N=$(python -c 'import torch; print(torch.cuda.device_count())')\n", name="run.sh"),
        Case('RUN python -c "import torch; assert torch.version.cuda"\n', name="Dockerfile"),
        Case("jobs:\n  a:\n    steps:\n    - run: python -c 'import torch; torch.cuda.init()'\n", name=".github/workflows/a.yml"),
    ),
    hints=(b"torch.cuda", b"torch.version.cuda", b"torch.backends.cud", b"cpp_extension.CUD", b"find_spec", b"import nvidia."),
)
