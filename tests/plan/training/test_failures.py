"""Failures and checkpoints against Young, Daly and a published run."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.plan.training.failures import failures, goodput, interval_s

means = st.floats(600.0, 1e7)
stalls = st.floats(1.0, 300.0)


def test_sixteen_thousand_h100_are_interrupted_every_three_hours() -> None:
    """Llama 3: 419 unexpected interruptions in 54 days."""
    found = failures("h100-sxm", 16_384, 1e13)
    assert found.mtbf_s == pytest.approx(54 * 86_400 / 419)
    assert found.expected(54 * 86_400) == pytest.approx(419)
    assert found.mtbf_low_s < found.mtbf_s < found.mtbf_high_s
    assert found.goodput_low < found.goodput < found.goodput_high


def test_of_other_chips_the_range_is_wider_and_it_is_said() -> None:
    known, other = failures("h100-sxm", 1024, 1e12), failures("ascend-910b2", 1024, 1e12)
    assert other.mtbf_s == known.mtbf_s
    assert other.mtbf_low_s < known.mtbf_low_s
    assert any("not published" in line for line in other.assumed)
    assert not any("not published" in line for line in known.assumed)


def test_what_the_user_says_comes_first() -> None:
    found = failures("h100-sxm", 1024, 2e12, mtbf_s=36_000.0, storage_bytes_per_s=1e11, restart_s=60.0, every_s=1_800.0)
    assert (found.mtbf_s, found.mtbf_low_s, found.checkpoint_s) == (36_000.0, 36_000.0, 20.0)
    assert (found.interval_s, found.restart_s, found.assumed) == (1_800.0, 60.0, ())


def test_the_interval_is_youngs_where_checkpoints_are_short() -> None:
    assert interval_s(10.0, 1e6) == pytest.approx(math.sqrt(2 * 10.0 * 1e6), rel=0.01)
    assert interval_s(1e5, 1e4) == 1e4


@given(means, stalls)
def test_no_other_interval_loses_less(mtbf: float, stall: float) -> None:
    every = interval_s(stall, mtbf)
    best = goodput(mtbf, stall, every, 60.0)
    for other in (0.7, 1.4):
        assert goodput(mtbf, stall, every * other, 60.0) <= best * 1.002


@given(means, stalls, st.floats(1.0, 3600.0))
def test_rarer_failures_never_lose_more(mtbf: float, stall: float, restart: float) -> None:
    every = interval_s(stall, mtbf)
    assert 0.0 <= goodput(mtbf, stall, every, restart) <= goodput(2 * mtbf, stall, every, restart) <= 1.0


def test_without_failures_only_checkpoints_are_lost() -> None:
    assert goodput(1e15, 30.0, 1_770.0, 900.0) == pytest.approx(1_770 / 1_800, rel=1e-6)
    assert goodput(1.0, 30.0, 1e6, 900.0) == 0.0
