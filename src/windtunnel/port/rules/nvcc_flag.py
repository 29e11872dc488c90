"""Architectures given to nvcc, and NVIDIA's libraries given to a linker."""

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
    r"|-(?:l|lib)(?:cuda|cudart|cudart_static|cudadevrt|cublas|cublasLt|cudnn|cufft|curand|cusolver|cusparse|nccl|nvrtc"
    r"|nvToolsExt|nvidia-ml|nvinfer|cutensor|cupti|npp\w+)(?![\w]))",
    re.M,
)
# LIBRARIES += cudart cublas, to which a Makefile puts -l later
_LIBRARIES = re.compile(r"^[ \t]*\w*(?:LIBS|LIBRARIES|LDLIBS|LINK_LIBS)[ \t]*[+:?]?=(?P<names>(?:\\\r?\n|[^\n])*)", re.M)
_NAMED = re.compile(
    r"(?<=[\s=])(?:cuda|cudart|cudart_static|cublas|cublasLt|cudnn|cufft|curand|cusolver|cusparse|nccl|nvrtc|nvToolsExt|nvidia-ml"
    r"|cutensor|(?:c10|torch)_cuda)(?=\s|$)"
)


def find(source: Source) -> Iterator[Finding]:
    for match in code_matches(source, _FLAG):
        yield source.finding(RULE, *match.span())
    if source.language == "build":
        for names in code_matches(source, _LIBRARIES):
            for name in _NAMED.finditer(names.string, *names.span("names")):
                yield source.finding(RULE, *name.span())


RULE = Rule(
    id="nvcc-flag",
    kind="capability",
    languages=("build", "shell", "slurm", "dockerfile", "ci"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Architectures that nvcc compiles for (-gencode) and NVIDIA's libraries given to a linker (-lcudart, -lcublas).",
    why="Other compilers do not know them, and the libraries come with NVIDIA's toolkit.",
    instead="Add them only where CUDA is built for.",
    find=find,
    cases=(
        Case("# -lcudart -gencode arch=compute_80\nLIBS = -lm -lcurl -lcudabot\nx --arch x86_64\n", 0, name="Makefile"),
        Case("ARCH = -gencode arch=compute_80,code=sm_80\nLDFLAGS += -lcudart -lcublas\n", 3, name="Makefile"),
        Case("LIBRARIES += cudart cublas c10 c10_cuda\n", 3, name="Makefile"),
        Case('set(F "--expt-relaxed-constexpr" -arch=sm_90)\n'),
        Case("g++ a.cpp -lcudart\n", name="build.sh"),
    ),
    hints=(b"-gencode", b"--generate-code", b"arch", b"-l", b"LIB"),
)
