"""Packages that carry CUDA, or serve NVIDIA's chips alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules import cuda_kernel_package
from windtunnel.port.rules._code import code_matches
from windtunnel.port.rules._packages import packages
from windtunnel.port.source import Source

_NAMES = re.compile(
    r"nvidia|nvidia-(?!sphinx-theme|riva-client|pyindex$).+|cuda|cuda-(?:python|bindings|core|cccl|pathfinder|toolkit"
    r"|nvcc|runtime|libraries|cudart|compiler|version|tools).*|cudatoolkit.*"
    r"|cudnn|nccl|cutensor|cusparselt|libcu\w+(?:-dev)?|pytorch-cuda|pytorch-gpu|cupy|cupy-cuda.+|cupy-rocm.*"
    r"|pycuda|pyculib|scikit-cuda|numba-cuda"
    r"|tensorrt.*|torch-tensorrt|onnxruntime-gpu|faiss-gpu.*|tensorflow-gpu|paddlepaddle-gpu|jaxlib-cuda.*|dgl-cu.*|mxnet-cu.*|magma-cuda\d+"
    r"|cudf.*|cuml.*|cugraph.*|cucim.*|cuvs.*|cuspatial.*|rmm|rmm-cu.*|pylibraft.*|raft-dask.*|dask-cuda"
    r"|ucx-py.*|nvtabular|nvtx|pynvml|py3nvml"
    r"|gpustat|nvitop|gputil|pynvvideocodec|pynvjpeg|dali.*|warp-lang|transformer-engine.*"
    r"|nvmath-python.*|nvshmem4py.*|pytorch-quantization|cufile-python|kvikio"
    r"|.+-cu1[0-4]\d?|.+-cuda1[0-4]\dx?|.+-cuda1[0-4]x?|.+-cuda"
)
_PINNED = re.compile(r"[\"'](?P<name>(?:nvidia-[a-z][a-z\-]*-cu1\d|cupy-cuda1\dx))(?=[\"' ;=<>~!])")
_EXTRAS = re.compile(r"[\[,]\s*(?:cu1\d{1,2}|cuda[\w\-]*|gpu|nvidia[\w\-]*|tensorrt[\w\-]*)\s*[\],]", re.I)
# a wheel's name where a script holds it in a variable or asks for its version
_TOKEN = re.compile(
    r"(?<!\b[aA][sS] )(?<!FROM )(?<!target: )(?<!--target )(?<!--from=)"  # the name of an image's stage
    r"(?<![\w/:.\-$])[a-z][a-z0-9_]*(?:-[a-z0-9_]+)*-cu(?:da)?1[0-4]\d?x?(?![\w\-/:])|(?<![\w\-/.])(?:cudatoolkit|pytorch-cuda)(?=\s*[=<>]{1,2}\s*\d)"
    r"|(?<![\w/.\-])nvidia-(?:cublas|cuda-(?:runtime|nvrtc|cupti|nvcc)|cudnn|cufft|curand|cusolver|cusparse|cusparselt|nccl|nvjitlink|nvtx|nvshmem"
    r"|cutlass-dsl|ml-py|modelopt|cudnn-frontend)(?=\[|[=<>~!]=)"
)
_COUNTERPARTS = {
    "onnxruntime-gpu": "Ask for onnxruntime, and let each machine choose (onnxruntime-gpu, -cann, -openvino).",
    "faiss-gpu": "Ask for faiss-cpu, and for the GPU build as an extra.",
    "pynvml": "Ask PyTorch for its memory (`torch.accelerator.get_memory_info()`), and make this an extra.",
    "nvidia-ml-py": "Ask PyTorch for its memory (`torch.accelerator.get_memory_info()`), and make this an extra.",
    "nvtx": "Use torch.profiler.record_function, which every profiler shows, and make this an extra.",
    "cupy": "Use PyTorch or numpy, or the array API, and make this an extra.",
    "tensorflow-gpu": "Ask for tensorflow.",
    "pytorch-gpu": "Ask for pytorch.",
}

_OWN = re.compile(r"^name\s*=\s*[\"']?(?P<name>[\w.\-]+)", re.M)


def find(source: Source) -> Iterator[Finding]:
    seen: set[int] = set()
    own = _OWN.search(source.text) if source.language == "requirements" else None
    for package in packages(source):
        # an extra of the project itself says nothing that the extra does not
        kernels = package.name in cuda_kernel_package.NAMES  # the other rule's, extras and all
        by_extra = (
            None if kernels or (own and package.name == own["name"].lower().replace("_", "-")) else _EXTRAS.search(package.extras)
        )
        if (by_extra or _NAMES.fullmatch(package.name)) and package.start not in seen:
            seen.add(package.start)
            end = package.end + len(package.extras) if by_extra else package.end
            yield source.finding(RULE, package.start, end, advice=_COUNTERPARTS.get(package.name, ""))
    if source.path.endswith(".toml"):
        # requirements under a key of a build backend's own
        for match in code_matches(source, _PINNED):
            if match.start("name") not in seen:
                seen.add(match.start("name"))
                yield source.finding(RULE, *match.span("name"))
    if source.language in ("shell", "dockerfile", "ci", "slurm"):
        for match in code_matches(source, _TOKEN):
            if match.start() not in seen:
                yield source.finding(RULE, *match.span())


RULE = Rule(
    id="cuda-package",
    kind="capability",
    languages=("requirements", "shell", "slurm", "dockerfile", "ci", "compose", "kubernetes", "build"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Asking for a package that carries CUDA or serves NVIDIA's chips alone (nvidia-*, cupy, cudatoolkit, ...).",
    why="It does not install, or not work, where the chip is another.",
    instead="Make it an extra of the package (`pip install mine[cuda]`), and import it only where it is used and there.",
    find=find,
    cases=(
        Case('[project]\nname = "mine"\n[project.optional-dependencies]\nall = ["mine[cuda]"]\n', 0, name="pyproject.toml"),
        Case(
            "FROM base AS image-cu129\nFROM image-cu129\nCOPY --from=image-cu129 /a /b\n",
            0,
            name="Dockerfile",
            note="a stage's name",
        ),
        Case("nvidia-sphinx-theme\nnvidia-riva-client\n", 0, note="nothing of these runs on a GPU"),
        Case("# nvidia-cublas-cu12\ntorch>=2.4\ntorchvision\nonnxruntime\nfaiss-cpu\ncuda_stub_mine==1\ntritonclient\n", 0),
        Case('[project]\nname = "x-cuda"\nkeywords = ["cuda", "nvidia"]\ndependencies = ["torch"]\n', 0, name="pyproject.toml"),
        Case('[tool.mypy]\nmodule = ["cupy.*"]\n[tool.isort]\nknown_third_party = "cupy"\n', 0, name="pyproject.toml"),
        Case("Metadata-Version: 2.1\nRequires-Dist: cupy\n", 0, name="PKG-INFO", note="generated from what is read elsewhere"),
        Case("pip install torch -r requirements-cuda.txt\npip install ./cuda\n", 0, name="run.sh"),
        Case("cufile-python\n"),
        Case("nvidia-cublas-cu12==12.1\ncupy-cuda12x  # fast\nonnxruntime-gpu; sys_platform == 'linux'\n", 3),
        Case("jax[cuda12]==0.4\nhumming-kernels[cu13]\nquack-kernels[cu13]\n", 2, note="the third is another rule's"),
        Case('[project]\ndependencies = [\n  "torch",\n  "pynvml>=11",  # memory\n]\n[x]\ny = ["cupy"]\n', name="pyproject.toml"),
        Case('[project.optional-dependencies]\nall = ["cupy", "mine[x]"]\ngpu = ["faiss-gpu"]\n', 2, name="pyproject.toml"),
        Case('[tool.poetry.dependencies]\npython = "^3.11"\nonnxruntime-gpu = "^1.17"\n', name="pyproject.toml"),
        Case('[[package]]\nname = "nvidia-nccl-cu12"\ndependencies = [\n  { name = "nvidia-x" },\n]\n', name="uv.lock"),
        Case('{"default": {"cupy": {"version": "==13"}, "torch": {}}}\n', name="Pipfile.lock"),
        Case(
            '[project]\noptional-dependencies.cuda = [\n  "cupy-cuda12x",\n]\noptional-dependencies.log = [ "gputil", "x" ]\n'
            "[tool.mine]\ncuda = [\n  \"nvidia-cublas-cu12 ==12.5; extra == 'a'\",\n]\n",
            3,
            name="pyproject.toml",
        ),
        Case("[options]\ninstall_requires =\n    torch\n    pynvml\n[options.extras_require]\ngpu = cupy\n", 2, name="setup.cfg"),
        Case(
            "channels:\n  - nvidia\ndependencies:\n  - pytorch-cuda=12.1\n  - pip:\n    - nvidia-ml-py\n",
            2,
            name="environment.yml",
        ),
        Case("RUN pip install --no-cache-dir \\\n    torch cupy-cuda12x \\\n && ls\n", name="Dockerfile"),
        Case("conda install -c nvidia -y cudatoolkit=11.8 numpy\n", name="run.sh"),
        Case("printf '%s\\n' 'nvidia-cutlass-dsl[cu13]' einops > deps.in\n", name="run.sh"),
        Case("V=$(pkg_version mooncake-engine-cuda13)\n", name="run.sh"),
    ),
    hints=(
        b"nvidia",
        b"cu",
        b"nccl",
        b"gpu",
        b"tensorrt",
        b"rmm",
        b"raft",
        b"nv",
        b"GPU",
        b"Nv",
        b"CuPy",
        b"warp",
        b"dali",
        b"transformer",
    ),
)
