"""The names that CUDA, its libraries and PyTorch's CUDA part give to C and C++, and those that only begin alike."""

from __future__ import annotations

import re
from collections.abc import Iterator

_DRIVER = (
    "Array|Checkpoint|Coredump|Ctx|D3D|Destroy|Device|Driver|EGL|Event|External|Flush|Func|GL|Get|Graph|Graphics|Green|Import"
    "|Init|Ipc|Kernel|Launch|Library|Link|Logs|Mem|Memcpy|Memset|Mipmapped|Module|Multicast|Occupancy|Param|Pointer|Profiler"
    "|Signal|Stream|Surf|Tensor|Tex|Thread|Unmap|User|VDPAU|WGL|Wait"
)
_DRIVER_CONSTANT = (
    "AD_FORMAT|ARRAY|CIG|CLUSTER|COMPUTEMODE|COREDUMP|CTX|CUBEMAP|D3D\\d+|DEVICE|DRIVER|EGL|EVENT|EXTERNAL|FLUSH|FUNC|GET_PROC"
    "|GL|GPU_DIRECT|GRAPH|GRAPHICS|GREEN|HOST|IPC|JIT|JITX|LAUNCH|LIBRARY|LIMIT|MEM|MEMHOSTALLOC|MEMHOSTREGISTER|MEMORYTYPE"
    "|MEMPEERREGISTER|MEMPOOL|MODULE|MULTICAST|OBJECT|OCCUPANCY|PARAM|POINTER|PREFER|RESOURCE|RES_VIEW|SHARED(?:MEM)?|STREAM"
    "|SYNC|TARGET|TENSOR_MAP|TRSA|TRSF|TR_\\w+|USER|VERSION"
)
_RUNTIME = (
    "Access|Add|Address|Alloc|Array|Async|Bind|Boundary|Channel|Choose|Cluster|Compute|Configure|Cooperative|Cpu|Create|Ctx|Data"
    "|Destroy|Dev|Device|Driver|EGL|Egl|Enable|Err|Error|Event|Exec|External|Filter|Flush|Format|Free|Func|GL|Get|Graph|Graphics"
    "|Grid|Host|Import|Init|Invalid|Ipc|Kernel|Key|Launch|Library|Limit|Link|Load|Malloc|Mem|Memcpy|Memory|Memset|Mipmapped|Nv"
    "|Occupancy|Output|Peek|Pitched|Pointer|Pos|Preferred|Profiler|Programmatic|Read|Res|Resource|Round|Runtime|Set|Setup|Shared"
    "|Signal|Stream|Success|Surface|Sync|Tex|Texture|Thread|Trigger|UUID|Unbind|User|VDPAU|WGL|Wait|D3D|Roundmode|CSV|CG|Deferred"
)
_NCCL = (
    "Comm|UniqueId|Get|Group|All|Reduce|Broadcast|Bcast|Send|Recv|AlltoAll|Gather|Scatter|DataType|RedOp|Result|Success|System"
    "|Unhandled|Internal|Invalid|Remote|InProgress|Num|Sum|Prod|Max|Min|Avg|Int|Char|Uint|Half|Float|Double|Bfloat|Config|Mem"
    "|Scalar|Sim|Window|Dev|Team|Lsa|Gin|Net|Tuner|Profiler|Strong|Red|Param"
)
_LIBRARIES = (
    "cublas|cudnn|cufft|curand|cusparse|cusolver|cutensor|nvml|nvtx|nvrtc|nvjpeg|nvJitLink|nvjitlink|cupti|cuFile|cufile|cudss"
    "|cuvid|nvshmem|nppi?|nvPTXCompiler|optix|nvcomp"
)
# a library's prefix is followed by a capital, as every public name of theirs is
NAME = re.compile(
    r"(?<![\w.:#/\"])(?<!->)(?:::)?(?:"
    r"(?:at|c10|torch|caffe2)::cuda\b(?:::\w+)*"
    r"|(?:at|c10|torch|caffe2)::(?:native::cudnn(?:::\w+)*|CUDA(?=[A-Z])\w+|CUDAHooksInterface|globalContext\(\)\.(?:hasCUDA|lazyInitCUDA)\b)"
    r"|(?:at|c10|torch)::(?!Cuda(?=\b))(?:\w*(?:Cuda|CuDNN|Cudnn)[A-Z]?\w*)\b|PhiloxCudaState\b"
    r"|CUDA(?:RT)?API\b|CUDA_CALLBACK\b|CUDART_CB\b|(?:CUDNN|CUBLAS|CUSPARSE|CUSOLVER|CURAND|CUFFT)(?:WIN)?API\b"
    r"|(?:c10d|torch|::c10d)::(?:\w+::)*(?:ProcessGroupNCCL|nccl)\b(?:::\w+)*"
    r"|(?:cub|thrust|cutlass|cute|cooperative_groups|nvcuda|nvtx3|nvinfer1|cuco|rmm|raft)::(?:\w+::)*\w+|cuda::(?:(?:std|ptx|device|experimental|mr)::\w+|(?:atomic|barrier|pipeline|latch|thread_scope|memory_order|memcpy_async|(?:counting|binary)_semaphore|annotated_ptr|access_property|aligned_size|proclaim|apply_access|associate_access|discard_memory|ceil_div|stream_ref|make_\w+_(?:iterator|transform)|\w+_iterator\b|maximum|minimum|proclaim_return_type|fast_mod_div|round_up|round_down|mdspan|shared_memory_mdspan|device_memory_mdspan|host_memory_mdspan|warp_shuffle|get_device|devices\b|event|stream\b)\w*)"
    r"|(?<=using namespace )(?:cub|thrust|cutlass|cute|cooperative_groups|nvcuda|nvinfer1)\b"
    r"|(?<== )(?:cub|thrust|cooperative_groups|nvcuda)(?=\s*;)"
    rf"|cuda(?:{_RUNTIME})(?=[A-Z0-9_])\w*|cuda(?:Malloc|Free|Memcpy|Memset|Success|Launch|Error|Extent|Pos|Array|Limit|UUID_t)\b"
    r"|cudaFuncCache|cudaTextureObject_t|make_cuda(?:Extent|PitchedPtr|Pos)\b|cudaExtent\b|cudaChannel\w+"
    rf"|(?:{_LIBRARIES})(?=[A-Z])\w+|cusolver(?:Dn|Sp|Rf|Mg)\w*"
    r"|curand(?:[24]?(?=\s*\(\s*&?\w)|_(?:init|uniform|normal|log_normal|poisson|discrete|mtgp32|Philox|[A-Z0-9]+_)\w*)|nvshmemx?_\w+|nvtx(?:Range|Mark|Name)\w+"
    r"|(?:CUBLAS(?:LT)?|CUDNN|CUFFT|CURAND|CUSPARSE(?:LT)?|CUSOLVER|NVML|NVRTC|NVJPEG|CUPTI|NVSHMEMX?|CUTENSOR|OPTIX|NVTX3?)_"
    r"(?!(?:\w+_)?(?:CHECK|CALL|SAFE|ASSERT|VERIFY|ENFORCE|TRY|ERR|ERROR_CHECK|RETURN|THROW)(?:_|\b))[A-Z]\w+"
    rf"|nccl(?:{_NCCL})(?=[A-Z0-9_])\w*|nccl(?:UniqueId|InProgress|Send|Recv|Reduce|Broadcast|Bcast|Gather|Scatter|Success|Sum|Prod|Max|Min|Avg|Char|Int|Half|Float|Double)\b"
    r"|NCCL_(?:MAJOR|MINOR|PATCH|SUFFIX|VERSION(?:_CODE)?|UNIQUE_ID_BYTES|SPLIT_NOCOLOR|CONFIG_INITIALIZER)\b|(?:C10D|TORCH)_NCCL_\w+"
    r"|(?:C10|AT|TORCH)_(?:CUDA|CUDNN|CUBLAS|NCCL|CUDABLAS|CUSPARSE|CUDASPARSE|CUSOLVER)_\w+"
    r"|CUDA_(?:R_\d|C_\d|SUCCESS|ERROR_|ARRAY|MEMCPY|MEMSET|RESOURCE|TEXTURE|EXTERNAL|LAUNCH_(?:PARAMS|ATTR)|KERNEL_NODE|HOST_NODE|POINTER|MEM_ALLOC"
    r"|BATCH|EVENT|GRAPH|IPC_HANDLE_SIZE|VERSION\b)\w*"
    rf"|cuInit\b|cu(?:{_DRIVER})(?=[A-Z0-9])\w*|cu(?:Launch|Memcpy)\b|cu(?:Memcpy|Memset)\w+"
    r"|(?:make_)?cu(?:Float|Double)?Complex\b|cuC(?:add|sub|mul|div|abs|real|imag|fma|onj)f?\b"
    rf"|CU[a-z]{{3}}\w+|CU(?:GL|d3d|egl|ipc|jit|mem|ctx|tex)\w+|CU_(?:{_DRIVER_CONSTANT})(?:_\w+)?\b|CUDBG_\w+|CUDA_CB\b"
    r"|(?:Optional|Multi)?CUDA(?:Stream|MultiStream)?Guard\b|CUDAStream(?:CaptureModeGuard)?\b|CUDAEvent\b|CUDACachingAllocator(?:::\w+)*|CUDAGeneratorImpl\b"
    r"|(?:\w+::)*(?:ActivityType|ProfilerState)::CUDA\w*\b|KINETO_(?:GPU|CUDA)\b|(?:THRUST|CUB|CCCL|CUTLASS|LIBCUDACXX|CUDA_CCCL)_(?:(?:MAJOR|MINOR|SUBMINOR|PATCH)(?:_VERSION)?|VERSION(?:_MAJOR|_MINOR|_PATCH)?)\b|CUDAGraph\b|CUDAHooks\b|CUDAContext\b|ProcessGroupNCCL(?:::\w+)*|NCCLComm\b"
    r"|getCurrentCUDA(?:Stream|BlasHandle|SparseHandle)|getDefaultCUDAStream|setCurrentCUDAStream|getStreamFromPool|getCudnnHandle"
    r"|THCState\b|THC(?:uda|Caching|Tensor|Stream)\w+|kDLCUDA\w*|THCCeilDiv|THCNumerics\w*"
    r"|nv_(?:bfloat16|fp8)\w*|__nv_\w+|__CUDA_ARCH(?:_\w+)?__\b|__CUDA_ARCH_(?:FEAT|SPECIFIC|FAMILY)\w+|CUDART_\w+"
    r")"
)
"""Every name in PyTorch's hipify tables that says what it is, and what those tables leave out. **Source:** the public headers
of CUDA 13 and its libraries, NCCL 2.28, and torch/utils/hipify/cuda_to_hip_mappings.py of PyTorch 2.13."""
_OWN = re.compile(
    r"(?i:.*(?:check|safe|wrapper|helper|utils?|assert|verify|enforce|throw)(?!sum))"
    r"|cuda(?:Stream|Event|Device|Graph|Memory|Mem|Error|Array|Texture|Kernel|Data|Launch|Thread|Host|Runtime|Alloc|Err|Dev|Sync)"
    r"(?:s|_|Id|ID|Ids|Index|Idx|Num|No|Name|Count|Ptr|Vec|List|Map|Pool|Manager|Handle|Buffer|Impl|Info|Type|Status|Code|Str|Msg|Flag|Flags|_(?!t$|const_t$|st$)[a-z]\w*)?$"
    r"|(?:cudnn|cublas|cusparse|cusolver|curand)(?:Handle|Status|Workspace|Desc|Descriptor|Stream|Lib|Version)s?_?$"
    # of no library, but in many a project's helpers
    r"|(?:cublas|curand|cufft|cusolver|cudnn|nvrtc|cuda)GetErrorEnum$|(?:cublas|curand|cufft|cusolver|cudnn)GetErrorString$"
    r"|nccl(?:Comm|Comms|Id|UniqueId|Result|Stream|Config)_?$"
)
_PUBLIC = frozenset(
    {
        "cudaError", "cudaArray", "cudaEventDefault", "cudaHostAlloc", "cudaDataType", "cudaMemoryType", "cudaStreamDefault",
        "cudaDeviceFlag", "cudaGraphFlags", "cudaDevType", "ncclUniqueId", "ncclConfig", "cudaErrorAssert", "cudaMallocHost",
        "cudaEventDisableTiming", "cudaLaunch", "curandStatus", "cudaErrorCode",
    }
)  # fmt: skip
_HINT = re.compile(r"cu|CU|nccl|NCCL|thrust|THRUST|nv|NV|coop|THC|OPTIX|rmm::|raft::|npp|Cud|CuDNN|optix|StreamFromPool")
_DEFINED = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", re.M)


_DECLARED = re.compile(
    r"^[ \t]*(?!(?:return|else|case|throw|new|delete|goto|co_return|typedef|using)\b)(?:[\w:]+(?:<[^<>;()]*>)?[ \t*&]+)+"
    r"(\w+)[ \t]*\([^;{}()=]*\)[ \t]*(?:const[ \t]*)?(?:noexcept[ \t]*)?[;{]",
    re.M,
)
_CLASSES = re.compile(r"\b(?:class|struct)\s+(\w+)\s*(?:final\b\s*)?(?::(?!:)[^;{]*)?\{")
_MADE = re.compile(r"(?<![\w:])(\w+)::~?\1\s*\(")
_PARAMETERS = re.compile(r"\((?:[ \t]*|void|[^()]*\w[\s*&]+\w+[^()]*)\)[^()]*$")


def own_names(text: str) -> frozenset[str]:
    """Macros that a file defines and functions that it declares itself: its own, whatever they are called."""
    declared = (m.group(1) for m in _DECLARED.finditer(text) if _HINT.search(m.group(1)) and _PARAMETERS.search(m.group()))
    # X::X( makes, and X::~X( ends, what the file itself defines
    return frozenset((*_DEFINED.findall(text), *declared, *_CLASSES.findall(text), *_MADE.findall(text)))


def names(text: str) -> Iterator[re.Match[str]]:
    """Every such name in a text from which comments and strings are gone; only lines that can hold one are looked through."""
    at = 0
    while hint := _HINT.search(text, at):
        start = text.rfind("\n", 0, hint.start()) + 1
        end = text.find("\n", hint.end())
        at = len(text) if end < 0 else end
        yield from NAME.finditer(text, start, at)


def is_own(name: str) -> bool:
    """Whether a name only begins like CUDA's: a project's check, wrapper or variable."""
    last = name.rsplit("::", 1)[-1]
    return (
        last not in _PUBLIC
        and "::" not in name
        and not name.startswith(("C10", "AT_", "TORCH_", "THC"))
        and bool(_OWN.match(last))
    )
