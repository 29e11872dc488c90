"""Fits over whole programs: their formulas say what the cost model says, and they find parameters that made the times."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("scipy")

from windtunnel.catalog import chip  # noqa: E402
from windtunnel.cost.model import CostModel  # noqa: E402
from windtunnel.fit.programs import FREE, Builder, Measured, errors, fit_programs, seconds, times  # noqa: E402
from windtunnel.workload.ops import Attention, Convolution, Gemm, Op, Pass  # noqa: E402

CARD = chip("rtx-4090")


def parameters() -> dict[str, dict[str, float]]:
    costs = CostModel(CARD)
    found = {name: dict(costs.family(name).values) for name in FREE if name != "gemm_wide"}
    return {**found, "gemm_wide": dict(costs.family("gemm", "fp16").values)}


def ops(batch: float, width: float = 64.0) -> list[Op]:
    side = (28.0, 28.0)
    images = batch * width * 784.0
    return [
        Gemm("linear", batch * 784.0, 4.0 * width, width, "fp16"),
        Convolution("conv", batch, width, width, side, side, (3.0, 3.0), 1.0, "fp16", True),
        Convolution("conv", batch, width, width, side, side, (3.0, 3.0), 4.0, "fp16"),
        Convolution("depthwise", batch, width, width, side, side, (7.0, 7.0), width, "fp16"),
        Attention("sdpa", "prefill", batch, 196.0, 196.0, width / 32.0, width / 32.0, 32.0, 32.0, "fp16", causal=False),
        Pass("add", "pointwise", 4.0 * images, 2.0 * images, images, "fp16"),
        Pass("softmax", "softmax", 2.0 * images, 2.0 * images, images, "fp16", 784.0, False),
    ]


def test_the_formulas_over_arrays_price_as_predictions_do() -> None:
    builder = Builder()
    for batch in (1.0, 64.0, 512.0):
        builder.add([*ops(batch), *ops(batch)], 14, 3, compiled=False)
    programs = builder.done()
    told = sum(seconds(programs, CARD, parameters()).values())
    costs = CostModel(CARD)
    for place, batch in enumerate((1.0, 64.0, 512.0)):
        assert told[place] == pytest.approx(2.0 * sum(costs.cost(op).time_s for op in ops(batch)), rel=1e-9)


def test_a_part_of_the_programs_is_priced_as_within_the_whole() -> None:
    builder = Builder()
    for batch in (8.0, 32.0, 128.0):
        builder.add(ops(batch), 7, 0, compiled=batch == 32.0)
    programs = builder.done()
    part = programs.only(np.array([2, 1]))
    assert times(part, CARD, parameters()) == pytest.approx(times(programs, CARD, parameters())[[2, 1]])


def test_a_fit_finds_what_made_the_times() -> None:
    rng = np.random.default_rng(3)
    builder = Builder()
    for _ in range(60):
        chosen = [op for op in ops(float(rng.integers(64, 512)), float(rng.choice([64, 128, 256]))) if rng.random() < 0.6]
        builder.add([*chosen, *ops(256.0)[5:6]], len(chosen) + 1, 0, compiled=False)
    programs = builder.done()
    prior = parameters()
    truth = {family: dict(values) for family, values in prior.items()}
    truth["pass"]["memory"] *= 0.85
    truth["depthwise"]["compute"] *= 1.4
    measured = Measured(CARD, np.arange(len(programs)), times(programs, CARD, truth))
    before = np.abs(errors(programs, measured, prior))
    fitted = fit_programs(programs, [measured], prior, stray=1.0)
    after = np.abs(errors(programs, measured, fitted))
    assert np.median(after) < 0.2 * np.median(before)
    assert fitted["pass"]["memory"] == pytest.approx(truth["pass"]["memory"], rel=0.05)
