"""Schedules against their published formulas, with forward 1 s, backward 2 s, half of it the weights' gradients."""

from __future__ import annotations

import pytest

from windtunnel.plan.training.layout import Layout
from windtunnel.plan.training.pipeline import bubble_s, copies, in_flight, stages


def layout(schedule: str, pp: int = 8, chunks: int = 1) -> Layout:
    return Layout(pp=pp, schedule=schedule, chunks=chunks)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("schedule", "chunks", "seconds"),
    [
        ("1f1b", 1, 7 * 3.0),  # (p - 1)(F + B)
        ("interleaved", 4, 7 * 3.0 / 4),  # the same over the parts of a stage
        ("zero-bubble", 1, 7 * (1.0 + 1.0 - 1.0)),  # (p - 1)(F + B - 2 W), B all of the backward pass
        ("dualpipe", 1, 3 * (3.0 + 2.0 - 3.0)),  # (p / 2 - 1)(F&B + B - 3 W)
    ],
)
def test_bubbles(schedule: str, chunks: int, seconds: float) -> None:
    assert bubble_s(layout(schedule, chunks=chunks), 1.0, 2.0, 1.0) == pytest.approx(seconds)
    assert bubble_s(layout(schedule, pp=1), 1.0, 2.0, 1.0) == 0.0


def test_micro_batches_in_flight() -> None:
    assert in_flight(layout("1f1b"), 100) == 8
    assert in_flight(layout("1f1b"), 3) == 3
    assert in_flight(layout("interleaved", chunks=4), 100) == pytest.approx(8 * (1 + 7 / 32))
    assert in_flight(layout("dualpipe"), 100) == 9
    assert in_flight(layout("1f1b", pp=1), 100) == 1
    assert [copies(layout(s)) for s in ("1f1b", "dualpipe")] == [1.0, 2.0]


def test_the_last_stage_gives_layers_away_for_its_head() -> None:
    """126 layers over 16 stages: eight each, and six with a head that takes two layers' time, as Llama 3 405B was cut."""
    found = stages(126, layout("1f1b", pp=16), 1.0, 2.0, even=False)
    assert (found.each, found.last) == (8.0, 6.0)


def test_even_stages_hold_equally_many_where_layers_divide() -> None:
    assert stages(80, layout("1f1b"), 1.0, 3.0, even=True).last == 10.0
    uneven = stages(80, layout("1f1b"), 1.0, 3.0, even=False)
    assert max(uneven.each, uneven.last + 3.0) <= 13.0
    assert uneven.each * 7 + uneven.last >= 80


def test_under_dualpipe_a_rank_shares_the_last_stage_with_the_first() -> None:
    found = stages(60, layout("dualpipe", pp=4), 1.0, 4.0, even=False)
    assert (found.each, found.last) == (16.0, 14.0)  # pairs of 32 and 28 + 4
