"""Where time went and where requests were: phases add up to what users saw, and no request is in no place."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings

from tests.sim.serving.test_simulate import H20, SMALL, fleets, loads
from windtunnel.sim.serving import history, phases
from windtunnel.sim.serving.arrivals import AtRandom, ClosedLoop, Lengths, Listed
from windtunnel.sim.serving.fleet import Failures, Fleet
from windtunnel.sim.serving.phases import Phases
from windtunnel.sim.serving.request import Request, Task
from windtunnel.sim.serving.settings import Options
from windtunnel.sim.serving.simulate import simulate


@given(fleets(), loads())
@settings(deadline=None, max_examples=40)
def test_phases_add_up_and_every_request_is_somewhere(fleet: Fleet, arrivals: AtRandom | ClosedLoop) -> None:
    result = simulate(fleet, arrivals)
    assert result.phases.count == result.answered
    if result.answered:
        assert sum(result.phases.mean().values()) == pytest.approx(result.e2e.mean_s)
        assert sum(result.phases.to_first().values()) == pytest.approx(result.ttft.mean_s)
        assert min(result.phases.mean().values()) > 0.0
        tenth = sum(result.phases.to_first(0.1).values())
        assert result.ttft.mean_s * 0.999 <= tenth <= result.ttft.most_s * 1.001
    if fleet.prefill is None:
        assert not {phases.TRANSFER, phases.PLACE} & set(result.phases.mean())
    for m in result.history:
        in_flight = m.arrived - m.answered - m.refused
        assert in_flight == m.waiting + m.prefill + m.transfer + m.to_decode + m.decode
        assert all(0.0 <= share <= 1.0 for share in (m.kv, m.kv_prefill) if share is not None)
    times = [m.at_s for m in result.history]
    assert times == sorted(times)
    assert result.history[-1].answered == result.answered


def test_requests_in_a_place_are_rate_times_stay() -> None:
    """Little's law ties the two records together: on average as many decode as arrive a second, times the seconds of it."""
    fleet = Fleet(SMALL, 1, H20, 2, options=Options(max_running=60))
    result = simulate(fleet, AtRandom(20.0, Lengths(800.0), Lengths(150.0), 4000))
    stay = result.phases.mean()
    steady = [m for m in result.history if 0.0 < m.at_s < result.last_arrival_s]
    rate = result.answered / result.seconds
    for name, counts in (
        (phases.DECODE, [m.decode for m in steady]),
        (phases.PREFILL, [m.prefill for m in steady]),
        (phases.TRANSFER, [m.transfer for m in steady]),
    ):
        assert sum(counts) / len(counts) == pytest.approx(rate * stay[name], rel=0.15)


def test_a_request_alone_waits_for_nothing() -> None:
    result = simulate(Fleet(SMALL), Listed((Request(0.0, 1000, 50), Request(100.0, 1000, 50))))
    assert set(result.phases.mean()) == {phases.PREFILL, phases.DECODE, phases.AROUND}


def test_two_at_once_where_one_can_run_wait_for_each_other() -> None:
    result = simulate(Fleet(SMALL, options=Options(max_running=1)), Listed((Request(0.0, 1000, 50), Request(0.0, 1000, 50))))
    alone = simulate(Fleet(SMALL), Listed((Request(0.0, 1000, 50),)))
    # the second waits until the first has left its engine
    assert result.phases.mean()[phases.WAITING] == pytest.approx((alone.e2e.mean_s - alone.phases.fixed_s) / 2.0, rel=0.05)


def test_time_lost_to_failures_is_told() -> None:
    result = simulate(Fleet(SMALL, 2, failures=Failures(5.0, 1.0)), AtRandom(20.0, Lengths(500.0), Lengths(200.0), 1000), seed=1)
    assert result.restarted
    assert result.phases.mean()[phases.LOST] > 0.0
    assert max(m.down for m in result.history) >= 1


def test_the_slowest_are_those_with_the_longest_wait() -> None:
    found = Phases()
    for wait in (1.0, 2.0, 3.0, 4.0):
        task = Task(1, Request(0.0, 10, 2))
        task.admitted_s, task.first_s = wait, wait + 1.0
        found.add(task, wait + 2.0, 0.0)
    assert dict(found.to_first(0.25)) == pytest.approx({phases.WAITING: 4.0, phases.PREFILL: 1.0})
    assert dict(found.to_first(0.375)) == pytest.approx({phases.WAITING: (4.0 + 0.5 * 3.0) / 1.5, phases.PREFILL: 1.0})
    assert dict(found.mean()) == pytest.approx({phases.WAITING: 2.5, phases.PREFILL: 1.0, phases.DECODE: 1.0})


def test_a_long_run_keeps_no_more_moments_than_a_short_one() -> None:
    result = simulate(Fleet(SMALL), AtRandom(0.5, Lengths(100.0), Lengths(20.0), 20_000))
    assert history.MOST / 2 <= len(result.history) <= history.MOST + 1
    gaps = {round(b.at_s - a.at_s, 9) for a, b in itertools.pairwise(result.history[:-1])}
    assert len(gaps) == 1
