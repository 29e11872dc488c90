"""Variables of the environment that the CUDA runtime, its tools and PyTorch's CUDA build read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_NAMES = (
    "CUDA_LAUNCH_BLOCKING", "CUDA_DEVICE_ORDER", "CUDA_DEVICE_MAX_CONNECTIONS", "CUDA_MODULE_LOADING", "CUDA_CACHE_PATH",
    "CUDA_CACHE_DISABLE", "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE",
    "CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR",
    "CUDAToolkit_ROOT", "CUDA_VERSION", "CUDACXX", "CUDAHOSTCXX", "CUDNN_HOME",
    "CUDNN_PATH", "CUDNN_VERSION", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_NVML_BASED_CUDA_CHECK",
    "TORCH_CUDA_ARCH_LIST", "FORCE_CUDA", "USE_CUDA", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_CUDNN_V8_API_ENABLED",
    "CUPY_CACHE_DIR", "NUMBA_CUDA_DRIVER", "NVCC_FLAGS", "NVCC_APPEND_FLAGS", "NVCC_PREPEND_FLAGS", "NVTE_FRAMEWORK",
    "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_REQUIRE_CUDA", "NVIDIA_DISABLE_REQUIRE",
)  # fmt: skip
_NAME = "|".join(_NAMES) + r"|\w*CUDA_ARCH(?:_LIST|S|ITECTURES)?|CUDA_PATH_V\w*|UV_TORCH_BACKEND(?==cu)"
_SET = re.compile(rf"(?<![\w$\-])(?:{_NAME})\b(?=[\"']?\s*(?:[:?+]?=|:)|[ \t]+[\w\"'$/])|(?<=name: )(?:{_NAME})\b")
# a matrix of CI that is handed to TORCH_CUDA_ARCH_LIST, and another project's switch, set where a build reads it
_LISTED = re.compile(
    r"(?<![\w$.\-])(?P<listed>\w*cuda_arch(?:_list|s|itectures)?)[\"']?\s*[:=]\s*[\"'\[]*(?=\d{1,2}[.\da]*[\s;,+\"'\]P]|\d{1,2}[.\da]*\r?$)"
    r"|(?<![\w$\-])(?P<switch>(?:GGML|LLAMA|WHISPER|SD|CT2|MLC|TVM|DS|HOROVOD|TORCHVISION|WITH|BUILD|ENABLE)_(?:USE_|WITH_)?(?:CUDA|CUBLAS)(?:_KERNELS)?)"
    r"(?:[\"']?\s*[:?]?[=:]\s*|[ \t]+)[\"']?(?=(?i:1|on|true|yes)\b)"
    r"|(?P<versioned>(?<=['\"])CUDA_PATH_V(?=['\"]))",
    re.M,
)
_COUNTERPARTS = {
    "CUDA_LAUNCH_BLOCKING": "Beside it, set ASCEND_LAUNCH_BLOCKING, MUSA_LAUNCH_BLOCKING or CNRT_LAUNCH_BLOCKING.",
    "PYTORCH_CUDA_ALLOC_CONF": "Set PYTORCH_ALLOC_CONF, which PyTorch reads for every accelerator, "
    "and PYTORCH_NPU_ALLOC_CONF, PYTORCH_MUSA_ALLOC_CONF where a plugin reads its own.",
    "NVIDIA_VISIBLE_DEVICES": "Beside it, set ASCEND_VISIBLE_DEVICES, MTHREADS_VISIBLE_DEVICES or CAMBRICON_VISIBLE_DEVICES.",
    "CUDA_HOME": "Let the build look for the toolkit only where it builds for CUDA; Ascend's is ASCEND_HOME_PATH, Cambricon's "
    "NEUWARE_HOME, Moore Threads' MUSA_HOME.",
}
_REFERENCE = re.compile(
    r"[:?]?[=:]?[ \t]*[\"']?(?:\$\{\{[^}]*\}\}|\$\{\w+\}|\$\(\w+\)|\$(?:env:)?\w+)?[\"']?(?:[ \t;].*|\\?)\r?$"
)
_FLAGS = re.compile(r"gencode|compute_\d|\bsm_\d")
_DASH_NAME = re.compile(r"\.(txt|cmake)$", re.I)


def find(source: Source) -> Iterator[Finding]:
    if source.language == "build" and _DASH_NAME.search(source.path):
        return  # CMake's own variables
    for match in code_matches(source, _SET):
        if _speaks(source, match):
            continue
        end = match.end() + (len("=cu") if match.group() == "UV_TORCH_BACKEND" else 0)
        yield source.finding(RULE, match.start(), end, advice=_COUNTERPARTS.get(match.group(), ""))
    for match in code_matches(source, _LISTED):
        if match.lastgroup and not match.string.endswith("-D", 0, match.start()):
            yield source.finding(RULE, *match.span(match.lastgroup))


def _speaks(source: Source, match: re.Match[str]) -> bool:
    """Whether a variable is a project's own where it stands: handed to a build as it came, empty, or flags that say themselves
    what they are for."""
    name = match.group().strip("\"' ")
    line_start = match.string.rfind("\n", 0, match.start()) + 1
    line_end = match.string.find("\n", match.end())
    before, after = match.string[line_start : match.start()], match.string[match.end() : line_end if line_end >= 0 else None]
    if name.startswith(("CUDA_VERSION", "CUDNN_VERSION")) and _REFERENCE.match(after):
        return True
    if "ARCH" in name and _FLAGS.search(after):
        return True  # -gencode arch=..., which another rule finds
    if not _REFERENCE.match(after):
        return False
    return before.rstrip().endswith("--build-arg") or (source.language == "ci" and not before.strip() and after.startswith("="))


RULE = Rule(
    id="cuda-variable",
    kind="capability",
    languages=("shell", "slurm", "dockerfile", "compose", "kubernetes", "ci", "config", "build", "requirements"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Settings of CUDA, its libraries, its containers and PyTorch's CUDA build, as variables in scripts, "
    "images and manifests.",
    why="Nothing but CUDA's software reads them, so what they set is not set elsewhere.",
    instead="Keep them for CUDA; where another device is used, set its own variable for the same thing, if there is one.",
    find=find,
    cases=(
        Case("# CUDA_HOME=/opt/cuda\nPYTORCH_ALLOC_CONF=max_split_size_mb:64 python t.py\n", 0, name="run.sh"),
        Case('echo "$CUDA_HOME"; if [ -n "${CUDA_HOME}" ]; then ls; fi\n', 0, name="run.sh", note="read, not set"),
        Case("find_package(X PATHS ${CUDA_HOME})\n", 0, name="CMakeLists.txt"),
        Case("export UV_TORCH_BACKEND=auto\n", 0, name="run.sh"),
        Case('ARG CUDNN_VERSION=""\nARG CUDA_VERSION\nRUN x --build-arg TORCH_CUDA_ARCH_LIST=$ARCHS\n', 0, name="Dockerfile"),
        Case(
            "  build-args: |\n    CUDA_VERSION=${{ matrix.cuda }}\n    TORCH_CUDA_ARCH_LIST=${{ matrix.archs }}\n",
            0,
            name=".github/workflows/a.yml",
            note="handed to a build",
        ),
        Case("CUDA_ARCH := -gencode arch=compute_70,code=sm_70\n", 0, name="Makefile", note="another rule's"),
        Case("my_cuda_archs: all\nENV GGML_CUDA=0\n", 0, name="Dockerfile"),
        Case('[project]\nname = "cudacxx"\n', 0, name="pyproject.toml"),
        Case("torch_cuda_arch_list: '9.0 10.0+PTX'\nenv:\n  TORCH_CUDA_ARCH_LIST: ${{ matrix.a }}\n", 2, name="c.yaml"),
        Case("ENV GGML_CUDA=1\nRUN make LLAMA_CUBLAS=1\n", 2, name="Dockerfile"),
        Case("export CUDA_LAUNCH_BLOCKING=1\n", name="run.sh"),
        Case("ENV NVIDIA_VISIBLE_DEVICES all\nENV NVIDIA_DRIVER_CAPABILITIES=compute,utility\n", 2, name="Dockerfile"),
        Case('ENV TORCH_CUDA_ARCH_LIST="8.0 9.0"\n', name="Dockerfile"),
        Case('ARG MY_CUDA_ARCH_LIST="9.0a;10.0a"\nENV UV_TORCH_BACKEND=cu128\n', 2, name="Dockerfile"),
        Case("services:\n  a:\n    image: x\n    environment:\n      NVIDIA_VISIBLE_DEVICES: all\n", name="compose.yml"),
        Case("env:\n  FORCE_CUDA: 1\n", name=".github/workflows/a.yml"),
        Case('[tool.cibuildwheel.linux.environment]\nCUDACXX = "/opt/nvcc"\n', name="pyproject.toml"),
        Case("export CUDAToolkit_ROOT=/opt/x\n", name="run.sh"),
        Case("CUDA_HOME ?= /usr/lib/cuda\n", name="Makefile"),
        Case("apiVersion: v1\nkind: Pod\nspec:\n  env:\n  - name: PYTORCH_CUDA_ALLOC_CONF\n    value: x\n", name="pod.yaml"),
    ),
    hints=(
        b"UV_TORCH_BACKEND",
        b"CUDA_",
        b"cuda_arch",
        b"CUBLAS",
        b"_CUDA",
        b"CUDNN_",
        b"CUDACXX",
        b"CUDAToolkit",
        b"CUDAHOSTCXX",
        b"CUBLAS_",
        b"NVIDIA_",
        b"NVCC_",
        b"NVTE_",
        b"CUPY_",
    ),
)
