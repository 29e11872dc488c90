"""CUDA as a language and a library of CMake."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_CMAKE = re.compile(
    r"\b(?i:find_package|find_dependency|CPMFindPackage|rapids_find_package)\s*\(\s*(?P<package>(?:CUDA|CUDAToolkit|CUDAtoolkit|CUDNN|CuDNN|cuDNN|NCCL|CUTLASS"
    r"|NvidiaCutlass|Thrust|CUB|CCCL|TensorRT|TENSORRT|cuda|cudnn|nccl"
    r"|NVTX|CUPTI|CUTENSOR|cuTENSOR|CUSPARSELT|cuSPARSELt|CUDSS|cudss|NVSHMEM|NVJPEG|nvJPEG|nvcomp|OptiX|NVML|NvInfer|CUFILE|CUBLAS)\b)"
    r"|\b(?i:enable_language|check_language)\s*\(\s*(?P<language>CUDA)\b|\b(?i:project)\s*\(\s*\w+[^()\"]{0,300}?\b(?P<project>CUDA)\b"
    r"|(?<!\w)(?P<compiler>CMAKE_CUDA_\w+)|(?<![\w${])(?P<name>CUDA_ARCHITECTURES|CUDA_SEPARABLE_COMPILATION|CUDA_RESOLVE_DEVICE_SYMBOLS|CUDA_STANDARD(?:_REQUIRED)?"
    r"|CUDA_RUNTIME_LIBRARY|CUDA_VISIBILITY_PRESET|CUDA_EXTENSIONS|CUDA_(?:PTX|CUBIN|FATBIN|OPTIX)_COMPILATION|CUDA_COMPILER_LAUNCHER|CUDA_LINKER_LAUNCHER|CUDA_CLANG_TIDY|CUDA_NVCC_FLAGS\w*|CUDA_ARCH_LIST|TORCH_CUDA_ARCH_LIST|CUDA_PROPAGATE_HOST_FLAGS)(?![\w}])"
    r"|\bfind_library\s*\(\s*\w+\s[^()]{0,300}?(?<=[\s\"])(?P<sought>(?:lib)?(?:cuda|cudart\w*|cublas\w*|cudnn\w*|cufft|curand|cusolver|cusparse|nccl\w*|nvrtc|nvToolsExt"
    r"|nvidia-ml|nvinfer|cutensor|cupti))(?=[\s)\".])"
    r"|\bfind_program\s*\(\s*\w+\s[^()]{0,200}?(?<=[\s\"/])(?P<program>nvcc|nvidia-smi|ptxas)(?=[\s)\"])|\bCOMMAND\s+\"?(?P<run>nvcc|nvidia-smi|ptxas)(?=[\s)\"])"
    r"|\binclude\s*\(\s*(?P<module>FindCUDA\w*|CUDA)\s*\)|\b(?P<own>torch_cuda_get_nvcc_gencode_flag|find_cuda_helper_libs|cuda_find_\w+)\s*\("
    r"|\bset\s*\(\s*(?P<switch>(?:GGML|LLAMA|WHISPER|SD|TORCH|CT2|WITH|USE)_(?:CUDA|CUBLAS)|CUDA_TOOLKIT_ROOT_DIR|CUDA_HOST_COMPILER)\s+(?!(?i:off|0|false)\b)(?=[^)]*(?:ON|on|1|/|\$)[^)]*\))"
    r"|(?P<target>(?<![\w:])CUDA::\w+|\b(?:torch|c10)_cuda\b)|\b(?P<function>(?i:cuda_(?:add_(?:library|executable|cublas_to_target|cufft_to_target)|compile\w*"
    r"|include_directories|select_nvcc_arch_flags|build_\w+|link_\w+|wrap_srcs|to_hip\w*)))\s*\("
    r"|(?P<compiled>\$<(?:\$<)?COMPILE_LANG(?:UAGE|_AND_ID):CUDA\b[^>]*>)|\b(?:LANGUAGE)\s+(?P<property>CUDA)\b"
)

_LINKS = re.compile(r"\b(?i:target_link_libraries)\s*\((?P<names>[^()]{0,2000})")
_LINKED = re.compile(
    r"(?<=\s)(?:cuda|cudart|cublas|cudnn|cufft|curand|cusolver|cusparse|nccl|nvrtc|nvToolsExt|cublasLt|cudart_static|cupti|nvidia-ml|cutensor"
    r"|nvinfer)(?=[\s)]|$)"
)
# set(MY_LIBS cudart) or list(APPEND LINKER_LIBS -lfoo cudart_static): what will be linked later
_LISTED = re.compile(r"\b(?i:set|list)\s*\(\s*(?:(?i:append|prepend)\s+)?\w*(?i:libs|libraries)\w*\s(?P<listed>[^()]{0,2000})")
_LIBRARY = re.compile(
    r"(?<=[\s\"])(?:cudart|cudart_static|cublas|cublas_static|cublasLt|cudnn|cufft|curand|cusolver|cusparse|nccl|nccl_static|nvrtc|nvToolsExt|cupti"
    r"|nvidia-ml|cutensor|nvinfer)(?=[\s)\"]|$)"
)


def find(source: Source) -> Iterator[Finding]:
    if source.language == "build" and not source.path.lower().endswith((".txt", ".cmake", ".in")):
        return
    for match in code_matches(source, _CMAKE):
        group = match.lastgroup
        if group:
            yield source.finding(RULE, *match.span(group))
    for command in code_matches(source, _LINKS):
        for name in _LINKED.finditer(command.string, *command.span("names")):
            yield source.finding(RULE, *name.span())
    for command in code_matches(source, _LISTED):
        for name in _LIBRARY.finditer(command.string, *command.span("listed")):
            yield source.finding(RULE, *name.span())


RULE = Rule(
    id="cmake-cuda",
    kind="capability",
    languages=("build",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="CUDA as a language or library of CMake: find_package(CUDAToolkit), enable_language(CUDA), CUDA::cudart.",
    why="Configuring stops where NVIDIA's toolkit is not installed.",
    instead="Ask by check_language(CUDA) and build those files only where it is there; leave architectures to who builds.",
    find=find,
    cases=(
        Case("# enable_language(CUDA)\n#[[ find_package(CUDAToolkit)\n]]\nproject(cuda_x LANGUAGES CXX)\n", 0),
        Case(
            'message(STATUS "link CUDA::cudart (or ${CMAKE_CUDA_COMPILER})"\n  " by find_package(CUDA)")\n', 0, note="a message"
        ),
        Case("set(NAMES cudart_x)\nset(MY_LIBS_DIR cublas_dir)\n", 0),
        Case('add_library(my_cuda a.cpp)\nif(USE_CUDA)\nendif()\nfind_package(Torch)\noption(WITH_CUDA "x" ON)\n', 0),
        Case("find_package(CUDAToolkit REQUIRED)\nfind_package( CUDA 11 )\nenable_language(CUDA)\n", 3),
        Case(
            "project(g CXX CUDA)\ntarget_link_libraries(g PUBLIC cuda)\nif(${CMAKE_CUDA_COMPILER_VERSION} LESS 12)\nendif()\n", 3
        ),
        Case("project(x\n  LANGUAGES CXX CUDA)\n"),
        Case("set(CMAKE_CUDA_ARCHITECTURES 80 90)\nset_target_properties(x PROPERTIES CUDA_ARCHITECTURES native)\n", 2),
        Case("target_link_libraries(x PRIVATE CUDA::cudart CUDA::cublas)\ncuda_add_library(y a.cu)\n", 3),
        Case("TARGET_LINK_LIBRARIES(x PRIVATE cudart cublas)\nFIND_PACKAGE(CUDA)\nCUDA_ADD_LIBRARY(y a.cu)\n", 4),
        Case("find_library(L NAMES cudart HINTS /x)\nfind_program(N nvcc)\ninclude(FindCUDA)\nset(GGML_CUDA ON)\n", 4),
        Case("set_target_properties(x PROPERTIES CUDA_VISIBILITY_PRESET hidden CUDA_PTX_COMPILATION ON)\n", 2),
        Case("find_package(NVTX)\nfind_package(TENSORRT REQUIRED)\n", 2),
        Case('list(APPEND LINKER_LIBS -Wl,-x cudart_static)\nset(MY_LIBRARIES "cublas" m)\n', 2),
        Case("target_compile_options(x PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-O3>)\n"),
    ),
    hints=(
        b"CUDA",
        b"CUDNN",
        b"NCCL",
        b"cuda",
        b"CUTLASS",
        b"Thrust",
        b"CUB",
        b"CCCL",
        b"TensorRT",
        b"cuDNN",
        b"CuDNN",
        b"nccl",
        b"cudnn",
        b"utlass",
        b"find_package",
        b"FIND_PACKAGE",
    ),
)
