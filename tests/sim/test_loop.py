"""The closed loop against one that counts every step, and against what queues cannot break."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.sim.loop import LoopResult, Service, closed_loop

whole = st.integers(1, 6)


def service(
    a: float = 0.02, b: float = 0.003, prefill: float = 0.1, together: int = 1, slots: float = 1e9, fixed: float = 0.0,
    step: float = 0.0,
) -> Service:  # fmt: skip
    """A decode step takes a + b seconds for each running request."""
    return Service(lambda n: a + b * n, prefill, float(together), fixed, slots, step)


def stepwise(of: Service, concurrency: int, osl: int, waves: int) -> LoopResult:
    """The same loop, one decode step after the other: prompts come first and hold up whoever decodes."""
    now, sent, done, busy = 0.0, concurrency, 0, 0.0
    total = concurrency * waves
    waiting: deque[float] = deque([0.0] * concurrency)
    running: list[list[float]] = []
    ttft: list[float] = []
    tpot: list[float] = []
    while done < total:
        if waiting and len(running) < of.slots:
            taken = min(len(waiting), int(of.together), int(min(of.slots, 1e6)) - len(running))
            now += of.step_s + of.prefill_s * taken
            for _ in range(taken):
                ttft.append(now - waiting.popleft())
                running.append([now, osl])
            continue
        step = of.decode_s(len(running))
        now += step
        busy += step * len(running)
        for one in running:
            one[1] -= 1
        for one in [r for r in running if r[1] == 0]:
            running.remove(one)
            tpot.append((now - one[0]) / osl)
            done += 1
            if sent < total:
                sent += 1
                waiting.append(now)
    spent = now + (total / concurrency * of.fixed_s if concurrency <= of.slots else 0.0)
    batch = busy / spent
    return LoopResult(
        sum(ttft) / total + of.fixed_s, sum(tpot) / total, total * osl / spent, batch, max(concurrency - batch, 0.0)
    )


@given(
    whole, whole, st.integers(1, 20), st.integers(1, 8), st.integers(1, 8), st.sampled_from([0.0, 0.05, 1.0]),
    st.sampled_from([0.0, 0.3]),
)  # fmt: skip
def test_it_agrees_with_a_loop_that_counts_steps(
    concurrency: int, waves: int, osl: int, slots: int, together: int, prefill: float, step: float
) -> None:
    of = service(prefill=prefill, slots=float(slots), together=together, fixed=0.01, step=step)
    fast, slow = closed_loop(of, concurrency, osl, waves, spread=0.0), stepwise(of, concurrency, osl, waves)
    for field in ("ttft_s", "tpot_s", "tokens_per_s", "batch", "queued"):
        assert getattr(fast, field) == pytest.approx(getattr(slow, field), rel=1e-9, abs=1e-9), field


def test_one_request_at_a_time_waits_for_nobody() -> None:
    run = closed_loop(service(fixed=0.05), 1, 100)
    assert run.ttft_s == pytest.approx(0.1 + 0.05)
    assert run.tpot_s == pytest.approx(0.023)
    assert run.batch == pytest.approx(2.3 / 2.45, rel=1e-3)  # the rest of the time is a prompt's and the fixed part


def test_the_first_burst_waits_in_line() -> None:
    run = closed_loop(service(), 4, 1000, waves=1, spread=0.0)
    assert run.ttft_s == pytest.approx((0.1 + 0.2 + 0.3 + 0.4) / 4)
    assert closed_loop(service(together=4), 4, 1000, waves=1, spread=0.0).ttft_s == pytest.approx(0.4)


def test_prompts_that_share_a_step_pay_for_it_once() -> None:
    # 0.5 a step and 0.1 a prompt: four prompts in one step, in two, in four
    for together, firsts in ((4, [0.9] * 4), (2, [0.7, 0.7, 1.4, 1.4]), (1, [0.6, 1.2, 1.8, 2.4])):
        run = closed_loop(service(together=together, step=0.5), 4, 1000, waves=1, spread=0.0)
        assert run.ttft_s == pytest.approx(sum(firsts) / 4)


def test_many_requests_pay_for_as_many_steps() -> None:
    # 96 requests in 48 groups of two: a group takes two steps of 0.012, its prompts done on average half a step early
    run = closed_loop(service(prefill=0.002, step=0.01), 96, 1e6, waves=1, spread=0.0)
    assert run.ttft_s == pytest.approx(96 * 0.012 / 2 + 0.012 / 2)


def test_prompts_hold_up_those_that_decode() -> None:
    alone, mixed = closed_loop(service(prefill=0.0), 8, 100), closed_loop(service(prefill=0.1), 8, 100)
    assert mixed.tpot_s > alone.tpot_s
    # in a long run each request is held up by about one prompt of each other
    long = closed_loop(service(prefill=0.1), 8, 100, waves=400)
    assert long.tpot_s == pytest.approx(0.02 + 0.003 * 8 + 7 * 0.1 / 100, rel=0.03)


def test_those_without_a_slot_wait() -> None:
    run = closed_loop(service(slots=4.0), 16, 100, waves=50)
    assert run.batch <= 4.0
    assert run.queued == pytest.approx(16 - run.batch)
    served = closed_loop(service(slots=4.0), 4, 100, waves=50)
    assert run.tpot_s == pytest.approx(served.tpot_s, rel=0.02)
    assert run.tokens_per_s == pytest.approx(served.tokens_per_s, rel=0.02)
    assert run.ttft_s == pytest.approx(12 / 4 * (served.tpot_s * 100 + served.ttft_s), rel=0.1)


@given(
    st.integers(1, 400), st.floats(1.0, 2000.0), st.floats(0.001, 0.1), st.floats(0.0, 0.01), st.floats(0.0, 0.5),
    st.sampled_from([1, 4, 16]), st.sampled_from([1.0, 7.0, 50.0, 1e9]),
)  # fmt: skip
def test_little_and_what_is_in_flight(
    concurrency: int, osl: float, a: float, b: float, prefill: float, together: int, slots: float
) -> None:
    of = service(a, b, prefill, together, slots)
    run = closed_loop(of, concurrency, osl, waves=10)
    assert run.batch + run.queued == pytest.approx(max(concurrency, run.batch))
    assert 0.0 < run.batch <= min(concurrency, max(slots, concurrency / 24, 1.0)) * (1 + 1e-9)
    assert run.tpot_s >= of.decode_s(1.0) * (1 - 1e-9)
    assert run.ttft_s >= prefill - 1e-9
    # no more tokens than the fullest batch makes
    assert run.tokens_per_s <= 1.1 * max(concurrency, 1.0) / of.decode_s(concurrency if b else 1.0)


@pytest.mark.parametrize("concurrency", [1, 3, 16, 48, 100])
@pytest.mark.parametrize("slots", [2.0, 12.0, 1e9])
def test_little_in_a_long_run(concurrency: int, slots: float) -> None:
    """In flight = rate x time in the system; the tail, when nobody follows, is all that is missing."""
    run = closed_loop(service(slots=slots), concurrency, 200, waves=300)
    assert run.tokens_per_s / 200 * (run.ttft_s + 200 * run.tpot_s) == pytest.approx(concurrency, rel=0.02)


def test_many_requests_go_by_in_equal_groups() -> None:
    exact, grouped = (closed_loop(service(b=0.0005, prefill=0.01), n, 200) for n in (48, 49))
    for field in ("ttft_s", "tpot_s", "tokens_per_s", "batch"):
        assert getattr(grouped, field) == pytest.approx(getattr(exact, field), rel=0.06), field


def test_requests_that_end_together_are_not_held_up_by_who_follows() -> None:
    run = closed_loop(service(prefill=10.0, together=2), 2, 5, waves=2, spread=0.0)
    assert run.tpot_s == pytest.approx(0.026)


def test_more_slots_are_never_fewer_tokens() -> None:
    rates = [closed_loop(service(slots=float(n)), 32, 100).tokens_per_s for n in (1, 2, 8, 16, 32, 64)]
    assert rates == sorted(rates)
