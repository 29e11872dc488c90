"""Tokens told one by one come when the simulation, which counts them by the run, says that they are there."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest

from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving.fleet import Failures, Fleet
from windtunnel.sim.serving.live import Live
from windtunnel.sim.serving.request import Request, Task
from windtunnel.sim.serving.settings import Options
from windtunnel.sim.serving.simulation import Simulation

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
ONE = Fleet(Deployment(MODEL, "h20"))
SOME = [Request(0.07 * i + 0.5 * (i // 7), 200 + 977 * i % 3000, 1 + 71 * i % 160) for i in range(60)]


def told(
    fleet: Fleet, requests: list[Request], tick_s: float = 0.01
) -> tuple[dict[int, list[float]], dict[int, tuple[float, float]]]:
    """The times of each request's tokens as Live tells them, and those of the first and the last as they are counted."""
    simulation = Simulation(fleet, 1500, 100)
    live = Live(simulation)
    times: dict[int, list[float]] = defaultdict(list)
    counted: dict[int, tuple[float, float]] = {}

    def answered(task: Task, at: float) -> None:
        counted[task.id] = (task.first_s + task.late_s + simulation.fixed_s, at)

    simulation.answered = answered
    left, now = list(requests), 0.0
    while left or simulation.tally.in_flight or live.pending:
        now = min(left[0].arrival_s if left else math.inf, max(now + tick_s, live.next_s))
        for event in live.advance(now):
            assert event.at_s <= now
            times[event.task.id] += [event.at_s] * event.count
            assert event.done == (len(times[event.task.id]) == event.task.output_tokens)
        while left and left[0].arrival_s <= now:
            assert isinstance(live.submit(left.pop(0)), Task)
    return times, counted


@pytest.mark.parametrize(
    "fleet",
    [
        ONE,
        Fleet(Deployment(MODEL, "h20"), replicas=3),
        Fleet(Deployment(MODEL, "h20"), options=Options(kv_tokens=6000)),
        Fleet(Deployment(MODEL, "h20"), prefill=Deployment(MODEL, "ascend-910c"), prefill_replicas=2),
    ],
    ids=["one", "three", "preempting", "apart"],
)  # fmt: skip
def test_each_token_comes_when_the_simulation_has_it(fleet: Fleet) -> None:
    times, counted = told(fleet, SOME)
    assert len(times) == len(counted) == len(SOME)
    for number, request in enumerate(SOME, 1):
        came = times[number]
        assert len(came) == request.output_tokens
        assert came == sorted(came)
        first, last = counted[number]
        assert came[0] == pytest.approx(first, abs=1e-9)
        assert came[-1] == pytest.approx(last, abs=1e-9)


def test_tokens_are_spread_over_their_steps() -> None:
    times, _ = told(ONE, [Request(0.0, 1000, 200)])
    gaps = [b - a for a, b in zip(times[1], times[1][1:], strict=False)]
    assert max(gaps) < 1.2 * min(gaps)


def test_an_abandoned_request_makes_room_for_the_others() -> None:
    busy = Fleet(Deployment(MODEL, "h20"), options=Options(max_running=1))
    simulation = Simulation(busy, 1500, 100)
    live = Live(simulation)
    first, second, third = (live.submit(Request(0.0, 500, 5000)) for _ in range(3))
    assert isinstance(first, Task)
    assert isinstance(second, Task)
    assert isinstance(third, Task)
    live.advance(1.0)
    live.abort(third, 1.0)  # it waited still
    live.abort(first, 1.0)  # it was running
    came = live.advance(2.0)
    assert {event.task.id for event in came} == {second.id}
    live.abort(second, 2.0)
    assert not live.advance(100.0)
    assert live.next_s == math.inf
    engine = simulation.engines[0]
    assert (engine.load, engine.context, engine.reserved, len(engine.running)) == (0, 0, 0, 0)


def test_a_failure_stalls_and_repeats_nothing() -> None:
    times, _ = told(Fleet(Deployment(MODEL, "h20"), failures=Failures(2.0, 0.5)), SOME[:20])
    assert [len(times[i]) for i in range(1, 21)] == [request.output_tokens for request in SOME[:20]]


def test_refusals_say_why() -> None:
    live = Live(Simulation(ONE, 1500, 100))
    assert live.submit(Request(0.0, 10_000_000, 5)) == "longer than the model's context"
