"""In which number type a checkpoint runs on a chip: its own where the chip can, else the nearest that is accurate."""

from __future__ import annotations

from collections.abc import Mapping

from windtunnel.catalog import Chip
from windtunnel.catalog.model import ModelSpec
from windtunnel.cost.model import CostModel
from windtunnel.errors import UnsupportedError
from windtunnel.plan.words import number_type
from windtunnel.workload.llm import precision_plan
from windtunnel.workload.ops import COMPUTE_DTYPE

INSTEAD: Mapping[str, tuple[str, ...]] = {
    "fp8": ("w8a8_dynamic", "bf16"),
    "fp6": ("fp8", "w8a8_dynamic", "bf16"),
    "fp4": ("fp8", "w8a8_dynamic", "bf16"),
    "int4": ("w4a16", "fp8", "w8a8_dynamic", "bf16"),
    "w4a8": ("w4a16", "fp8", "w8a8_dynamic", "bf16"),
    "int8": ("fp8", "bf16"),
    "w8a8_dynamic": ("fp8", "bf16"),
}
"""What a stored type runs as where the chip cannot compute it, best first: never fewer bits.
**Source:** Ascend's DeepSeek checkpoints are INT8 with activations quantised per token (vllm-ascend documentation);
DeepSeek's own FP8 checkpoint is widened to BF16 on chips without either."""


def chosen_precision(spec: ModelSpec, on: Chip, asked: str | None) -> tuple[str, str]:
    """The ``precision`` of a Deployment ("": as stored), and a line where it is not the checkpoint's own.

    asked: the user's choice, None to choose here. Raises UnsupportedError where the chip cannot run it, MissingFactError
    where a figure of the chip that is needed was never published.
    """
    if asked is not None:
        _check(spec, on, asked, widened=True)
        return asked, ""
    try:
        _check(spec, on, "")
        return "", ""
    except UnsupportedError as cannot:
        stored = _stored(spec, on)
        for other in INSTEAD.get(stored, ("bf16",)):
            try:
                _check(spec, on, other)
            except UnsupportedError:
                continue
            return other, f"{on.id} cannot compute {stored}: {spec.id} runs there as {_told(other)}"
        raise cannot


def _told(name: str) -> str:
    said = number_type(name)
    return f"{said} (INT8 weights, activations quantised on the way; {name})" if name == "w8a8_dynamic" else said


def _types(spec: ModelSpec, precision: str) -> list[str]:
    plan = precision_plan(spec, precision)
    return list(dict.fromkeys((plan.experts, plan.dense, plan.attention, plan.head)))


def _check(spec: ModelSpec, on: Chip, precision: str, *, widened: bool = False) -> None:
    """widened: FP8 weights may be widened on the way, which saves memory but, unlike INT8, no time in the matrix unit."""
    # compute first: a chip of which nothing is known is told apart by it
    for dtype in _types(spec, precision):
        compute = COMPUTE_DTYPE.get(dtype, dtype)
        if compute in on.dtypes:
            on.peak(compute)
    costs = CostModel(on)
    for dtype in _types(spec, precision):
        costs.machine(costs.running(dtype) if widened else _unwidened(costs, dtype))


def _unwidened(costs: CostModel, dtype: str) -> str:
    """What the chip runs a type as, FP8 as nothing but itself."""
    return dtype if dtype == "fp8" else costs.running(dtype)


def _stored(spec: ModelSpec, on: Chip) -> str:
    """The first stored type that the chip cannot run."""
    costs = CostModel(on)
    for dtype in _types(spec, ""):
        try:
            costs.machine(_unwidened(costs, dtype))
        except UnsupportedError:
            return dtype
    return spec.precision
