"""CUDA_VISIBLE_DEVICES where programs are started."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code, code_matches, is_said
from windtunnel.port.source import Source

_NAME = re.compile(r"(?<!\w)CUDA_VISIBLE_DEVICES\b")
_OTHERS = ("ASCEND_RT_VISIBLE_DEVICES", "MUSA_VISIBLE_DEVICES", "MLU_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
"""The same for Ascend, Moore Threads, Cambricon and Intel. **Source:** the vendors' documents of their runtimes."""
_SET = re.compile(
    r"(?:^|(?<=[\s;&|(]))CUDA_VISIBLE_DEVICES=(?P<value>\"[^\"\n`()\\]*\"|'[^'\n]*'|[\w,.:\-]*|\$\w+|\$\{\w+\})"
    r"(?=[ \t\r\n;&|)]|$)",
    re.M,
)

# the old form without an equals sign takes one variable only
_ENV = re.compile(
    r"^[ \t]*ENV[ \t]+(?P<name>CUDA_VISIBLE_DEVICES)(?:=|(?P<space>[ \t]+))(?P<value>[\w,.:\-]+|\"[\w,.:\-]*\")[ \t]*$",
    re.M | re.I,
)


def find(source: Source) -> Iterator[Finding]:
    text = code(source)
    images = {m.start("name"): m for m in _ENV.finditer(text)} if source.language == "dockerfile" else {}
    may_fix = source.language in ("shell", "slurm") and not _is_other_shell(source)
    assignments = {m.start(): m for m in _SET.finditer(text)} if may_fix else {}
    for match in code_matches(source, _NAME):
        line = source.lines[source.line_column(match.start())[0] - 1]
        if any(name in line for name in _OTHERS):
            continue  # it is said for each vendor
        if not match.string.endswith(("$", "${"), 0, match.start()) and is_said(match):
            continue
        edits: tuple[Edit, ...] = ()
        if match.start() in assignments and line.lstrip().startswith(("export ", "CUDA_VISIBLE_DEVICES=", "env ")):
            assignment = assignments[match.start()]
            # on CUDA, and where there is no accelerator, nobody reads the other names; a bare assignment stays one
            edits = (Edit(assignment.end(), assignment.end(), "".join(f" {name}={assignment['value']}" for name in _OTHERS)),)
        elif match.start() in images:
            image = images[match.start()]
            edits = (Edit(image.end(), image.end(), "".join(f" {name}={image['value']}" for name in _OTHERS)),)
            if image["space"]:
                edits = (Edit(image.start("space"), image.end("space"), "="), *edits)
        yield source.finding(RULE, *match.span(), edits=edits)


def _is_other_shell(source: Source) -> bool:
    return source.path.lower().endswith((".bat", ".ps1", ".fish"))


RULE = Rule(
    id="cuda-visible-devices-variable",
    kind="spelling",
    languages=("shell", "slurm", "dockerfile", "compose", "kubernetes", "ci", "config", "build"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="safe",
    what="Choosing devices by CUDA_VISIBLE_DEVICES in scripts, images and manifests.",
    why="Only CUDA (and ROCm, for compatibility) reads it: elsewhere every device of the machine is taken.",
    instead="Set each vendor's variable to the same list: ASCEND_RT_VISIBLE_DEVICES, MUSA_VISIBLE_DEVICES, MLU_VISIBLE_DEVICES, "
    "ZE_AFFINITY_MASK; nobody reads those of others.",
    find=find,
    cases=(
        Case("# export CUDA_VISIBLE_DEVICES=0\n", 0, name="run.sh", note="a comment"),
        Case("export MY_CUDA_VISIBLE_DEVICES=0\n", 0, name="run.sh"),
        Case("export CUDA_VISIBLE_DEVICES=0 ASCEND_RT_VISIBLE_DEVICES=0\n", 0, name="run.sh", note="said for others too"),
        Case('echo "Selected (CUDA_VISIBLE_DEVICES=$x)"\n', 0, name="run.sh", note="a message"),
        Case("env:\n  # CUDA_VISIBLE_DEVICES: 0\n  A: 1\n", 0, name=".github/workflows/a.yml"),
        Case(
            "export CUDA_VISIBLE_DEVICES=0,1\npython t.py\n",
            after="export CUDA_VISIBLE_DEVICES=0,1 ASCEND_RT_VISIBLE_DEVICES=0,1 MUSA_VISIBLE_DEVICES=0,1 "
            "MLU_VISIBLE_DEVICES=0,1 ZE_AFFINITY_MASK=0,1\npython t.py\n",
            name="run.sh",
        ),
        Case(
            "CUDA_VISIBLE_DEVICES=$D python train.py  # one\n",
            after="CUDA_VISIBLE_DEVICES=$D ASCEND_RT_VISIBLE_DEVICES=$D MUSA_VISIBLE_DEVICES=$D "
            "MLU_VISIBLE_DEVICES=$D ZE_AFFINITY_MASK=$D python train.py  # one\n",
            name="run.sh",
        ),
        Case("CUDA_VISIBLE_DEVICES=$(next_free) python t.py\n", name="run.sh", note="asked twice, it may answer otherwise"),
        Case('if [ -z "$CUDA_VISIBLE_DEVICES" ]; then exit 1; fi\n', name="run.sh"),
        Case("services:\n  a:\n    image: x\n    environment:\n      - CUDA_VISIBLE_DEVICES=0\n", name="compose.yml"),
        Case("env:\n  CUDA_VISIBLE_DEVICES: ''\n", name=".github/workflows/a.yml"),
        Case(
            "ENV CUDA_VISIBLE_DEVICES 0\n",
            after="ENV CUDA_VISIBLE_DEVICES=0 ASCEND_RT_VISIBLE_DEVICES=0 MUSA_VISIBLE_DEVICES=0 MLU_VISIBLE_DEVICES=0 "
            "ZE_AFFINITY_MASK=0\n",
            name="Dockerfile",
        ),
        Case("ENV A=1 CUDA_VISIBLE_DEVICES=0\n", name="Dockerfile"),
        Case("test:\n\tCUDA_VISIBLE_DEVICES=0 pytest\n", name="Makefile"),
        Case("CUDA_VISIBLE_DEVICES=0\n", name=".env"),
    ),
    hints=(b"CUDA_VISIBLE_DEVICES",),
)
