"""Every model of the catalogue, as its checkpoint is stored, becomes operators and memory that agree with its size."""

from __future__ import annotations

import pytest

from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.models import model, models
from windtunnel.workload.llm import ParallelPlan, PrecisionPlan, StepTokens, precision_plan, step_ops, weights_bytes
from windtunnel.workload.ops import Gemm, MoE

ONE, BF16 = ParallelPlan(), PrecisionPlan()


def not_multiplied(spec: ModelSpec) -> int:
    """Weights that no product reads: the embedding is looked up, the short convolution slides."""
    mixers = [(layer.count, layer.attention) for layer in spec.layers if layer.attention is not None]
    taps = sum(n * a.conv_width * (2 * a.q_heads * a.qk_dim + a.kv_heads * a.v_dim) for n, a in mixers if a.kind == "linear")
    return taps + (0 if spec.tied_embeddings else spec.vocab * spec.hidden)


@pytest.mark.parametrize("name", models())
def test_weights_are_held_once_and_each_active_one_is_multiplied_once(name: str) -> None:
    spec = model(name)
    ops = step_ops(spec, ONE, BF16, StepTokens(5, 300))
    flops = sum(op.flops * op.count for op in ops if isinstance(op, Gemm | MoE))
    assert flops == pytest.approx(2 * 5 * (spec.active_parameters - not_multiplied(spec)), rel=1e-12)
    assert weights_bytes(spec, ONE, BF16) == pytest.approx(2 * spec.parameters, rel=1e-12)
    stored = precision_plan(spec)
    assert weights_bytes(spec, ONE, stored) <= weights_bytes(spec, ONE, BF16) * 1.01
    assert len(step_ops(spec, ONE, stored, StepTokens(8, 4096, 512, 0, 1))) <= 60
