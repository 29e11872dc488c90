"""Limits of a key: never more in any window than it says, whatever the crowd, and no less than it says for long."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.serve.api.refusal import RefusedError
from windtunnel.serve.door.limits import MINUTE_S, SLOTS, Allowance, Limits, Window, duration

SLOT_S = MINUTE_S / SLOTS


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def admitted(allowance: Allowance, tokens: int | None = None) -> bool:
    try:
        if tokens is None:
            allowance.enter()
        else:
            allowance.hold(tokens)
    except RefusedError as refused:
        return (refused.status, refused.code) != (429, "rate_limit_exceeded")
    return True


def test_requests_of_a_minute() -> None:
    clock = Clock()
    allowance = Allowance(Limits(requests_per_min=2), clock)
    assert [admitted(allowance) for _ in range(3)] == [True, True, False]
    with pytest.raises(RefusedError, match="this key's limit is 2 requests per minute") as refused:
        allowance.enter()
    assert refused.value.headers() == {"Retry-After": "61"}  # 60.25 s: the slot has to be past as a whole
    clock.now_s = 60.0
    assert not admitted(allowance)
    clock.now_s = 60.25
    assert [admitted(allowance) for _ in range(3)] == [True, True, False]


def test_requests_at_once() -> None:
    allowance = Allowance(Limits(most_in_flight=2), Clock())
    assert [admitted(allowance) for _ in range(3)] == [True, True, False]
    allowance.leave(0, 0)
    assert [admitted(allowance) for _ in range(2)] == [True, False]


def test_what_was_held_and_not_used_comes_back() -> None:
    clock = Clock()
    allowance = Allowance(Limits(tokens_per_min=1000), clock)
    assert admitted(allowance)
    assert admitted(allowance, 600)
    assert not admitted(allowance, 401)
    assert allowance.headers()["x-ratelimit-remaining-tokens"] == "400"
    allowance.leave(600, 100)
    assert allowance.headers()["x-ratelimit-remaining-tokens"] == "900"
    assert admitted(allowance, 900)
    assert not admitted(allowance, 1)


def test_tokens_count_when_the_answer_ends_however_long_it_took() -> None:
    clock = Clock()
    allowance = Allowance(Limits(tokens_per_min=1000), clock)
    allowance.enter()
    allowance.hold(800)
    clock.now_s = 300.0
    allowance.leave(800, 800)
    assert not admitted(allowance, 201)
    clock.now_s = 361.0
    assert admitted(allowance, 1000)


def test_more_used_than_held_is_owed() -> None:
    clock = Clock()
    allowance = Allowance(Limits(tokens_per_min=100), clock)
    allowance.enter()
    allowance.hold(50)
    allowance.leave(50, 500)
    assert allowance.headers()["x-ratelimit-remaining-tokens"] == "0"
    assert not admitted(allowance, 1)


def test_what_never_fits_says_so_and_is_not_to_be_retried() -> None:
    allowance = Allowance(Limits(tokens_per_day=1000), Clock())
    with pytest.raises(RefusedError, match="limit is 1,000 tokens per day, and the request may come to 1,001") as refused:
        allowance.hold(1001)
    assert refused.value.headers() == {"x-should-retry": "false"}


def test_the_day_is_the_last_24_hours() -> None:
    clock = Clock()
    allowance = Allowance(Limits(tokens_per_day=1000), clock)
    allowance.enter()
    allowance.hold(1000)
    allowance.leave(1000, 1000)
    clock.now_s = 86_400.0
    with pytest.raises(RefusedError) as refused:
        allowance.hold(10)
    assert refused.value.headers() == {"Retry-After": "360"}  # the rest of a slot of six minutes
    clock.now_s = 86_760.0
    assert admitted(allowance, 10)


def test_headers_are_of_the_limit_with_less_left() -> None:
    clock = Clock()
    allowance = Allowance(Limits(requests_per_min=10, tokens_per_min=100, tokens_per_day=120), clock)
    allowance.enter()
    allowance.hold(50)
    allowance.leave(50, 50)
    clock.now_s = 100.0
    assert allowance.headers() == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "10",
        "x-ratelimit-reset-requests": "0ms",
        "x-ratelimit-limit-tokens": "120",
        "x-ratelimit-remaining-tokens": "70",
        "x-ratelimit-reset-tokens": "24h4m20s",  # 86,400 + 360 - 100
    }


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0, "0ms"), (0.0121, "13ms"), (1.25, "1.25s"), (59.9999, "60s"), (360.0, "6m0s"), (3661.0, "1h1m1s")]
)
def test_times_are_written_as_the_api_writes_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told


events = st.lists(st.tuples(st.floats(0.0, 40.0), st.integers(1, 30)), max_size=60)


@given(events, st.integers(1, 60))
@settings(max_examples=200, deadline=None)
def test_no_window_ever_holds_more_and_waits_are_as_told(gaps: list[tuple[float, int]], most: int) -> None:
    window, now_s = Window(most, MINUTE_S), 1000.0
    taken: list[tuple[float, int]] = []
    for gap_s, amount in gaps:
        now_s += gap_s
        wait_s = window.wait_s(now_s, amount)
        last_minute = sum(used for at, used in taken if at > now_s - MINUTE_S)
        last_slots = sum(used for at, used in taken if at > now_s - MINUTE_S - SLOT_S - 1e-9)
        if wait_s == 0:
            assert last_minute + amount <= most  # never more, in any minute that ends here
            window.add(now_s, amount)
            taken.append((now_s, amount))
        else:
            assert last_slots + amount > most  # and refused only where a slot more would be too many
            assert math.isinf(wait_s) == (amount > most)
            if amount <= most:
                later_s = now_s + wait_s
                assert sum(used for at, used in taken if at > later_s - MINUTE_S) + amount <= most
    assert window.used >= 0


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 50), st.floats(0.0, 20.0)), max_size=80), st.integers(1, 100))
@settings(max_examples=200, deadline=None)
def test_a_crowd_keeps_the_limit_of_tokens(steps: list[tuple[bool, int, float]], most: int) -> None:
    """Requests that use at most what they hold, begun and ended in any order: no minute sees more used than the limit."""
    clock = Clock()
    allowance = Allowance(Limits(tokens_per_min=most), clock)
    under_way: list[int] = []
    used: list[tuple[float, int]] = []
    for begins, tokens, gap_s in steps:
        clock.now_s += gap_s
        if begins:
            allowance.enter()
            if admitted(allowance, tokens):
                under_way.append(tokens)
            else:
                allowance.leave(0, 0)
        elif under_way:
            held = under_way.pop(0)
            allowance.leave(held, min(held, tokens))
            used.append((clock.now_s, min(held, tokens)))
        last_minute = sum(amount for at, amount in used if at > clock.now_s - MINUTE_S)
        assert last_minute + sum(under_way) <= most
    assert allowance.in_flight == len(under_way)
    assert allowance.held == sum(under_way)
