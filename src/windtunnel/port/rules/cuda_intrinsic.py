"""What only NVIDIA's threads, warps and instructions know."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._code import code, code_without_strings
from windtunnel.port.source import Source

_INTRINSIC = re.compile(
    r"\b(?:__(?:shfl|ballot|any|all|match_any|match_all|reduce_\w+|activemask|syncwarp|nanosleep)(?:_(?:xor|up|down))?_?(?:sync)?(?=\s*\()"
    r"|__ldg|__ldcs|__stcs|__cvta_generic_to_shared|__dp4a|__dp2a|__pipeline_\w+|warpSize|C10_WARP_SIZE|wmma::\w+)\b"
    r"|\basm\b(?:\s+(?:volatile|__volatile__))?\s*(?=\()|\b__asm__\b(?:\s+(?:volatile|__volatile__))?\s*(?=\()"
)
_PTX = re.compile(
    r"\s*\(\s*(?:R\"\w*\(|\"|[A-Z_]+\s*\")[\s{]*(?:\\n|\\t|\s|\"|\{|\.reg[^;]*;)*(?:@?!?%?\w*\s+)?(?:ld|st|mov|cp|mma|wgmma|tcgen\d+|ldmatrix"
    r"|stmatrix|cvt|cvta|lop3|prmt|fma|bar|barrier|fence|membar|mbarrier|griddepcontrol|atom|red|shfl|ex2|lg2|rcp|rsqrt|tanh|elect|setmaxnreg"
    r"|prefetch|createpolicy|add|sub|mul|mad|max|min|bfe|bfi|vabsdiff|discard|trap|brkpt|nanosleep|mapa|createpolicy|setp|selp|shl|shr|and|or|xor)"
    r"(?:\.[\w:]+)+"
)

_WITHOUT_SYNC = re.compile(r"__(?:shfl(?:_(?:xor|up|down))?|ballot|any|all)\s*$")
_KERNEL = re.compile(r"\b__global__\b|<<<")
_ROCM = re.compile(r"USE_ROCM|__HIP")


def find(source: Source) -> Iterator[Finding]:
    text = code(source)
    if _KERNEL.search(text):
        return  # what a kernel is made of belongs to it
    for match in _INTRINSIC.finditer(code_without_strings(source)):
        if "asm" in match.group() and not _PTX.match(text, match.end()):
            continue  # a CPU's instructions
        if _WITHOUT_SYNC.match(match.group()) and _ROCM.search(text):
            continue  # ROCm's half of the file: NVIDIA's chips since Volta have no such function
        # one stands for all: the functions of such a file are for kernels elsewhere
        yield source.finding(RULE, match.start(), match.start() + len(match.group().rstrip()))
        return


RULE = Rule(
    id="cuda-intrinsic",
    kind="capability",
    languages=("cpp",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Warp intrinsics (`__shfl_sync`, warpSize), matrix fragments and instructions written as PTX, "
    "in files without a kernel of their own.",
    why="They are those of NVIDIA's chips, whose warps have 32 threads; others have 64 or none, and other instructions.",
    instead="Write the kernel once more for the other device, or give the operator an implementation of PyTorch operators.",
    find=find,
    cases=(
        Case('// __shfl_sync\nconst char* s = "__shfl_sync(";\n', 0),
        Case('asm volatile("pause" ::: "memory");\n__asm__("cpuid");\n', 0, name="a.cpp", note="a CPU's"),
        Case("__global__ void f() { v += __shfl_xor_sync(m, v, 16); }\n", 0, note="a kernel's, which is found itself"),
        Case("v += __shfl_xor_sync(0xffffffff, v, 16);\nint lane = threadIdx.x % warpSize;\n", 1),
        Case('asm volatile("mov.u32 %0, %smid;" : "=r"(id));\n'),
        Case('asm("{\\n"\n    "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0}, [%1];\\n}" : "=r"(a));\n'),
    ),
    hints=(b"asm", b"__", b"warpSize", b"WARP_SIZE", b"wmma"),
)
