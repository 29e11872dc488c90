"""Environment variables that choose among CUDA's devices, in Python."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.python import PythonTree
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._environment import named_variables, variables_as_keywords
from windtunnel.port.source import Source

_OTHERS = ("ASCEND_RT_VISIBLE_DEVICES", "MUSA_VISIBLE_DEVICES", "MLU_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
_NAMES = re.compile(r"(CUDA_VISIBLE_DEVICES|NVIDIA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER)$")


def find(source: Source) -> Iterator[Finding]:
    for constant in named_variables(source.python, _NAMES):
        statement, edits = _assignment(source.python, constant)
        if statement is not None and any(name in source.python.text(statement) for name in _OTHERS):
            continue  # it is said for each vendor
        yield source.finding(RULE, *source.python.span(constant), edits=edits)
    for place in variables_as_keywords(source.python, _NAMES):
        yield source.finding(RULE, *place)


def _assignment(python: PythonTree, constant: ast.Constant) -> tuple[ast.Assign | None, tuple[Edit, ...]]:
    """``os.environ["CUDA_VISIBLE_DEVICES"] = ids``: the statement, and the edit that sets the others' variables with it."""
    subscript = python.parent(constant)
    statement = python.parent(subscript) if subscript is not None else None
    if not isinstance(subscript, ast.Subscript) or not isinstance(statement, ast.Assign) or subscript not in statement.targets:
        return None, ()
    if constant.value != "CUDA_VISIBLE_DEVICES" or python.resolve(subscript.value) != "os.environ":
        return statement, ()
    end = python.end(subscript)
    owner = python.text(subscript.value)
    # evaluated once, set from left to right; on CUDA, and where there is no accelerator, nobody reads the other names
    return statement, (Edit(end, end, "".join(f' = {owner}["{name}"]' for name in _OTHERS)),)


RULE = Rule(
    id="cuda-visible-devices",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="CUDA_VISIBLE_DEVICES and its kin, read or set by a program.",
    why="Each vendor has a variable of its own: ASCEND_RT_VISIBLE_DEVICES, MUSA_VISIBLE_DEVICES, "
    "MLU_VISIBLE_DEVICES, ZE_AFFINITY_MASK.",
    instead="Set each vendor's variable to the same list, or leave it to who starts the program; choose devices by index within.",
    find=find,
    cases=(
        Case('print("set CUDA_VISIBLE_DEVICES first")\n', 0, note="a message"),
        Case("# CUDA_VISIBLE_DEVICES\n", 0),
        Case(
            'import os\nos.environ["CUDA_VISIBLE_DEVICES"] = ids()\n',
            after='import os\nos.environ["CUDA_VISIBLE_DEVICES"] = os.environ["ASCEND_RT_VISIBLE_DEVICES"] = '
            'os.environ["MUSA_VISIBLE_DEVICES"] = os.environ["MLU_VISIBLE_DEVICES"] = os.environ["ZE_AFFINITY_MASK"] = ids()\n',
        ),
        Case('import os\nos.environ.update(CUDA_VISIBLE_DEVICES="0")\n'),
        Case('import os\nn = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")\n'),
        Case('import os\nos.putenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")\n'),
        Case('env = {"CUDA_VISIBLE_DEVICES": "0"}\n'),
        Case('import subprocess\nsubprocess.run("CUDA_VISIBLE_DEVICES=0 python train.py", shell=True)\n'),
        Case('import os\nos.system("CUDA_VISIBLE_DEVICES={} python t.py".format(i))\n'),
    ),
    hints=(b"VISIBLE_DEVICES", b"CUDA_DEVICE_ORDER"),
)
