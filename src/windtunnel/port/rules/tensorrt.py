"""TensorRT."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import imports
from windtunnel.port.source import Source


def find(source: Source) -> Iterator[Finding]:
    yield from imports(source, RULE, "tensorrt", "torch_tensorrt", "torch2trt", "tensorrt_llm", "polygraphy")


RULE = Rule(
    id="tensorrt",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="TensorRT.",
    why="It compiles models for NVIDIA GPUs alone.",
    instead="Use torch.compile, or the compiler of the target (ATC, MagicMind, OpenVINO) from ONNX.",
    find=find,
    cases=(
        Case("tensorrt = False\n", 0),
        Case("import tensorrt as trt\n", 1),
        Case("import torch_tensorrt\n", 1),
        Case("from polygraphy.backend.trt import engine_from_bytes\n", 1),
    ),
    hints=(
        b"tensorrt",
        b"torch2trt",
        b"polygraphy",
    ),
)
