"""Options of nvcc, and NVIDIA's libraries given to a linker."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_FLAG = re.compile(
    r"(?<![\w\-])(?:-gencode[= ]?(?:=?[\"']?arch=\S*?(?=[\"'\s)]|$))?|--generate-code\S*"
    r"|-{1,2}(?:gpu-)?arch[= ](?:sm|compute)_\w+"
    r"|--(?:expt-relaxed-constexpr|expt-extended-lambda|extended-lambda|use_fast_math|ptxas-options\S*|default-stream\S*|compiler-bindir\S*)"
    r"|-Xptxas\S*|-Xcudafe\S*|-Xfatbin\S*|-(?:l|lib)(?:cuda|cudart|cudart_static|cudadevrt|cublas|cublasLt|cudnn|cufft|curand|cusolver|cusparse|nccl|nvrtc"
    r"|nvToolsExt|nvidia-ml|nvinfer|cutensor|cupti|npp\w+)(?![\w]))",
    re.M,
)


def find(source: Source) -> Iterator[Finding]:
    lines: set[int] = set()
    for match in code_matches(source, _FLAG):
        if _PLAIN.match(match.group()):
            line = source.line_column(match.start())[0]
            # the first stands for those beside it, and CMake's word for CUDA's compiler for all that it is given
            if line in lines or _FOR_CUDA.search(source.lines[line - 1]):
                continue
            lines.add(line)
        yield source.finding(RULE, *match.span())


_PLAIN = re.compile(r"--(?!gen|gpu|arch)|-X")
_FOR_CUDA = re.compile(r"\$<\$?<?COMPILE_LANG\w*:CUDA|CMAKE_CUDA_FLAGS|CUDA_NVCC_FLAGS|(?i:gencode)")


RULE = Rule(
    id="nvcc-flag",
    kind="capability",
    languages=("build", "shell", "slurm", "dockerfile", "ci"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Options of nvcc (-gencode, --expt-relaxed-constexpr) and NVIDIA's libraries given to a linker (-lcudart, -lcublas).",
    why="Other compilers do not know the options, and the libraries come with NVIDIA's toolkit.",
    instead="Add them only where CUDA is built for.",
    find=find,
    cases=(
        Case("# -lcudart -gencode arch=compute_80\nLIBS = -lm -lcurl -lcudabot\nx --arch x86_64\n", 0, name="Makefile"),
        Case("ARCH = -gencode arch=compute_80,code=sm_80\nLDFLAGS += -lcudart -lcublas\n", 3, name="Makefile"),
        Case('set(F "--expt-relaxed-constexpr" -arch=sm_90)\n', 2),
        Case("g++ a.cpp -lcudart\n", name="build.sh"),
    ),
    hints=(
        b"-gencode",
        b"--generate-code",
        b"arch",
        b"--expt",
        b"lambda",
        b"fast_math",
        b"-X",
        b"-l",
        b"--ptxas",
        b"--default-stream",
        b"--compiler-b",
    ),
)
