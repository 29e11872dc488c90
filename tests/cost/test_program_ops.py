"""Operators of programs on every chip: sane, above the roofline, or one line that says which fact is missing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from windtunnel.catalog import Chip, chip, chips
from windtunnel.cost.host import host_cost
from windtunnel.cost.model import CostModel
from windtunnel.errors import MissingFactError, UnsupportedError
from windtunnel.workload.ops import Attention, AttentionBackward, Convolution, Op, Pass

CONVOLUTION = Convolution("conv", 64, 64, 128, (56, 56), (28, 28), (3, 3), 1, "fp16", True)
SELF_ATTENTION = Attention("sdpa", "prefill", 64, 197, 197, 12, 12, 64, 64, causal=False)
OPS: tuple[Op, ...] = (
    CONVOLUTION,
    replace(CONVOLUTION, channels_last=False),
    replace(CONVOLUTION, direction="input_gradient"),
    replace(CONVOLUTION, direction="weight_gradient"),
    Convolution("depthwise", 64, 64, 64, (56, 56), (56, 56), (7, 7), 64, "fp16"),
    Pass("relu", "pointwise", 1e8, 1e8, 5e7, "fp16"),
    Pass("arange", "pointwise", 0.0, 8e6, 1e6, "int64"),
    Pass("sort", "sort", 8e6, 16e6, 1e6, "fp64", 1000.0, False),
    SELF_ATTENTION,
    AttentionBackward("sdpa_backward", SELF_ATTENTION),
    AttentionBackward("sdpa_backward", replace(SELF_ATTENTION, causal=True)),
)


def least(of: Chip, op: Op) -> float:
    """Seconds at the datasheet's peak."""
    peaks = [of.value(f"matrix_flops_per_s.{d}") for d in ("fp16", "bf16") if of.has(f"matrix_flops_per_s.{d}")]
    return op.flops / max(peaks) if peaks and not isinstance(op, Pass) else 0.0


@pytest.mark.parametrize("of", chips(), ids=lambda c: c.id)
def test_every_chip_prices_the_operators_of_programs_or_names_the_missing_fact(of: Chip) -> None:
    for op in OPS:
        problem: Exception | None = None
        try:
            cost = CostModel(of).cost(op)
        except (MissingFactError, UnsupportedError) as refusal:
            problem = refusal
        if problem is not None:
            assert of.id in str(problem)
            assert "\n" not in str(problem)
            continue
        assert 0.0 < cost.time_s < math.inf
        assert cost.time_s >= 0.999 * least(of, op) * (0.0 if op.flops and getattr(op, "depthwise", False) else 1.0)
        assert 0.0 < cost.spread < 3.0
        assert cost.bound in ("matrix unit", "memory", "start")


@pytest.mark.parametrize("name", ["rtx-3090", "rtx-4090", "h100-sxm", "ascend-910b2"])
def test_more_work_takes_longer(name: str) -> None:
    costs = CostModel(chip(name))
    for op in (CONVOLUTION, SELF_ATTENTION):
        assert costs.cost(replace(op, batch=128)).time_s > 1.5 * costs.cost(op).time_s
    one = Pass("relu", "pointwise", 1e9, 1e9, 5e8, "fp16")
    assert costs.cost(replace(one, read_bytes=3e9)).time_s == pytest.approx(2 * costs.cost(one).time_s, rel=0.05)
    assert costs.cost(replace(one, contiguous=False)).time_s >= costs.cost(one).time_s


def test_planar_images_take_no_less_than_those_with_channels_innermost() -> None:
    for name in ("rtx-3090", "rtx-4090", "h100-sxm"):
        costs = CostModel(chip(name))
        assert costs.cost(replace(CONVOLUTION, channels_last=False)).time_s >= costs.cost(CONVOLUTION).time_s


def test_convolutions_in_fp32_run_as_tf32_where_a_gpu_has_it() -> None:
    costs = CostModel(chip("a100-sxm-80gb"))
    single, half = (costs.cost(replace(CONVOLUTION, dtype=d, batch=2048, in_channels=1024)).time_s for d in ("fp32", "fp16"))
    assert single == pytest.approx(2 * half, rel=0.1)


def test_nothing_to_move_takes_no_time() -> None:
    costs = CostModel(chip("rtx-4090"))
    assert costs.cost(Pass("nothing", "pointwise", 0.0, 0.0, 0.0, "fp32")).time_s == 0.0
    assert costs.cost(replace(CONVOLUTION, batch=0)).time_s == 0.0


def test_launching_costs_what_a_source_says_or_what_cuda_does_with_less_trust() -> None:
    cuda, npu, other = host_cost("cuda"), host_cost("npu"), host_cost("musa")
    assert npu.call_s == pytest.approx(17e-6)
    assert other.call_s == cuda.call_s
    assert other.spread > cuda.spread
    assert "musa" in other.source
    assert host_cost("cuda", "graph").call_s < host_cost("cuda", "compiled").call_s < cuda.call_s
