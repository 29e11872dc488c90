"""Imports of packages of CUDA kernels."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._libraries import imports
from windtunnel.port.source import Source

_PACKAGES = (
    "flashinfer", "deep_gemm", "deep_ep", "flash_mla", "sageattention", "cutlass", "cuda.tile", "nvshmem", "tinycudann",
    "nvdiffrast", "diff_gaussian_rasterization", "fused_ssim",
    "sgl_kernel",
    "vllm_flash_attn",
    "tilelang",
)  # fmt: skip


def find(source: Source) -> Iterator[Finding]:
    yield from imports(source, RULE, *_PACKAGES)


RULE = Rule(
    id="cuda-kernel-import",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A package of CUDA kernels imported: flashinfer, sageattention, tinycudann, nvdiffrast, ...",
    why="Its kernels are compiled for NVIDIA's chips; elsewhere it cannot be loaded.",
    instead="Import it only where it is there, and keep a branch of PyTorch operators beside it.",
    find=find,
    cases=(
        Case("from .flashinfer import plan\nimport tinycudann_utils\n", 0, note="own modules"),
        Case("from flashinfer.utils import f\n", 0, name="flashinfer/rendering.py", note="a package's own file"),
        Case("import flashinfer\nfrom nvdiffrast import torch as dr\n", 2),
        Case("try:\n    import tinycudann as tcnn\nexcept ImportError:\n    tcnn = None\n"),
    ),
    hints=(
        b"flash", b"deep_", b"sageattention", b"cutlass", b"cuda.tile", b"nvshmem", b"tinycudann", b"nvdiffrast", b"gaussian",
        b"ssim", b"sgl_kernel", b"tilelang",
    ),
)  # fmt: skip
