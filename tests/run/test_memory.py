"""The curve of memory, and who held it at the peak."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.run.memory import Holders, MemoryCurve
from windtunnel.run.record import Holder
from windtunnel.workload.program.call import Site


def test_a_short_run_is_kept_whole() -> None:
    curve = MemoryCurve()
    samples = [(0.0, 5, 10), (1.0, 9, 10), (1.0, 3, 10), (2.0, 9, 20)]
    for sample in samples:
        curve.add(*sample)
    assert curve.points() == tuple(samples)
    assert (curve.peak, curve.peak_at_s, curve.reserved_peak) == (9, 1.0, 20)
    assert MemoryCurve().points() == ()


def test_a_sawtooth_keeps_both_of_its_edges_everywhere() -> None:
    curve = MemoryCurve(limit=400)
    for i in range(100_000):
        curve.add(i * 1e-3, i % 1000 if i != 70_001 else 5000, 6000)
    points = curve.points()
    assert len(points) <= 400
    assert max(points, key=lambda p: p[1]) == (70.001, 5000, 6000)
    for second in range(0, 100, 2):  # two teeth each
        part = [p[1] for p in points if second <= p[0] < second + 2]
        assert len(part) >= 2
        assert max(part) >= 900
        assert min(part) <= 100


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=300),
    st.integers(8, 40),
)
def test_no_peak_is_lost(samples: list[tuple[int, int]], limit: int) -> None:
    curve = MemoryCurve(limit)
    for i, (allocated, reserved) in enumerate(samples):
        curve.add(float(i), allocated, reserved)
    points = curve.points()
    assert len(points) <= limit
    assert [p[0] for p in points] == sorted({p[0] for p in points})
    assert all((p[1], p[2]) == samples[int(p[0])] for p in points)
    assert max(p[1] for p in points) == curve.peak == max(a for a, _ in samples)
    assert max(p[2] for p in points) == curve.reserved_peak == max(r for _, r in samples)
    assert points[-1][0] == len(samples) - 1
    if curve.peak:
        assert curve.peak_at_s == [a for a, _ in samples].index(curve.peak)


def test_a_curve_needs_room() -> None:
    with pytest.raises(ValueError, match="at least 8"):
        MemoryCurve(7)


SITE = Site("train.py", 12, "forward")


def test_holders_at_the_peak() -> None:
    holders = Holders()
    holders.add(1, 100, ("parameter", "weight", None))
    holders.add(2, 50, ("activation", "mm", SITE))
    holders.add(3, 70, ("activation", "mm", SITE))
    holders.remove(2)  # the peak of 220 is past
    holders.add(2, 40, ("gradient", "weight", None))
    holders.remove(1)
    assert (holders.peak, holders.total) == (220, 110)
    assert holders.at_peak() == [
        Holder("activation", "mm", 120, 2, SITE),
        Holder("parameter", "weight", 100, 1, None),
    ]
    assert holders.at_present() == [Holder("activation", "mm", 70, 1, SITE), Holder("gradient", "weight", 40, 1, None)]


def test_a_tag_can_be_said_better() -> None:
    holders = Holders()
    holders.add(1, 100, ("other", "", None))
    holders.retag(1, ("gradient", "weight", None))
    holders.add(2, 0, ("other", "", None))
    assert holders.at_peak() == [Holder("gradient", "weight", 100, 1, None)]
    with pytest.raises(KeyError):
        holders.remove(3)
    with pytest.raises(ValueError, match="here already"):
        holders.add(1, 5, ("other", "", None))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=60))
def test_holders_against_copies_of_everything(steps: list[tuple[int, int]]) -> None:
    """A storage comes if it is not there and goes if it is; the oracle copies all that is live at each new peak."""
    holders = Holders()
    live: dict[int, int] = {}
    best: dict[int, int] = {}
    for id_, nbytes in steps:
        if id_ in live:
            holders.remove(id_)
            del live[id_]
        else:
            holders.add(id_, nbytes, ("other", str(id_), None))
            live[id_] = nbytes
            if sum(live.values()) > sum(best.values()):
                best = dict(live)
    assert holders.peak == sum(best.values())
    assert {int(h.name): h.bytes for h in holders.at_peak()} == best
    assert math.fsum(h.bytes for h in holders.at_present()) == holders.total == sum(live.values())
