"""Compiled code that a program brings along or wants installed, of which a virtual chip can run none."""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType

COMPILED = frozenset({
    "apex", "bitsandbytes", "causal_conv1d", "cupy", "deep_ep", "deep_gemm", "flash_attn", "flash_attn_interface", "flash_mla",
    "flashinfer", "mamba_ssm", "numba", "pycuda", "rotary_emb", "sageattention", "sgl_kernel", "spconv", "tensorrt",
    "torch_scatter", "torch_sparse", "torch_tensorrt", "torchsparse", "transformer_engine", "triton", "vllm", "xformers",
})  # fmt: skip
"""Packages whose kernels are compiled for a chip, or compile some."""

_BUILDER = "torch/utils/cpp_extension.py"


def compiled_code(problem: BaseException, frames: Sequence[FrameType]) -> str | None:
    """One line on the compiled code that ``problem`` is about, None where it is about something else. frames: of its
    traceback, outermost first."""
    if isinstance(problem, ImportError) and problem.name and problem.name.partition(".")[0] in COMPILED:
        package = problem.name.partition(".")[0]
        return f"{package} brings kernels compiled for a chip that is there; a virtual chip runs PyTorch's own operators"
    builder = next((frame for frame in frames if frame.f_code.co_filename.replace("\\", "/").endswith(_BUILDER)), None)
    if builder is None:
        return None
    name = builder.f_locals.get("name")
    named = f" '{name}'" if isinstance(name, str) else ""
    return f"the program compiles an extension{named} of its own; a virtual chip runs PyTorch's own operators"
