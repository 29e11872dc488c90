"""The version of CUDA."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import spelled
from windtunnel.port.source import Source

_NAMES = ("torch.version.cuda", "torch.backends.cuda.is_built", "torch.backends.cudnn.version")


def find(source: Source) -> Iterator[Finding]:
    yield from spelled(source, RULE, *_NAMES)


RULE = Rule(
    id="cuda-version",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="The CUDA version that PyTorch was built with.",
    why="It is None where PyTorch was built for something else, and what is compared with it or parsed from it fails.",
    instead="Ask for what is needed (a dtype, an operator), or branch for None.",
    find=find,
    cases=(
        Case("import torch\nprint(torch.__version__)\n", 0),
        Case("cuda_version = '12'\n", 0),
        Case("import torch\nv = torch.backends.cudnn.version()\n"),
        Case("import torch\nif torch.version.cuda is None:\n    pass\n", 1),
    ),
    hints=(b"cuda", b"cudnn"),
)
