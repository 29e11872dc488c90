"""Which checkpoint a precision needs, and what the engine has to be told about it."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.catalog.model import ModelSpec
from windtunnel.errors import UnsupportedError
from windtunnel.plan.deploy.instance import Service

SAME = {"fp16": "bf16", "w8a8_dynamic": "int8"}
"""Precisions that are stored alike."""

ON_THE_WAY = {("bf16", "fp8")}
"""(stored, asked) that engines convert to while they load."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """quantization: the value of the engine's flag; convert: what has to be made or found first; both empty for nothing."""

    quantization: str = ""
    convert: str = ""


def checkpoint(service: Service, engine: str) -> Checkpoint:
    """What ``engine`` needs to run the deployment's precision from the model's own checkpoint.

    Raises UnsupportedError where the engine has no way to that precision on that chip.
    """
    stored = _plain(service.spec.precision)
    asked = _plain(service.main.deployment.precision) or stored
    on_ascend = service.chip.device == "npu"
    if on_ascend and asked in ("fp8", "fp4") and asked not in service.chip.dtypes:
        near = ", ".join(d for d in ("int8", "bf16") if d in service.chip.dtypes)
        raise UnsupportedError(f"{service.chip.id} does not compute {asked}; nearest: {near}")
    if on_ascend and asked in ("int8", "w4a8", "w4a16"):
        flag = "modelslim" if engine == "sglang" else "ascend"
        return Checkpoint(flag, f"a checkpoint quantised to {asked} with ModelSlim" if not _is(service.spec, asked) else "")
    if asked == stored:
        return Checkpoint()
    if (stored, asked) in ON_THE_WAY and engine in ("vllm", "sglang"):
        return Checkpoint("fp8")
    maker = {
        "int8": "LLM Compressor (INT8 weights and activations)",
        "fp4": "NVIDIA Model Optimizer (NVFP4)",
        "fp8": "NVIDIA Model Optimizer (FP8)",
        "w4a16": "LLM Compressor (AWQ or GPTQ, 4 bits)",
    }.get(asked, "")
    return Checkpoint(
        "", f"a checkpoint in {asked}, where {service.model} is stored as {stored}" + (f"; {maker} makes one" if maker else "")
    )


def _plain(precision: str) -> str:
    return SAME.get(precision, precision)


def _is(spec: ModelSpec, asked: str) -> bool:
    return _plain(spec.precision) == asked


def kv_dtype(service: Service, words: dict[str, str]) -> str:
    """The engine's word for the cache's type, empty for its default. Raises UnsupportedError."""
    asked = service.main.deployment.kv_precision
    if asked in ("", "bf16", "fp16", "auto"):
        return ""
    if asked not in words:
        known = ", ".join(["bf16", *words])
        raise UnsupportedError(f"a KV cache in {asked} cannot be asked of {service.main.deployment.engine}; nearest: {known}")
    return words[asked]
