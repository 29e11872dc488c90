"""Which number type each part of a model runs in.

A checkpoint names its own types, and a deployment that asks for what the checkpoint is (or for nothing) gets
exactly those: gpt-oss at "fp4" keeps bf16 attention around its four-bit experts. Asking for another type moves
all linear layers to it, with three exceptions that published checkpoints share:

- four-bit weights on a model with multi-head latent attention leave its attention projections in bf16
  (nvidia/DeepSeek-R1-FP4 and its kin);
- four-bit weights on a mixture of experts with linear attention are its routed experts' alone
  (nvidia/Qwen3.5-397B-A17B-NVFP4);
- a checkpoint whose attention is 16 bit apart from its experts (gpt-oss, Kimi K2 Thinking) keeps it so.

Where a checkpoint of the asked type is known, its own ModelSpec says more than these rules do.
The embedding, the router and the output head are always 16 bit, and engines load fp32 checkpoints as bf16.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from windtunnel.catalog.model import ModelSpec
from windtunnel.errors import InvalidInputError, nearest
from windtunnel.workload.ops import BITS

KV_DTYPES = ("bf16", "fp16", "fp8", "int8", "fp4")
WIDE = ("bf16", "fp16", "fp32")
FOUR_BIT = ("fp4", "w4a16", "w4a8")
QUANTISED_INPUTS = ("fp8", "int8", "fp4", "fp6", "w4a8")
"""Types whose matrix inputs are quantised by an operator of their own; w8a8_dynamic counts it as its own part."""

_NARROW_DISPATCH = ("fp8", "int8", "w8a8_dynamic", "fp4", "fp6", "w4a8")


@dataclass(frozen=True, slots=True)
class PrecisionPlan:
    """Types of the attention projections, of dense feed-forward and shared experts, of routed experts, of the
    cache, of the head, of the latent products that MLA absorbs in decode, and of tokens sent to experts."""

    attention: str = "bf16"
    dense: str = "bf16"
    experts: str = "bf16"
    kv: str = "bf16"
    head: str = "bf16"
    absorbed: str = "bf16"
    dispatch: str = "bf16"


def precision_plan(spec: ModelSpec, precision: str = "", kv_precision: str = "") -> PrecisionPlan:
    """The types that ``spec`` runs in when ``precision`` is asked for ("": as the checkpoint is stored).

    The cache is what ``kv_precision`` or else the checkpoint asks for, or else bf16. An unknown type raises InvalidInputError.
    """
    if precision and precision not in BITS:
        raise InvalidInputError("precision", f"'{precision}' is not a number type; nearest: {_near(precision, BITS)}")
    if kv_precision and kv_precision not in KV_DTYPES:
        near = _near(kv_precision, KV_DTYPES)
        raise InvalidInputError("kv_precision", f"'{kv_precision}' is not a cache type; nearest: {near}")
    attention, dense, experts = (_loaded(spec.precision_of(part)) for part in ("attention", "rest", "experts"))
    if precision and precision not in (spec.precision, spec.expert_precision):
        keeps_attention = precision not in WIDE and attention in WIDE and experts not in WIDE
        mixers = {layer.attention.kind for layer in spec.layers if layer.attention is not None}
        experts_alone = precision in FOUR_BIT and "linear" in mixers and spec.is_moe
        if not keeps_attention:
            attention = "bf16" if experts_alone or (precision in FOUR_BIT and "mla" in mixers) else precision
        dense, experts = "bf16" if experts_alone else precision, precision
    return PrecisionPlan(
        attention=attention,
        dense=dense,
        experts=experts,
        kv=kv_precision or spec.kv_precision or "bf16",
        dispatch="fp8" if experts in _NARROW_DISPATCH else "bf16",
    )


def _loaded(stored: str) -> str:
    return "bf16" if stored == "fp32" else stored


def _near(name: str, known: Iterable[str]) -> str:
    names = list(known)
    return ", ".join(nearest(name, names) or names)
