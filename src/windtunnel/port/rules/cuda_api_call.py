"""Functions and types of the CUDA runtime, its libraries and PyTorch's CUDA part, in C++."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_without_strings
from windtunnel.port.source import Source

# the libraries' own prefixes, followed by a capital as every public name of theirs is
_NAME = re.compile(
    r"(?<![\w.:#/\"])(?<!->)(?:::)?(?:"
    r"(?:at|c10|torch)::cuda\b(?:::\w+)*"
    r"|(?:cub|thrust|cutlass|cute|cooperative_groups|nvcuda|nvtx3)::(?:\w+::)*\w+|cuda::(?:std::|ptx::)?\w+"
    r"|cuda(?=[A-Z])\w+"
    r"|(?:cublas|cudnn|cufft|curand|cusparse|cusolver\w{0,2}|cutensor|nvml|nvtx|nvrtc|nvjpeg|cupti|cuFile)(?=[A-Z])\w+"
    r"|(?:CUBLAS|CUDNN|CUFFT|CURAND|CUSPARSE|CUSOLVER|NVML)_[A-Z]\w+"
    r"|nccl(?=[A-Z])\w+|(?:C10|AT|TORCH)_(?:CUDA|CUDNN|CUBLAS|NCCL)_\w+|CUDA_(?:R_\d|C_\d|SUCCESS|ERROR_)\w*"
    r"|cuInit\b|cu(?:Ctx|Device|Module|Library|Mem|Stream|Event|Launch|Func|Link|Graph|Array|Tex"
    r"|Surf|Pointer|Get|Tensor|Driver|Occupancy)(?=[A-Z])\w*"
    r"|CU(?:device|context|module|function|stream|event|result|deviceptr|tensorMap|graph)(?:_\w+)?\b"
    r"|CUDAGuard|OptionalCUDAGuard|CUDAStreamGuard|CUDAStream|getCurrentCUDAStream|getDefaultCUDAStream|getStreamFromPool"
    r"|nv_bfloat16\w*|__nv_\w+|__CUDA_ARCH__\b|CUDART_\w+"
    r")"
)
_PREPROCESSOR = re.compile(r"^[ \t]*#[ \t]*(?:include|pragma|error|warning)[^\n]*", re.M)


def find(source: Source) -> Iterator[Finding]:
    text = _PREPROCESSOR.sub(lambda m: " " * len(m.group()), code_without_strings(source))
    for match in _NAME.finditer(text):
        yield source.finding(RULE, *match.span())


RULE = Rule(
    id="cuda-api-call",
    kind="capability",
    languages=("cpp",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Functions, types and macros of the CUDA runtime and driver, of its libraries, and of at::cuda and c10::cuda.",
    why="They are linked from NVIDIA's libraries, or from a PyTorch built with them.",
    instead="Use ATen operators, c10::DeviceGuard, c10::impl::VirtualGuardImpl and c10::Stream, which serve every device; keep "
    "the rest in files that are built only for CUDA.",
    find=find,
    cases=(
        Case('// cudaMalloc(&p, n)\nconst char* s = "cudaMalloc failed";\n#include <cuda_runtime.h>\n', 0),
        Case("void f_cuda(Tensor x);\nint cuda_buffers = 0;\nx.cuda();\nncclone();\n", 0),
        Case("mine::cudaGraph();\nx->cudaCount();\n#define _cuda_buffers_cu\n", 0, note="names of others"),
        Case("#include <nccl.h>\nint cublas = 1; int thrusted; auto cube = 1; int cut = cuts;\n", 0),
        Case("#ifdef __CUDACC__\n#define CUDA_CHECK(x) mine(x)\n#endif\n", 0, note="a guard, and a name of one's own"),
        Case("cudaMalloc(&p, n);\ncudaStream_t s;\n", 2),
        Case("auto s = at::cuda::getCurrentCUDAStream();\nc10::cuda::CUDAGuard g(x.device());\n", 2, name="a.cpp"),
        Case("cublasSgemm(h);\ncudnnCreate(&h);\nncclAllReduce(a);\nnvtxRangePush(n);\ncuInit(0);\n", 5),
        Case("typedef cub::BlockScan<T, 32> S;\nthrust::sort(a, b);\n", 2),
        Case("C10_CUDA_KERNEL_LAUNCH_CHECK();\n"),
    ),
    hints=(b"cu", b"CU", b"nccl", b"NCCL", b"thrust", b"nv", b"NVML", b"cooperative_groups"),
)
