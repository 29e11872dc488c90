"""NVIDIA's management library, and its command."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.neutral import DEVICE_MODULE, MODULE, found
from windtunnel.port.python import PythonTree, string
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import imports
from windtunnel.port.source import Source

_HANDLE = "pynvml.nvmlDeviceGetHandleByIndex"
_MEMORY = "pynvml.nvmlDeviceGetMemoryInfo"
_FIELDS = {"free": "[0]", "total": "[1]"}

_COMMAND = re.compile(r"(?:^|[;&|(]\s*|command -v\s+|which\s+|sudo\s+)\S*nvidia-smi(?=\s*$|\s+-|\s*[|;&])")


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    yield from imports(source, RULE, "pynvml", "py3nvml", "nvidia_smi", "pynvml_utils", "GPUtil", "gpustat", "cuda.nvml")
    for call in python.calls(_MEMORY):
        edits = _as_torch(python, call)
        if edits:
            yield found(source, RULE, call, edits, MODULE, safety="unsafe")
    for constant in python.of(ast.Constant):
        value = constant.value
        if isinstance(value, str) and _COMMAND.search(value) and _is_run(python, constant):
            yield source.finding(RULE, *python.span(constant))


def _as_torch(python: PythonTree, call: ast.Call) -> tuple[Edit, ...]:
    """``nvmlDeviceGetMemoryInfo(handle).free`` as torch's own ``mem_get_info(index)[0]``, where the index can be seen."""
    field = python.parent(call)
    if not isinstance(field, ast.Attribute) or not call.args:
        return ()
    index = _index(python, call.args[0])
    start, end = python.span(field)
    if index is None:
        return ()
    asked = f"{DEVICE_MODULE}.mem_get_info({index})"
    if field.attr in _FIELDS:
        return (Edit(start, end, asked + _FIELDS[field.attr]),)
    return (Edit(start, end, f"({asked}[1] - {asked}[0])"),) if field.attr == "used" else ()


def _index(python: PythonTree, handle: ast.expr) -> str | None:
    """The index that a handle was asked for by."""
    bound: object = handle
    if isinstance(handle, ast.Name):
        bound = python.binding(handle)[1]
    if isinstance(bound, ast.Call) and python.resolve(bound.func) == _HANDLE and bound.args:
        first = bound.args[0]
        return python.text(first) if isinstance(first, ast.Constant | ast.Name) else None
    return None


def _is_run(python: PythonTree, constant: ast.Constant) -> bool:
    for above in python.ancestors(constant):
        if isinstance(above, ast.Attribute) and above.attr in ("split", "format", "encode", "strip"):
            continue  # "nvidia-smi -L".split()
        if isinstance(above, ast.Call):
            func = above.func
            if isinstance(func, ast.Attribute) and func.attr in ("split", "format", "encode", "strip"):
                continue
            last = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
            return last in (
                "run",
                "call",
                "check_call",
                "check_output",
                "Popen",
                "system",
                "popen",
                "getoutput",
                "getstatusoutput",
                "which",
            )
        if isinstance(above, ast.Assign):
            return string(constant) == constant.value
        if not isinstance(above, ast.List | ast.Tuple | ast.JoinedStr | ast.BinOp | ast.IfExp):
            return False
    return False


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
    "_DEVICE_MODULE = torch.get_device_module(_DEVICE_TYPE)\n"
)  # fmt: skip

RULE = Rule(
    id="nvml",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="unsafe",
    what="NVIDIA's management library (pynvml), or its command nvidia-smi, called from Python.",
    why="It speaks to NVIDIA's driver; other vendors have libraries and commands of their own (npu-smi, "
    "mthreads-gmi, cnmon, xpu-smi).",
    instead="Ask PyTorch for memory (mem_get_info); it counts what the process sees, not what the driver does.",
    find=find,
    cases=(
        Case('print("run nvidia-smi to see")\n', 0, note="a message"),
        Case("nvml = None\n", 0),
        Case("import pynvml\npynvml.nvmlInit()\n", 1),
        Case('import subprocess\nsubprocess.run(["nvidia-smi", "-L"])\n', 1),
        Case('import subprocess\nsubprocess.check_output("nvidia-smi -L".split()).decode()\n', 1),
        Case('cmd = "nvidia-smi -L | wc -l" if posix else "nvidia-smi -L | find /c"\n', 2),
        Case('import os\nos.system("nvidia-smi --query-gpu=name --format=csv")\n', 1),
        Case(
            "import torch\nfrom pynvml import nvmlDeviceGetHandleByIndex, nvmlDeviceGetMemoryInfo\n"
            "h = nvmlDeviceGetHandleByIndex(0)\nfree = nvmlDeviceGetMemoryInfo(h).free\n",
            2,
            None,
            unsafe="import torch\nfrom pynvml import nvmlDeviceGetHandleByIndex, nvmlDeviceGetMemoryInfo\n"
            + _TOP.removeprefix("import torch\n")
            + "h = nvmlDeviceGetHandleByIndex(0)\nfree = _DEVICE_MODULE.mem_get_info(0)[0]\n",
        ),
    ),
    hints=(b"nvml", b"nvidia-smi", b"nvidia_smi", b"GPUtil", b"gpustat"),
)
