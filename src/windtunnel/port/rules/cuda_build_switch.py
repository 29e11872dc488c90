"""Switches that turn CUDA on in the build of something: -DGGML_CUDA=on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_SWITCH = re.compile(
    r"(?<![\w\-])-D[ ]?(?P<name>(?!CUDA_HAS)(?:\w+_)?(?:CUDA|CUBLAS|CUDNN|NCCL|TENSORRT|NVCC)(?:_\w+)?|CUDAToolkit_ROOT)"
    r"(?::\w+)?="
    r"(?![\"']?(?i:off|0|false|no|n)\b)"
)
# what follows is a macro of the project's own, not another project's switch
_MACRO = re.compile(
    r"\b(?i:target_compile_definitions\s*\(|add_(?:compile_)?definitions\s*\(|(?:target_|add_)compile_options\s*\("
    r"|(?:set|list)\s*\(\s*(?:append\s+)?\w*(?:flags|defines|definitions|defs)\b)[^()]*\Z"
)
_FAR = 2000
"""Characters before a switch in which the command that it stands in is looked for."""
_ON = re.compile(r"[\"']?(?i:on|1|true|yes|y)\b")
_VALUED = re.compile(
    r"CMAKE_CUDA_\w+|CUDAToolkit_ROOT|CUDA_(?:TOOLKIT_ROOT_DIR|ARCH\w*|NVCC_\w+|HOST_COMPILER)|TORCH_CUDA_ARCH_LIST"
)

# a program told by a variable to build with NCCL or to speak through it
_NCCL = re.compile(r"(?<![\w$\-])[A-Z]\w*_(?:GPU_\w+|BACKEND|COMM\w*)[\"']?\s*[=:]\s*[\"']?(?P<library>NCCL|nccl)\b")


def find(source: Source) -> Iterator[Finding]:
    if source.language == "python":
        strings = [c for c in source.python.of(ast.Constant) if isinstance(c.value, str) and c not in source.python.docstrings]
        spans = [source.python.span(c) for c in strings if "-D" in str(c.value)]
        spans += [source.python.span(j) for j in source.python.of(ast.JoinedStr)]
        for start, end in spans:
            for match in _SWITCH.finditer(source.text, start, end):
                if _selects(match):
                    yield source.finding(RULE, *match.span("name"))
        return
    for match in code_matches(source, _NCCL):
        yield source.finding(RULE, *match.span("library"))
    for match in code_matches(source, _SWITCH):
        if _selects(match) and not (
            source.language == "build" and _MACRO.search(match.string[max(0, match.start() - _FAR) : match.start()])
        ):
            yield source.finding(RULE, *match.span("name"))


def _selects(match: re.Match[str]) -> bool:
    return bool(_VALUED.fullmatch(match["name"]) or _ON.match(match.string, match.end()))


RULE = Rule(
    id="cuda-build-switch",
    kind="capability",
    languages=("shell", "slurm", "dockerfile", "ci", "compose", "kubernetes", "build", "requirements", "config", "python"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A switch that selects CUDA in a build: -DGGML_CUDA=on, -DUSE_CUDA=1, -DCMAKE_CUDA_ARCHITECTURES=80.",
    why="What is built so needs NVIDIA's toolkit, and serves NVIDIA's chips only.",
    instead="Leave the switch to who builds (CMAKE_ARGS), with the other backends' switches (GGML_CANN, GGML_SYCL, GGML_MUSA) "
    "beside it.",
    find=find,
    cases=(
        Case("# -DGGML_CUDA=on\ncmake -DGGML_CUDA=off -DUSE_CUDNN=0 -DGGML_METAL=on -DMY_CUDAX=on ..\n", 0, name="run.sh"),
        Case('print("use -DGGML_CUDA=OFF")\n', 0, name="a.py"),
        Case(
            "target_compile_definitions(x PRIVATE -DX_USE_CUDA=1)\nadd_definitions(-DUSE_NCCL=1)\n"
            "list(APPEND MY_FLAGS -DUSE_CUDA=1)\n",
            0,
            name="CMakeLists.txt",
            note="macros of the project's own",
        ),
        Case("ExternalProject_Add(g CMAKE_ARGS -DGGML_CUDA=ON)\n", name="CMakeLists.txt"),
        Case("cmake -DCUDAToolkit_ROOT=$CUDA_HOME ..\n", name="run.sh"),
        Case('CMAKE_ARGS="-DGGML_CUDA=on" pip install x\n', name="run.sh"),
        Case("cmake -D USE_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=80 -DWITH_CUBLAS:BOOL=ON ..\n", 3, name="run.sh"),
        Case("RUN MINE_GPU_OPERATIONS=NCCL pip install mine\n", name="Dockerfile"),
        Case("RUN CMAKE_ARGS=-DLLAMA_CUBLAS=1 pip install x\n", name="Dockerfile"),
        Case("build.cuda:\n\tCMAKE_ARGS='-DGGML_CUDA=on' pip install .\n", name="Makefile"),
        Case("jobs:\n  a:\n    steps:\n    - run: |\n        cmake -DGGML_CUDA=ON ..\n", name=".github/workflows/a.yml"),
        Case('[tool.scikit-build]\ncmake.args = ["-DGGML_CUDA=on"]\n', name="pyproject.toml"),
        Case('cmake_args = ["-DUSE_CUDA=ON", f"-DCMAKE_CUDA_ARCHITECTURES={archs}"]\n', 2, name="setup.py"),
    ),
    hints=(b"nccl", b"CUDA", b"CUBLAS", b"CUDNN", b"NCCL", b"TENSORRT", b"NVCC"),
)
