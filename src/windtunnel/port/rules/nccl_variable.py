"""NCCL's own settings, as variables of the environment."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_SET = re.compile(
    r"(?<![\w$])(?:TORCH_)?NCCL_(?!(?:ROOT|HOME|PATH|DIR|VERSION|VER|TAG|LIB|INCLUDE|REPO)\b|\w+_DIR\b)"
    r"[A-Z0-9_]+\b(?=[\"']?\s*[=:]|[ \t]+[\w\"'$])|(?<=name: )NCCL_[A-Z0-9_]+\b"
)
_COUNTERPARTS = {
    "NCCL_SOCKET_IFNAME": "HCCL_SOCKET_IFNAME (Ascend), CNCL_SOCKET_IFNAME (Cambricon), MCCL_SOCKET_IFNAME (Moore Threads)",
    "NCCL_DEBUG": "ASCEND_GLOBAL_LOG_LEVEL (Ascend), CNCL_LOG_LEVEL (Cambricon), MCCL_DEBUG (Moore Threads)",
    "NCCL_TIMEOUT": "HCCL_EXEC_TIMEOUT (Ascend), in seconds",
}


def find(source: Source) -> Iterator[Finding]:
    if source.language == "build" and source.path.lower().endswith((".txt", ".cmake")):
        return  # CMake's own variables, where the library lies
    for match in code_matches(source, _SET):
        other = _COUNTERPARTS.get(match.group().removeprefix("TORCH_"))
        yield source.finding(RULE, *match.span(), advice=f"Beside it, set {other}." if other else "")


RULE = Rule(
    id="nccl-variable",
    kind="capability",
    languages=("shell", "slurm", "dockerfile", "compose", "kubernetes", "ci", "config", "build"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Settings of NCCL (NCCL_SOCKET_IFNAME, NCCL_IB_DISABLE, ...) in scripts, images and manifests.",
    why="Other libraries of collectives have settings of their own, under other names and with other meanings.",
    instead="Keep them for CUDA and set the other library's (HCCL_*, CNCL_*, MCCL_*, CCL_*) where its device is used.",
    find=find,
    cases=(
        Case("# NCCL_DEBUG=INFO\nHCCL_SOCKET_IFNAME=eth0 torchrun t.py\n", 0, name="run.sh"),
        Case('echo "$NCCL_DEBUG"\n', 0, name="run.sh", note="read, not set"),
        Case("export NCCL_ROOT=/opt/nccl NCCL_LIB_DIR=/x\n", 0, name="run.sh", note="a build's name for where it lies"),
        Case("export NCCL_DEBUG=INFO\nexport NCCL_IB_DISABLE=1\n", 2, name="run.sh"),
        Case("#SBATCH -N 2\nsrun env TORCH_NCCL_BLOCKING_WAIT=1 python t.py\n", name="job.slurm"),
        Case("ENV NCCL_DEBUG INFO\n", name="Dockerfile"),
        Case("apiVersion: v1\nkind: Pod\nspec:\n  a:\n    env:\n    - name: NCCL_DEBUG\n      value: INFO\n", name="pod.yaml"),
        Case("env:\n  NCCL_P2P_DISABLE: '1'\n", name=".github/workflows/a.yml"),
    ),
    hints=(b"NCCL_",),
)
