"""Packages of kernels for CUDA."""

from __future__ import annotations

import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._packages import packages
from windtunnel.port.source import Source

_ATTENTION = "Use torch.nn.functional.scaled_dot_product_attention, or flex_attention, and make this an extra."
_FUSED = "Use torch.optim (fused=True), torch.amp and torch.nn.RMSNorm, which PyTorch has itself, and make this an extra."
_WITH_COUNTERPART = {
    "flash-attn": _ATTENTION, "flash-attn-3": _ATTENTION, "flash-attn-4": _ATTENTION, "vllm-flash-attn": _ATTENTION,
    "xformers": _ATTENTION, "sageattention": _ATTENTION, "flashinfer": _ATTENTION, "flashinfer-python": _ATTENTION,
    "flashinfer-cubin": _ATTENTION, "flash-mla": _ATTENTION, "apex": _FUSED, "nvidia-apex": _FUSED,
    "bitsandbytes": "Make it an extra: for each other device it needs a build, or another library (torchao) must quantise.",
    "triton": "Leave it out: PyTorch brings the one that fits it (triton-ascend, triton-xpu elsewhere), and nothing on a CPU.",
    "liger-kernel": "Its kernels are Triton's: make it an extra, and keep PyTorch's own layers for other devices.",
}  # fmt: skip
_WITHOUT = (
    "auto-gptq", "autoawq", "autoawq-kernels", "block-sparse-attn", "causal-conv1d", "cut-cross-entropy", "cutlass", "deep-ep",
    "deep-gemm", "deepspeed-kernels", "diff-gaussian-rasterization", "exllamav2", "exllamav3", "fast-hadamard-transform",
    "fbgemm-gpu", "flash-linear-attention", "fused-ssim", "gptqmodel", "grouped-gemm", "gsplat", "kaolin", "mamba-ssm",
    "megablocks", "minkowskiengine", "natten", "nv-grouped-gemm", "nvdiffrast", "quack-kernels", "sgl-kernel",
    "sglang-kernel", "spconv", "tilelang",
    "tiny-cuda-nn", "tinycudann", "tokenspeed-mla", "triton-nightly", "triton-windows",
)  # fmt: skip
NAMES = dict.fromkeys(_WITHOUT, "") | _WITH_COUNTERPART
"""Packages whose kernels are CUDA's or Triton's, and what to do instead where there is something."""


def find(source: Source) -> Iterator[Finding]:
    for package in packages(source):
        if package.name in NAMES:
            end = package.end + (len(package.extras) if re.search(r"cu\d|cuda|gpu", package.extras) else 0)
            yield source.finding(RULE, package.start, end, advice=NAMES[package.name])


RULE = Rule(
    id="cuda-kernel-package",
    kind="capability",
    languages=("requirements", "shell", "slurm", "dockerfile", "ci", "compose", "kubernetes", "build"),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Asking for a package of CUDA kernels: flash-attn, xformers, apex, bitsandbytes, triton, flashinfer, ...",
    why="It is built by nvcc or runs on what Triton supports; elsewhere it does not install, and the whole installation stops.",
    instead="Make it an extra of the package, and fall back on PyTorch's own operators where it is not there.",
    find=find,
    cases=(
        Case("# flash-attn\nflash-attention-mine\ntritonclient[all]\napexpy\nxformers-stubs\n", 0),
        Case("pip install -r flash-attn.txt torch\n", 0, name="run.sh"),
        Case("flash-attn>=2.5\nxformers==0.0.27\ntriton ; platform_system == 'Linux'\nbitsandbytes\n", 4),
        Case("git+https://github.com/NVIDIA/apex.git@master\nflash_attn @ git+https://github.com/Dao-AILab/flash-attention\n", 2),
        Case("https://github.com/Dao-AILab/flash-attention/releases/flash_attn-2.5.6+cu122-cp310-linux_x86_64.whl\n"),
        Case("RUN pip install flash-attn --no-build-isolation\n", name="Dockerfile"),
        Case("python -m pip install -q xformers\n", name="run.sh"),
        Case("jobs:\n  a:\n    steps:\n    - run: uv pip install 'bitsandbytes>=0.43'\n", name=".github/workflows/a.yml"),
    ),
    hints=(
        b"flash", b"Flash", b"formers", b"attn", b"attention", b"apex", b"bitsandbytes", b"triton", b"conv", b"mamba", b"gptq",
        b"GPTQ", b"awq", b"llamav", b"gemm", b"cuda", b"nvdiff", b"kaolin", b"inkowski", b"deep", b"kernel", b"adamard",
        b"tilelang", b"cross", b"ssim", b"gaussian", b"gsplat", b"natten", b"blocks", b"cutlass", b"-mla",
    ),
)  # fmt: skip
