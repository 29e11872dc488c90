"""Functions and types of the CUDA runtime, its libraries and PyTorch's CUDA part, in C++."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_without_strings
from windtunnel.port.rules._cuda_names import is_own, names, own_names
from windtunnel.port.source import Source

_PREPROCESSOR = re.compile(r"^[ \t]*#[ \t]*(?:include|pragma|error|warning)[^\n]*", re.M)


def find(source: Source) -> Iterator[Finding]:
    text = _PREPROCESSOR.sub(lambda m: " " * len(m.group()), code_without_strings(source))
    own = own_names(text)
    for match in names(text):
        if match.group() not in own and not is_own(match.group()):
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
        Case(
            "cudaCheckError();\nint cudaStream = cudaDeviceId;\nCUBLAS_CHECK(x);\ncublasHandle_ = 0;\n", 0, note="a project's own"
        ),
        Case("#define cudaGetLastError mine\nncclComm comm_;\n", 0, note="a project's own"),
        Case(
            "const char *cusparseGetErrorString(int e);\nstatic int cublasVersionOf(int x) {\n}\ncusparseGetErrorString(3);\n"
            "cublasGetErrorString(e);\n",
            0,
            note="declared here, or in many a project's helpers",
        ),
        Case(
            "NCCLComm::NCCLComm(int n) : n_{n} {}\nNCCLComm::~NCCLComm() {}\nauto c = new NCCLComm{1};\n",
            0,
            note="a class of one's own",
        ),
        Case("struct CUDAGraph : Base {\n};\nCUDAGraph g;\nint MY_THRUST_VERSION_OF;\nmine::ActivityTypeOf x;\n", 0),
        Case("#if THRUST_MAJOR_VERSION >= 3\n#endif\nauto i = cuda::make_counting_iterator(0);\n", 2),
        Case("activities.insert(torch::profiler::impl::ActivityType::CUDA);\n"),
        Case("at::PhiloxCudaState s;\ntypedef CUresult(CUDAAPI* F)(CUdevice* d);\nreturn cudaFree(p);\nelse cudaFree(q);\n", 6),
        Case("cudaMalloc(&p, n);\ncudaStream_t s;\n", 2),
        Case("cuMemcpyHtoD(a, b, n);\nCUarray_format f = CU_AD_FORMAT_HALF;\ncuComplex c = make_cuComplex(1, 2);\n", 5),
        Case("CUBLASLT_MATMUL_DESC_TRANSA;\nNVRTC_SUCCESS;\nNCCL_VERSION_CODE;\nCUDA_VERSION;\nCUDNN_STATUS_SUCCESS;\n", 5),
        Case("curand_init(s, i, 0, &st);\nfloat4 r = curand_uniform4(&st);\nnvshmem_malloc(n);\nint n = curand(&st) % 4;\n", 4),
        Case(
            "using namespace nvcuda;\nnamespace cg = cooperative_groups;\nTHCudaCheck(s);\nCUDACachingAllocator::emptyCache();\n",
            4,
        ),
        Case("auto s = at::cuda::getCurrentCUDAStream();\nc10::cuda::CUDAGuard g(x.device());\n", 2, name="a.cpp"),
        Case("cublasSgemm(h);\ncudnnCreate(&h);\nncclAllReduce(a);\nnvtxRangePush(n);\ncuInit(0);\n", 5),
        Case("typedef cub::BlockScan<T, 32> S;\nthrust::sort(a, b);\n", 2),
        Case("C10_CUDA_KERNEL_LAUNCH_CHECK();\n"),
    ),
    hints=(
        b"cu",
        b"nccl",
        b"NCCL",
        b"thrust",
        b"nv",
        b"npp",
        b"rmm",
        b"raft",
        b"cooperative_groups",
        b"THC",
        b"CU",
        b"NV",
        b"optix",
        b"Cud",
        b"::CUDA",
        b"CUTLASS_",
        b"THRUST_",
        b"CuDNN",
    ),
)
