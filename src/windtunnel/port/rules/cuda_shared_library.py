"""NVIDIA's libraries opened by name in C++, and variables of CUDA that C++ reads."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_LIBRARIES = (
    "cuda|cudart|cublas|cublasLt|cudnn|nccl|cufft|curand|cusparse|cusolver|nvrtc"
    "|nvidia-ml|nvml|nvToolsExt|cupti|cufile|nvcuda|nvinfer"
)
_OPENED = re.compile(
    rf"\"(?P<library>[\w./\-]*(?<![A-Za-z_])(?:lib)?(?:{_LIBRARIES})(?:\w*64_\w+)?(?:\.so(?:\.\d+)*|\.dll|\.dylib|\.lib))\""
    r"|\b(?:getenv|setenv|unsetenv|putenv|secure_getenv|GetEnv\w*|get_env\w*)\s*\(\s*\"(?P<variable>(?:(?:CUDA|NCCL|CUDNN|CUBLAS|NVIDIA)_[A-Z_]+|CUDA_HOME"
    r"|PYTORCH_CUDA_ALLOC_CONF|TORCH_(?:CUDA|NCCL|CUDNN)_\w+))[=\"]"
    r"|\b(?:system|popen|_popen)\s*\(\s*\"(?P<tool>nvidia-smi|nvcc|\S*/nvcc)\b"
)


def find(source: Source) -> Iterator[Finding]:
    for match in code_matches(source, _OPENED):
        assert match.lastgroup is not None
        yield source.finding(RULE, *match.span(match.lastgroup))


RULE = Rule(
    id="cuda-shared-library",
    kind="capability",
    languages=("cpp",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="C++ that opens a library of CUDA by name (libcudart.so, nvcuda.dll), reads CUDA's variables or runs its tools.",
    why="The library comes with NVIDIA's toolkit or driver, and nobody else reads the variables.",
    instead="Open it only where it is there, and go on without it.",
    find=find,
    cases=(
        Case('// dlopen("libcudart.so")\nopen("mycuda.so.txt"); getenv("MY_CUDA_DIR"); log("libcudart.so is missing");\n', 0),
        Case('dlopen("libcuda.so.1", RTLD_LAZY);\nLoadLibraryA("cudart64_110.dll");\n', 2, name="a.cpp"),
        Case('#pragma comment(lib, "cublas.lib")\n', name="a.cpp"),
        Case('setenv("CUDA_VISIBLE_DEVICES", "0", 1);\nauto d = std::getenv("NCCL_DEBUG");\n', 2, name="a.cpp"),
    ),
    hints=(b".so", b".dll", b".dylib", b".lib", b"env", b"Env", b"popen", b"system"),
)
