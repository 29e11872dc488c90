"""Environment variables that choose among CUDA's devices, in Python."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._environment import named_variables, variables_as_keywords
from windtunnel.port.source import Source

_NAMES = re.compile(r"(CUDA_VISIBLE_DEVICES|NVIDIA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER)$")


def find(source: Source) -> Iterator[Finding]:
    for constant in named_variables(source.python, _NAMES):
        yield source.finding(RULE, *source.python.span(constant))
    for place in variables_as_keywords(source.python, _NAMES):
        yield source.finding(RULE, *place)


RULE = Rule(
    id="cuda-visible-devices",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="none",
    what="CUDA_VISIBLE_DEVICES and its kin, read or set by a program.",
    why="Each vendor has a variable of its own: ASCEND_RT_VISIBLE_DEVICES, MUSA_VISIBLE_DEVICES, "
    "MLU_VISIBLE_DEVICES, ZE_AFFINITY_MASK.",
    instead="Set the target's variable where the program is started, and choose devices by index within.",
    find=find,
    cases=(
        Case('print("set CUDA_VISIBLE_DEVICES first")\n', 0, note="a message"),
        Case("# CUDA_VISIBLE_DEVICES\n", 0),
        Case('import os\nos.environ["CUDA_VISIBLE_DEVICES"] = "0"\n'),
        Case('import os\nos.environ.update(CUDA_VISIBLE_DEVICES="0")\n'),
        Case('import os\nn = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")\n'),
        Case('import os\nos.putenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")\n'),
        Case('env = {"CUDA_VISIBLE_DEVICES": "0"}\n'),
        Case('import subprocess\nsubprocess.run("CUDA_VISIBLE_DEVICES=0 python train.py", shell=True)\n'),
        Case('import os\nos.system("CUDA_VISIBLE_DEVICES={} python t.py".format(i))\n'),
    ),
    hints=(b"VISIBLE_DEVICES", b"CUDA_DEVICE_ORDER"),
)
