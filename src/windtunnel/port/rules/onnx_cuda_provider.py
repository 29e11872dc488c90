"""ONNX Runtime asked for CUDA."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.python import string
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_PROVIDERS = {"CUDAExecutionProvider", "TensorrtExecutionProvider"}
_OTHERS = {
    f"{name}ExecutionProvider"
    for name in ("CANN", "ROCM", "MIGraphX", "OpenVINO", "DML", "CoreML", "QNN", "VitisAI", "WebGPU", "RKNPU", "MUSA", "ACL")
}


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for constant in python.of(ast.Constant):
        if isinstance(constant.value, str) and constant.value in _PROVIDERS and not isinstance(python.parent(constant), ast.Expr):
            if _others_offered(python.parent(constant)):
                continue
            yield source.finding(RULE, *python.span(constant))


def _others_offered(beside: ast.AST | None) -> bool:
    """Whether a list or a table names other accelerators' providers too."""
    values = (
        beside.values
        if isinstance(beside, ast.Dict)
        else beside.elts
        if isinstance(beside, ast.List | ast.Tuple | ast.Set)
        else []
    )
    return any(string(value) in _OTHERS for value in values)


RULE = Rule(
    id="onnx-cuda-provider",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="none",
    what="ONNX Runtime asked for CUDA or TensorRT by name.",
    why="Other accelerators have providers of other names (CANN, OpenVINO, CoreML); without one the CPU is taken, "
    "with no more than a warning.",
    instead="Take what onnxruntime.get_available_providers() gives, in an order of your own.",
    find=find,
    cases=(
        Case('p = ["CPUExecutionProvider"]\n', 0),
        Case('"""CUDAExecutionProvider"""\n', 0),
        Case('p = ["CUDAExecutionProvider", "CANNExecutionProvider", "CPUExecutionProvider"]\n', 0, note="others are offered"),
        Case('names = {"cuda": "CUDAExecutionProvider", "rocm": "ROCMExecutionProvider"}\n', 0),
        Case('s = ort.InferenceSession(m, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])\n'),
    ),
    hints=(b"ExecutionProvider",),
)
