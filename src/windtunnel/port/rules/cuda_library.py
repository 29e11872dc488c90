"""NVIDIA's shared libraries and tools, called by name from Python."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.python import string
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import imports
from windtunnel.port.source import Source

_LIBRARY = re.compile(
    r"(\S*/)?(lib)?(cuda|cudart|cublas|cublasLt|cudnn|nccl|cufft|curand|cusparse|cusolver|nvrtc|nvidia-ml|nvToolsExt|cupti|cufile)"
    r"(64_[\w*]+|\*)?(\.so\*?(\.[\d*]+)*|\.dll|\.dylib)$"
)
_TOOL = re.compile(
    r"(?:(?:which|sudo|command -v|time|exec|where)\s+|cd\s[^;&|]*&&\s*)?"
    r"(\S*/)?(nvcc|ptxas|cuobjdump|nsys|ncu|cuda-gdb|compute-sanitizer|nvprof)(\.exe)?(\s|$)"
)
_LINKED = frozenset(
    {
        "cuda", "cudart", "cudart_static", "cublas", "cublasLt", "cudnn", "nccl", "cufft", "curand", "cusparse", "cusolver",
        "nvrtc", "nvToolsExt", "cupti", "nvidia-ml", "cufile", "nvinfer", "cutensor",
    }
)  # fmt: skip
_FOLDER = re.compile(r"/(?:usr/local|opt|usr/lib)/cuda(?:-[\d.]+)?(?:/[\w./\-]*)?")
_PACKAGE = re.compile(r"nvidia\.(?!dali)\w+")
_WHEELS = (
    "nccl",
    "cudnn",
    "cublas",
    "cuda_runtime",
    "cuda_nvrtc",
    "cufft",
    "curand",
    "cusparse",
    "cusolver",
    "nvjitlink",
    "nvtx",
    "cu13",
)
_FINDS = ("importlib.util.find_spec", "importlib.import_module", "ctypes.util.find_library", "importlib.metadata.version")
_RUNS = re.compile(r"^(run|call|check_call|check_output|Popen|system|popen|getoutput|getstatusoutput|which)$")


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for constant in python.of(ast.Constant):
        value = constant.value
        if not isinstance(value, str) or len(value) > 200 or constant in python.docstrings:
            continue
        loaded = _LIBRARY.match(value) and not isinstance(python.parent(constant), ast.JoinedStr)
        linked = value in _LINKED and _is_linked(source, constant)
        if linked or _FOLDER.fullmatch(value):
            yield source.finding(RULE, *python.span(constant))
            continue
        if loaded or (_TOOL.match(value) and _is_run(source, constant)):
            yield source.finding(RULE, *python.span(constant))
    yield from imports(source, RULE, *(f"nvidia.{name}" for name in _WHEELS))
    for call in python.calls(*_FINDS):
        name = string(call.args[0]) if call.args else None
        if name and (_PACKAGE.match(name) or name in ("cuda", "cudart", "nccl", "cudnn", "nvidia-ml")):
            yield source.finding(RULE, *python.span(call.args[0]))


def _is_linked(source: Source, constant: ast.Constant) -> bool:
    """Whether a name stands among libraries to link."""
    for above in source.python.ancestors(constant):
        if isinstance(above, ast.keyword):
            return above.arg is not None and "librar" in above.arg
        if isinstance(above, ast.Assign | ast.AugAssign | ast.AnnAssign):
            target = above.targets[0] if isinstance(above, ast.Assign) else above.target
            return bool(re.search(r"librar|^libs$|_libs$", ast.unparse(target)))
        if isinstance(above, ast.Dict):
            keys = [
                k.value
                for k, v in zip(above.keys, above.values, strict=True)
                if isinstance(k, ast.Constant) and constant in ast.walk(v)
            ]
            return keys[:1] == ["libraries"]
        if isinstance(above, ast.Call):
            return bool(re.search(r"(?:librar\w*|libs)\.(?:append|extend|insert)$", ast.unparse(above.func)))
        if not isinstance(above, ast.List | ast.Tuple | ast.BinOp | ast.IfExp):
            return False
    return False


def _is_run(source: Source, constant: ast.Constant) -> bool:
    for above in source.python.ancestors(constant):
        if isinstance(above, ast.Attribute) and above.attr in ("split", "format", "encode", "strip"):
            continue  # "nvidia-smi -L".split()
        if isinstance(above, ast.Call):
            func = above.func
            if isinstance(func, ast.Attribute) and func.attr in ("split", "format", "encode", "strip"):
                continue
            last = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
            path = last == "join" and isinstance(constant.value, str) and constant.value in ("nvcc", "nvcc.exe")
            return path or bool(_RUNS.match(last))
        if not isinstance(above, ast.List | ast.Tuple | ast.BinOp | ast.JoinedStr | ast.IfExp):
            return False
    return False


RULE = Rule(
    id="cuda-library",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A shared library or a tool of CUDA that a program loads or runs by name: libcudart.so, libnccl.so, nvcc.",
    why="It is part of CUDA's toolkit or of NVIDIA's driver, and is not there elsewhere.",
    instead="Ask PyTorch for what the library is used for; keep the rest behind a test for CUDA.",
    find=find,
    cases=(
        Case('print("libcudart.so was not found here")\n', 0, note="a message"),
        Case('name = "nvcc"\n', 0, note="a key"),
        Case('import ctypes\nlib = ctypes.CDLL("libcudart.so")\n'),
        Case('import subprocess\nsubprocess.check_output([home + "/bin/nvcc", "-V"])\n'),
        Case('import importlib.util\ns = importlib.util.find_spec("nvidia.nccl")\n'),
        Case('from setuptools import Extension\ne = Extension("x", libraries=["cudart", "m"])\n'),
        Case('libraries = ["cublas"]\nhome = "/usr/local/cuda"\nnvcc = os.path.join(home, "bin", "nvcc")\n', 3),
        Case("import nvidia.nccl\nfrom nvidia.cudnn import lib\n", 2),
        Case('so_file = "libnccl.so.2"\n'),
    ),
    hints=(
        b"libraries",
        b"libs",
        b"/cuda",
        b".so",
        b".dll",
        b"nvcc",
        b"ptxas",
        b"nvidia",
        b"find_library",
        b"nsys",
        b"ncu",
        b"nvprof",
        b"cuobjdump",
    ),
)
