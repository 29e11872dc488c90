"""Tables as they are read: golden pages at two widths, and how numbers are written."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli import made_up
from windtunnel.cli.render import Sheet, count, number, parallelism, rate_estimate, time_estimate
from windtunnel.cli.render_plan import plan_sheet
from windtunnel.cli.render_prediction import prediction_sheet
from windtunnel.cli.render_reports import fit_sheet, validation_sheet
from windtunnel.plan.result import ChipPlan
from windtunnel.sim.prediction import Deployment, Estimate, Evidence

GOLDEN = Path(__file__).parent / "golden"

VALIDATION = {
    "rows": 120,
    "predicted": 114,
    "refused": {"not known: memory_bytes_per_s of biren-br106": 4, "unknown model 'x'": 2},
    "by_chip": {"h20": {"predicted": 60, "tpot_ms": {"mape": 9.1, "median": 6.0, "p90": 21.0}}},
    "ttft_ms": {"mape": 22.0, "median": 14.0, "p90": 51.0, "rank_correlation": 0.97, "within_interval": 0.81},
    "tpot_ms": {"mape": 11.2, "median": 7.5, "p90": 24.0, "rank_correlation": None, "within_interval": 0.79},
}
FIT = {
    "file": "operators.csv",
    "chips": ["h20"],
    "rows": 1200,
    "rows_fitted": 1190,
    "families": [
        {
            "chip": "h20",
            "family": "gemm_wide",
            "points": 800,
            "shapes": 40,
            "error_before": 21.2,
            "error_after": 4.8,
            "error_held_out": 6.25,
            "spread": 0.11,
        },
        {"chip": "h20", "family": "moe_fp8", "points": 390, "shapes": 9, "error_before": 30.0, "error_after": 8.1},
    ],
    "skipped": {},
    "refused": {"unknown dtype 'fp99'": 10},
}


def sheet(name: str, width: int, terminal: bool) -> Sheet:
    if name == "plan":
        return plan_sheet(made_up.plan(), width=width, terminal=terminal)
    if name == "prediction":
        return prediction_sheet(made_up.prediction(), width=width, terminal=terminal)
    if name == "validation":
        return validation_sheet("serving.csv", VALIDATION, width=width, terminal=terminal)
    return fit_sheet("operators.csv", FIT, width=width, terminal=terminal)


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", ["plan", "prediction", "validation", "fit"])
def test_golden_pages(name: str, width: int) -> None:
    """Set WINDTUNNEL_GOLDEN=write to accept what is printed now, then read the difference."""
    printed = sheet(name, width, terminal=False).text()
    file = GOLDEN / f"{name}-{width}.txt"
    if os.environ.get("WINDTUNNEL_GOLDEN") == "write":
        file.write_text(printed, encoding="utf-8")
    assert printed == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("name", ["plan", "prediction", "validation", "fit"])
def test_a_pipe_gets_plain_text_within_its_width(name: str, width: int) -> None:
    text = sheet(name, width, terminal=False).text()
    assert text.isascii()
    assert "\x1b" not in text
    for line in text.splitlines():
        assert len(line) <= width
        assert line == line.rstrip()


@pytest.mark.parametrize("width", [40, 80, 100])
def test_no_number_is_cut_on_a_terminal(width: int) -> None:
    text = sheet("plan", width, terminal=True).text()
    for figure in ("20,523", "42.1 ms [38-46]", "0.412", "1.42 s [1.1-1.7]"):
        assert figure in text


def test_a_plan_that_nothing_meets_says_so_and_why() -> None:
    plan = replace(made_up.plan(), chips=(ChipPlan("h20", None, "TPOT is 61 ms at best"), ChipPlan("h800", None)))
    text = plan_sheet(plan, width=100, terminal=False).text()
    assert "No chip meets the targets." in text
    assert "- h20: TPOT is 61 ms at best" in text
    assert "- h800: nothing that was searched meets the targets" in text
    assert "Speed" not in text


def test_small_operators_are_one_line_and_the_times_add_up() -> None:
    text = prediction_sheet(made_up.prediction(), width=100, terminal=False).text()
    assert "2 smaller ones" in text
    assert "rope" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0.0, "0"),
        (1520.4, "1,520"),
        (99.96, "100"),
        (95.23, "95.2"),
        (0.0412, "0.0412"),
        (2.6, "2.60"),
        (48.0, "48"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (1.42, 1.1, 1.8, "1.42 s [1.1-1.8]"),
        (0.0421, 0.038, 0.047, "42.1 ms [38-47]"),
        (0.9, 0.5, 1.3, "900 ms [500-1,300]"),
        (17e-6, 15e-6, 20e-6, "17.0 us [15-20]"),
        (0.0, 0.0, 0.0, "0 s [0-0]"),
        (0.99999, 0.9, 1.1, "1.00 s [0.90-1.1]"),
    ],
)
def test_times_carry_their_interval(value: float, low: float, high: float, text: str) -> None:
    assert time_estimate(Estimate(value, low, high, Evidence.FITTED)) == text


def test_rates_and_counts() -> None:
    assert rate_estimate(Estimate(1520.0, 1300.0, 1700.0, Evidence.FITTED)) == "1,520 [1,300-1,700]"
    assert [count(n, "request") for n in (1, 64)] == ["1 request", "64 requests"]


@pytest.mark.parametrize(
    ("deployment", "text"),
    [
        (Deployment("m", "c"), "TP1"),
        (Deployment("m", "c", tp=8, pp=2), "TP8 PP2"),
        (Deployment("m", "c", dp=16, moe_ep=16, moe_tp=1), "DP16 EP16"),
        (Deployment("m", "c", tp=8, moe_ep=2, moe_tp=4), "TP8 EP2 expert TP4"),
    ],
)
def test_parallelism(deployment: Deployment, text: str) -> None:
    assert parallelism(deployment) == text
