"""Quantiles of a stream against those of the sorted samples."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.sim.serving.quantiles import EXACT, RELATIVE_ERROR, Quantiles


def rank(samples: list[float], q: float) -> float:
    return sorted(samples)[max(math.ceil(q * len(samples)), 1) - 1]


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50), st.integers(1, 400), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
@settings(deadline=None)
def test_quantiles_are_within_their_error_of_a_sample_of_that_rank(few: list[float], times: int, q: float) -> None:
    found = Quantiles()
    samples = few * times
    for value in samples:
        found.add(value)
    assert found.exact == (len(samples) <= EXACT)
    allowed = 0.0 if found.exact else RELATIVE_ERROR * 1.001
    assert found.quantile(q) == pytest.approx(rank(samples, q), rel=allowed)
    assert found.mean == pytest.approx(sum(samples) / len(samples))
    assert (found.smallest, found.largest) == (min(few), max(few))


def test_memory_does_not_grow_with_the_samples() -> None:
    found = Quantiles()
    for i in range(200_000):
        found.add(0.001 * 1.0001 ** (i % 100_000))
    assert len(found._buckets) < 2_000
    points = list(found.cumulative())
    assert points[-1][1] == 1.0
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(points))


def test_a_tail_says_how_much_is_behind_it() -> None:
    found = Quantiles()
    assert math.isnan(found.quantile(0.5))
    for i in range(500):
        found.add(i + 1.0)
    assert (found.quantile(0.99), found.beyond(0.99)) == (495.0, 5)
    assert (found.quantile(0.9), found.beyond(0.9)) == (450.0, 50)
