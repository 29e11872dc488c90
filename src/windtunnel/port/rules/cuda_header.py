"""Headers of CUDA, its libraries and PyTorch's CUDA part."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_INCLUDE = re.compile(
    r"^[ \t]*#[ \t]*include[ \t]*(?P<header>[<\"](?P<name>[^>\"\n]+)[>\"])"
    r"|^[ \t]*cdef[ \t]+extern[ \t]+from[ \t]+(?P<quoted>[\"'](?P<cython>[^\"'\n]+)[\"'])",
    re.M,
)
_CUDA = re.compile(
    r"(?:ATen|c10|THC|torch/csrc|torch/csrc/api/include/torch)/(?:\w+/)*(?:cuda|cudnn)/.*|torch/csrc/(?:\w+/)*\w*(?:NCCL|CUDA)\w*\.hpp|THC/.*|torch/cuda\.h"
    r"|(?:(?:cuda|include|crt)/)*(?:cuda|cuda_runtime|cuda_runtime_api|cuda_fp16|cuda_bf16|cuda_fp8|cuda_fp4|cuda_fp6|cuda_pipeline\w*|cuda_awbarrier\w*"
    r"|cuda_profiler_api|cuda_gl_interop|cuda_texture_types|cuda_device_runtime_api|cudaTypedefs|cudaProfiler|device_launch_parameters"
    r"|device_functions|device_atomic_functions|driver_types|vector_types|sm_\d+\w*|mma|crt/\w+|math_constants|helper_cuda|nvrtc"
    r"|cublas\w*|cudnn\w*|cufft\w*|cufile|curand\w*|cusolver\w*|cusparse\w*|cudss|cutensor\w*|nccl|nvml|nvToolsExt\w*|nvjpeg\w*"
    r"|nvcuvid|cuviddec|nvEncodeAPI|NvInfer\w*|NvOnnx\w*|cuComplex|npp\w*|cooperative_groups|nvshmem\w*|cupti\w*|cusparseLt)\.h"
    r"|cuda_(?:fp16|bf16|fp8|fp6|fp4)\.hpp"
    r"|gloo/(?:\w+/)*(?:cuda|nccl)\w*\.h|tensorpipe/\w*cuda\w*\.h|caffe2/(?:\w+/)*\w*(?:gpu|cudnn)\.h"
    r"|(?:(?:cuda|include|crt)/)*(?:library_types|channel_descriptor|texture_\w+|surface_\w+|host_defines|fatbinary\w*|nvPTXCompiler|nvJitLink|optix\w*|nvcomp\w*|cudla)\.h"
    r"|(?:cub|thrust|cutlass|cute|cuda/std|cooperative_groups|nvtx3|cuco|rmm|raft|nv)/.+|cuda/(?:std/)?\w+|cooperative_groups(?:/.*)?"
)


def find(source: Source) -> Iterator[Finding]:
    for match in code_matches(source, _INCLUDE):
        if _CUDA.fullmatch(match["name"] or match["cython"].strip("<>")):
            yield source.finding(RULE, *match.span("header" if match["name"] else "quoted"))


RULE = Rule(
    id="cuda-header",
    kind="capability",
    languages=("cpp",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Including headers of CUDA, of its libraries (cuBLAS, cuDNN, NCCL, CUB, CUTLASS, NVTX) or of PyTorch's CUDA part.",
    why="They are there only where NVIDIA's toolkit, and a PyTorch built with it, is installed.",
    instead="Keep what needs them in files that are built only for CUDA, behind an operator registered by TORCH_LIBRARY; give "
    "the same operator an implementation of ATen calls for every other device.",
    find=find,
    cases=(
        Case('// #include <cuda.h>\n/* #include <cuda.h> */\n#include "my_cuda_ops.h"\n', 0),
        Case("#include <torch/extension.h>\n#include <ATen/ATen.h>\n", 0, name="a.cpp"),
        Case('#include "mine/cuda/cuda_runtime.h"\n#include "cuda.hpp"\n', 0, note="one's own"),
        Case("#include <cuda.h>\n#include <cuda_runtime.h>\n#include <ATen/cuda/CUDAContext.h>\n", 3),
        Case("#include <c10/cuda/CUDAGuard.h>  // guards\n", name="a.cpp"),
        Case(
            "#include <cub/cub.cuh>\n#include <thrust/sort.h>\n#include <cooperative_groups.h>\n#include <nvtx3/nvToolsExt.h>\n",
            4,
        ),
        Case('cdef extern from "cuda_runtime.h" nogil:\n    pass\n', name="a.pyx"),
        Case("# include <nccl.h>\n#include <cublas_v2.h>\n", 2, name="a.h"),
    ),
    hints=(b"include", b"extern"),
)
