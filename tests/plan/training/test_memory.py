"""Memory of a rank against the formulas of ZeRO, and what a layout that does not fit says."""

from __future__ import annotations

import pytest

from windtunnel.catalog import chip
from windtunnel.plan.training.layout import Layout
from windtunnel.plan.training.memory import CONTEXT_BYTES, FRAGMENTED, TrainingMemory, training_memory
from windtunnel.workload.training import LayerNumbers

N, D = 7.5e9, 64
"""Weights and replicas of the example of Rajbhandari et al. 2020 (ZeRO, figure 1)."""


def memory(zero: int, optimizer: str = "adam", dp: int = D, schedule: str = "1f1b", pp: int = 1) -> TrainingMemory:
    cut = Layout(dp=dp, pp=pp, zero=zero, schedule=schedule)  # type: ignore[arg-type]
    return training_memory(chip("h100-sxm"), cut, LayerNumbers(N, 0.0), 32.0, 0.0, 1e6, 3e6, 4.0, 5e6, optimizer=optimizer)


@pytest.mark.parametrize(
    ("zero", "each"),
    [
        (0, 2 + 4 + 12),  # 16-bit weights, FP32 gradients, FP32 master weights and two moments
        (1, 2 + 4 + 12 / D),
        (2, 2 + 4 / D + 12 / D),
        (3, 2 / D + 4 / D + 12 / D),
    ],
)
def test_states_are_split_as_zero_says(zero: int, each: float) -> None:
    found = memory(zero)
    assert found.weights + found.gradients + found.optimizer == pytest.approx(N * each)


def test_the_rest_is_counted_once() -> None:
    found = memory(1)
    assert found.activations == 1e6 * 32 * 4
    assert found.buffers == CONTEXT_BYTES + (3e6 - 1e6) + 5e6
    assert found.fragmented == FRAGMENTED * chip("h100-sxm").value("memory_bytes")
    parts = (found.weights, found.gradients, found.optimizer, found.activations, found.buffers, found.fragmented)
    assert found.total == pytest.approx(sum(parts))
    assert found.fits
    assert not memory(0).fits
    assert memory(0).headroom < 0 < found.headroom


def test_narrow_moments_save_four_bytes_a_weight() -> None:
    assert memory(0).optimizer - memory(0, "adam-bf16").optimizer == pytest.approx(4 * N)


def test_dualpipe_holds_weights_twice() -> None:
    assert memory(1, pp=4, schedule="dualpipe").weights == 2 * memory(1, pp=4).weights


def test_experts_are_split_over_those_that_hold_the_same() -> None:
    """256 ranks with experts over 64 of them: four hold the same."""
    cut = Layout(dp=256, ep=64, zero=1)
    found = training_memory(chip("h100-sxm"), cut, LayerNumbers(256e6, 4e6), 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    assert found.optimizer == pytest.approx(12 * (1e6 + 1e6))
