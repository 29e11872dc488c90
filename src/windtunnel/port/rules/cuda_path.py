"""Folders in which the CUDA toolkit is installed, and its libraries by their file names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code_matches
from windtunnel.port.source import Source

_PATH = re.compile(
    r"/(?:usr/local|opt|usr/lib)/(?:cuda|nvidia(?=/(?:lib|bin)))(?:-\d[\d.]*|-\$\{?\w+\}?|-\$\([^()\n]*\))?(?=[/:\"'\s;)}\]]|$)[\w./\-]*|/opt/nvidia/[\w./\-]+"
    r"|(?<![\w\-])(?:/[\w./\-]*/)?lib(?:cuda|cudart|cublas|cublasLt|cudnn\w*|nccl|cufft|curand|cusparse|cusolver|nvrtc|nvToolsExt|cupti|nvinfer|nvidia-\w+)"
    r"(?:\.so(?:\.[\d*]+)*|\.a)(?![\w.])"
    r"|NVIDIA\\? GPU\\? Computing\\? Toolkit[\\/]+CUDA[\w.\\/]*",
    re.M,
)


def find(source: Source) -> Iterator[Finding]:
    for match in code_matches(source, _PATH):
        if source.language == "cpp" and not match.group().startswith("/"):
            continue  # a library that is opened, of which another rule tells
        yield source.finding(RULE, *match.span())


RULE = Rule(
    id="cuda-path",
    kind="capability",
    languages=("shell", "slurm", "dockerfile", "compose", "kubernetes", "ci", "config", "build", "cpp"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="The folder of the CUDA toolkit (/usr/local/cuda), or the file of one of its libraries (libcudart.so), written out.",
    why="It is there only where NVIDIA's toolkit is installed.",
    instead="Ask for it only where CUDA is built for, and take it from a variable that may be empty.",
    find=find,
    cases=(
        Case("# ls /usr/local/cuda\nls /usr/local/cudan /data/cuda/x\n", 0, name="run.sh"),
        Case("ls libcudabot.so libcuda.sock mylibcuda.so\n", 0, name="run.sh"),
        Case("ln -s /usr/lib/x86_64/libcuda.so.1 x; echo libnvidia-opencl.so.1\n", 2, name="run.sh"),
        Case("ldconfig /usr/local/cuda-$(echo $V | cut -d. -f1,2)/compat/\n", name="run.sh"),
        Case("export PATH=/usr/local/cuda-11.8/bin:$PATH\nls /usr/local/cuda\n", 2, name="run.sh"),
        Case("RUN ln -s /usr/local/cuda-12 /x\n", name="Dockerfile"),
        Case("include_directories(/usr/local/cuda/include)\n", name="CMakeLists.txt"),
        Case("CUDA ?= /opt/cuda\n", name="Makefile"),
    ),
    hints=(b".so", b".a", b"/cuda", b"/opt/nvidia", b"Computing"),
)
