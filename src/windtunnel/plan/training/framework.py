"""What training frameworks do of their own accord: which kernels are fused, and which exchanges run beside products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from windtunnel.errors import UnknownNameError

Schedule = Literal["1f1b", "interleaved", "zero-bubble", "dualpipe"]
SCHEDULES: tuple[Schedule, ...] = ("1f1b", "interleaved", "zero-bubble", "dualpipe")


@dataclass(frozen=True, slots=True)
class Framework:
    """One framework, of one time.

    split_sequence: between products a rank holds its part of the sequence alone. fused: norms, rotary positions and gated
    activations are a kernel each. permute: so is putting tokens in the order of experts, and back. tensor: what of tensor
    parallelism's exchanges runs beside products: nothing; those of the backward pass that have a product of the same layer
    beside them (beside); those, and all others in pieces, of which the first alone is waited for (pieces). gradients:
    whether sums over replicas run beside the backward pass. once: a token is sent once to a rank that holds several of its
    experts. even: stages hold equally many layers, where those divide. experts_beside: whether exchanges with experts run
    beside another micro-batch's work. schedules: pipeline schedules that it has. zero: what of weights and states it splits
    over replicas, least first. source: where that is said.
    """

    id: str
    name: str
    split_sequence: bool = True
    fused: bool = True
    permute: bool = False
    tensor: Literal["none", "beside", "pieces"] = "beside"
    gradients: bool = True
    once: bool = False
    even: bool = True
    experts_beside: bool = False
    schedules: tuple[Schedule, ...] = ("1f1b", "interleaved")
    zero: tuple[int, ...] = (1,)
    source: str = ""


FRAMEWORKS: Mapping[str, Framework] = {
    f.id: f
    for f in (
        Framework(
            "megatron", "Megatron-Core, 2025", permute=True, tensor="pieces", once=True, even=False, experts_beside=True,
            schedules=("1f1b", "interleaved", "dualpipe"), zero=(1, 3),
            source="Megatron-Core: tensor-parallel exchange in pieces (user buffers), expert exchanges beside the other "
            "micro-batch, fused permutation, uneven stages; DualPipe is published by deepseek-ai",
        ),
        Framework("megatron-2024", "Megatron-LM, 2024", source="Megatron-LM: gradients' exchanges beside products"),
        Framework("megatron-bridge", "Megatron-Bridge, 2026", permute=True, tensor="pieces", once=True, even=False,
                  source="as Megatron-Core, 2025; expert exchanges in line, as its published settings have them"),
        Framework("modellink", "ModelLink / MindSpeed-LLM, 2024", tensor="beside",
                  source="its README: measured with MC2 (products that communicate), fused kernels"),
        Framework("ascendspeed", "AscendSpeed, 2023", fused=False, tensor="none", gradients=False,
                  schedules=("1f1b",), source="its examples of 2023: before fused kernels and MC2"),
        Framework("deepspeed", "DeepSpeed on plain PyTorch", split_sequence=False, fused=False, tensor="none",
                  schedules=("1f1b",), zero=(1, 2, 3),
                  source="the model as its authors publish it, nothing fused"),
        Framework("torchtitan", "torchtitan, 2025", tensor="beside", even=False,
                  schedules=("1f1b", "interleaved", "zero-bubble"), zero=(3,),
                  source="torchtitan: torch.compile fuses; asynchronous tensor parallelism; fully sharded data parallelism"),
    )
}  # fmt: skip
USUAL = {"Huawei": "modellink"}
OTHERS_USUAL = "megatron"
"""By maker, the framework that is taken where none is named: MindSpeed-LLM is Megatron's on Ascend."""


def usual(vendor: str) -> Framework:
    """The framework for a maker's chips where none is named."""
    return FRAMEWORKS[USUAL.get(vendor, OTHERS_USUAL)]


def framework(name: str) -> Framework:
    """The framework of that name. Raises UnknownNameError."""
    found = FRAMEWORKS.get(name.strip().lower())
    if found is None:
        raise UnknownNameError("framework", name, FRAMEWORKS)
    return found
