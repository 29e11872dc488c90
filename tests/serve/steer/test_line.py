"""A start and a factor, learned from measurements: recovered where they are, followed where they change."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.serve.steer.line import KEPT, NOISE, Line

predicted = (0.1, 0.4, 1.0, 0.2, 0.7)


def learned(start_s: float, factor: float, beside_s: float = 0.0) -> Line:
    line = Line(0.0, 0.05, 1.0, 0.3)
    for x in predicted * 12:
        line.learn(x, start_s + factor * x + beside_s, beside_s)
    return line


def test_before_anything_was_seen_it_says_what_was_believed() -> None:
    assert Line(0.1, 0.05, 2.0, 0.3).at(0.5) == pytest.approx(1.1)


@given(st.floats(0.0, 0.1), st.floats(0.3, 3.0))
def test_it_is_the_least_squares_line_with_what_was_believed_as_two_more_measurements(start_s: float, factor: float) -> None:
    line, rows, values = learned(start_s, factor), [], []
    for age, x in enumerate(reversed(predicted * 12)):
        weight = math.sqrt(KEPT**age) / (NOISE * (x + 0.05))
        rows.append([weight, weight * x])
        values.append(weight * (start_s + factor * x))
    rows += [[1 / 0.05, 0.0], [0.0, 1 / 0.3]]
    values += [0.0, 1 / 0.3]
    expected = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    assert (line.start_s, line.factor) == pytest.approx(tuple(expected), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("start_s", "factor"), [(0.0, 1.5), (0.0, 0.7), (0.08, 1.0), (0.05, 3.0)])
def test_a_start_and_a_factor_are_told_apart(start_s: float, factor: float) -> None:
    line = learned(start_s, factor)
    assert line.factor == pytest.approx(factor, rel=0.1)
    assert line.at(1.0) == pytest.approx(start_s + factor, rel=0.06)


def test_what_it_does_not_speak_of_is_left_out() -> None:
    line = learned(0.0, 2.0, 0.1)
    assert line.at(1.0) == pytest.approx(2.0, rel=0.3 * NOISE)


def test_what_fades_is_what_was_learned() -> None:
    line = learned(0.05, 2.5)
    line.fade(0.0)
    assert (line.start_s, line.factor) == (0.0, 1.0)


@given(st.lists(st.tuples(st.floats(0.0, 1e3), st.floats(0.0, 1e4), st.floats(-10.0, 1e3)), max_size=50))
def test_whatever_is_measured_a_time_is_not_below_zero(found: list[tuple[float, float, float]]) -> None:
    line = Line(0.0, 0.05, 1.0, 0.3)
    for x, y, beside in found:
        line.learn(x, y, beside)
        assert line.factor > 0.0
        assert line.at(1.0) > 0.0
