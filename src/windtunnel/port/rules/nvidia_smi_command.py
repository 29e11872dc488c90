"""nvidia-smi and its kin where scripts call them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches, is_said
from windtunnel.port.source import Source

_COMMAND = re.compile(
    r"(?<![\w\-/.$])(?:/usr/bin/)?(?:nvidia-smi|nvidia-persistenced|nvidia-cuda-mps-control|dcgmi|nvitop|gpustat)\b(?![\-\w=.])"
)


def find(source: Source) -> Iterator[Finding]:
    for match in code_matches(source, _COMMAND):
        if is_said(match):
            continue
        yield source.finding(RULE, *match.span())


RULE = Rule(
    id="nvidia-smi-command",
    kind="capability",
    languages=("shell", "slurm", "dockerfile", "compose", "kubernetes", "ci", "build"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Asking the driver by nvidia-smi, dcgmi, nvitop or gpustat in scripts, images and manifests.",
    why="These commands come with NVIDIA's driver; a script that ends at the first error ends there.",
    instead="Ask PyTorch (`python -c 'import torch; print(torch.accelerator.device_count())'`), or choose npu-smi, mthreads-gmi, "
    "cnmon, xpu-smi by what is installed.",
    find=find,
    cases=(
        Case("# nvidia-smi\n", 0, name="run.sh"),
        Case('echo "nvidia-smi not found"; if x; then echo "see nvidia-smi -L"; fi\n', 0, name="run.sh", note="a message"),
        Case("npu-smi info > my-nvidia-smi-log; cat nvidia-smi.log\n", 0, name="run.sh"),
        Case("apt-get install nvidia-smi-tools\n", 0, name="run.sh"),
        Case("nvidia-smi --query-gpu=name --format=csv\n", name="run.sh"),
        Case('echo "$(nvidia-smi -L)"\necho "nvidia-smi -L" > run.sh\n', 2, name="make.sh"),
        Case("n=$(nvidia-smi -L | wc -l)\n", name="run.sh"),
        Case("jobs:\n  a:\n    steps:\n    - run: nvidia-smi\n", name=".github/workflows/a.yml"),
        Case("services:\n  a:\n    image: x\n    command: nvidia-smi\n", name="compose.yml"),
        Case("HEALTHCHECK CMD nvidia-smi || exit 1\n", name="Dockerfile"),
    ),
    hints=(b"nvidia-", b"dcgmi", b"nvitop", b"gpustat"),
)
