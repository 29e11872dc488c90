"""Environment variables of CUDA's tools and libraries, in Python."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._environment import named_variables, variables_as_keywords
from windtunnel.port.rules._libraries import spelled
from windtunnel.port.source import Source

_NAMES = re.compile(
    r"(CUDA_(?!VISIBLE_DEVICES|DEVICE_ORDER)\w+|CUDACXX|CUDAARCHS|CUDAToolkit_ROOT|NCCL_\w+|TORCH_NCCL_\w+|CUBLAS(LT)?_(?:WORKSPACE|LOG|HEURISTICS|HOME|PATH|ROOT|LIB|INCLUDE|DIR|EMULATION)\w*|CUDNN_\w+|TORCH_CUDA_\w+|"
    r"PYTORCH_CUDA_ALLOC_CONF|PYTORCH_NVML_\w+|TORCH_CUDNN_\w+|NVIDIA_(?!VISIBLE_DEVICES)\w+|NVTE_\w+|FORCE_CUDA|NVCC_\w+|"
    r"TORCH_ALLOW_TF32_\w+|TRITON_PTXAS_PATH|XFORMERS_\w+)$"
)


def find(source: Source) -> Iterator[Finding]:
    for constant in named_variables(source.python, _NAMES):
        yield source.finding(RULE, *source.python.span(constant))
    for place in variables_as_keywords(source.python, _NAMES):
        yield source.finding(RULE, *place)
    yield from spelled(source, RULE, "torch.utils.cpp_extension.CUDA_HOME", "torch.utils.cpp_extension.CUDNN_HOME")


RULE = Rule(
    id="cuda-environment",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="An environment variable of CUDA's tools and libraries (CUDA_HOME, NCCL_DEBUG, PYTORCH_CUDA_ALLOC_CONF), "
    "read or set by a program.",
    why="Only CUDA's tools and libraries listen to it.",
    instead="Look for the target's own (ASCEND_HOME_PATH, HCCL_*, PYTORCH_NPU_ALLOC_CONF, MUSA_HOME), and set it "
    "where the program is started.",
    find=find,
    cases=(
        Case('print("CUDA_HOME is not set")\n', 0, note="a message"),
        Case('import os\nos.environ["MY_CUDA_FLAG"] = "1"\n', 0, note="the program's own"),
        Case('order = "CUBLASLT_ORDER_COL"\n', 0, note="a constant of the library"),
        Case('import os\nos.environ["CUBLASLT_LOG_LEVEL"] = "2"\nroot = os.environ.get("CUDAToolkit_ROOT")\n', 2),
        Case('import os\nos.environ["NCCL_DEBUG"] = "INFO"\n'),
        Case('import os\nenv = dict(os.environ, NCCL_DEBUG="INFO")\n'),
        Case('import os\nhome = os.getenv("CUDA_HOME")\n'),
        Case("from torch.utils.cpp_extension import CUDA_HOME\nok = CUDA_HOME is not None\n"),
        Case('import os\nos.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")\n'),
    ),
    hints=(b"CUDA", b"NCCL", b"CUBLAS", b"CUDNN", b"NVIDIA_", b"NVTE_", b"NVCC", b"PTXAS", b"TF32", b"XFORMERS", b"NVML"),
)
