"""Which lane takes a request: times worked out by hand for lanes of known speed, what always holds, and what a choice costs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serve.steer.lanes import TARGETS, Clock, Even, asked, steering
from windtunnel.errors import InvalidInputError
from windtunnel.serve.steer.steering import Steering
from windtunnel.serve.steer.ticket import Ticket
from windtunnel.serve.steer.wanted import Lane, Targets

# worked out by hand


def test_an_idle_lane_takes_its_prompt_and_a_step_alone() -> None:
    of, _ = steering(a=Lane(Even(fixed_s=0.25)))
    (pick,) = of.ranked(asked(1000), ["a"])
    assert pick.ttft_s == pytest.approx(1.0 + 0.25)
    assert pick.tpot_s == pytest.approx(0.011)


def test_whoever_comes_second_waits_for_what_is_left_of_the_first() -> None:
    of, clock = steering(a=Lane(Even()))
    of.sent("a", asked(1000))
    clock.now = 0.4
    (pick,) = of.ranked(asked(500), ["a"])
    assert pick.ttft_s == pytest.approx(1.0 - 0.4 + 0.5)
    assert pick.tpot_s == pytest.approx(0.012)  # two decode by then


def test_a_prompt_that_is_late_counts_against_its_lane() -> None:
    of, clock = steering(a=Lane(Even()))
    of.sent("a", asked(1000))
    clock.now = 3.0
    (pick,) = of.ranked(asked(500), ["a"])
    assert pick.ttft_s == pytest.approx(0.5 + 2.0)  # its own, and the two seconds by which the first is late


def test_a_prompt_goes_in_chunks_between_the_steps_of_those_that_decode() -> None:
    of, clock = steering(a=Lane(Even(chunk_tokens=251.0)))
    ticket = of.sent("a", asked(1000))
    clock.now = 1.0
    of.first(ticket)
    (pick,) = of.ranked(asked(1000), ["a"])
    # 250 tokens beside one that decodes: four steps of 11 ms beside the second of prefill, after half a step on average
    assert pick.ttft_s == pytest.approx(1.0 + 4.5 * 0.011)
    # prompts took one second of the last ten, as they are averaged
    assert pick.tpot_s == pytest.approx(0.012 / 0.9)


def test_a_full_cache_makes_wait() -> None:
    of, clock = steering(a=Lane(Even(kv_tokens=1500.0)), b=Lane(Even(step_s=0.02)))
    ticket = of.sent("a", asked(1000))
    clock.now = 1.0
    of.first(ticket)
    picks = {pick.lane: pick for pick in of.ranked(asked(1000), ["a", "b"])}
    # two prompts and what they will be answered with are 2257 tokens for 1500 places: two thirds of both run at once, and
    # what does not is computed again; prompts took a second of ten
    tpot = (0.010 + 0.001 * 2 * 1500 / 2257) / 0.9 * 2257 / 1500
    assert picks["a"].tpot_s == pytest.approx(tpot)
    # half of what runs must go, and has half an answer of 256 tokens to go
    assert picks["a"].ttft_s == pytest.approx(1.0 + 1.5 * 0.011 + 501 / 1001 * 128 * tpot)
    assert of.ranked(asked(1000), ["a", "b"])[0].lane == "b"


def test_a_lane_with_room_for_so_many_makes_the_next_wait() -> None:
    of, clock = steering(a=Lane(Even(most_running=1.0)))
    ticket = of.sent("a", asked(100))
    clock.now = 0.1
    of.first(ticket)
    (pick,) = of.ranked(asked(100), ["a"])
    assert pick.ttft_s > 1.0
    of.ended(ticket, True)
    assert of.ranked(asked(100), ["a"])[0].ttft_s == pytest.approx(0.1)


def test_long_prompts_and_long_answers_part() -> None:
    """One lane prefills four times as fast, the other decodes faster: each gets what it is better at."""
    of, _ = steering(prefills=Lane(Even(2.5e-4, 0.035)), decodes=Lane(Even(1e-3, 0.010)))
    both = ["prefills", "decodes"]
    assert of.ranked(asked(3000), both)[0].lane == "prefills"  # 3 s on the other
    assert of.ranked(asked(300), both)[0].lane == "decodes"


def test_what_is_in_the_prefix_cache_is_not_computed() -> None:
    of, clock = steering(a=Lane(Even()), b=Lane(Even()))
    segments = tuple(range(1, 11))
    of.ended(of.sent("b", asked(1000, segments)), True)
    clock.now = 5.0
    first, second = of.ranked(asked(1050, (*segments[:8], 98, 99)), ["a", "b"])
    assert (first.lane, first.cached_tokens) == ("b", 800)
    assert first.ttft_s == pytest.approx(0.25)
    assert second.cached_tokens == 0
    assert second.ttft_s == pytest.approx(1.05)
    of.restarted("b")
    assert of.ranked(asked(1050, segments), ["b"])[0].cached_tokens == 0


def test_one_token_at_least_is_computed() -> None:
    of, _ = steering(a=Lane(Even()))
    of.sent("a", asked(1000, tuple(range(10))))
    assert of.ranked(asked(1000, tuple(range(10))), ["a"])[0].cached_tokens == 999


def test_the_cheaper_of_equals_until_it_is_full() -> None:
    of, _ = steering(dear=Lane(Even(), 2.0), cheap=Lane(Even(), 1.0))
    both = ["dear", "cheap"]
    assert of.ranked(asked(100), both)[0].lane == "cheap"
    for _ in range(40):
        of.sent("cheap", asked(100))
    assert of.ranked(asked(100), both)[0].lane == "dear"  # 4 s of prompts wait at the other


def test_of_two_that_are_too_slow_the_less_bad() -> None:
    of, _ = steering(slow=Lane(Even(0.01, 0.2)), worse=Lane(Even(0.02, 0.4)))
    assert [pick.lane for pick in of.ranked(asked(1000), ["worse", "slow"])] == ["slow", "worse"]


def test_a_long_prompt_keeps_away_from_answers_that_it_would_spoil() -> None:
    """The busy lane would be as fast for the request itself, but 30 answers there are near their target."""
    of, clock = steering(busy=Lane(Even(each_s=0.001)), idle=Lane(Even(1.2e-3, 0.040)))
    for _ in range(30):
        ticket = of.sent("busy", asked(1))
        of.first(ticket)
    clock.now = 60.0
    assert of.ranked(asked(1500), ["busy", "idle"])[0].lane == "idle"


# what always holds


@given(
    st.lists(st.tuples(st.floats(1e-5, 1e-2), st.floats(0.001, 0.2)), min_size=1, max_size=6),
    st.integers(1, 20_000),
    st.integers(0, 63),
)
def test_an_idle_lane_that_is_faster_at_both_is_taken(speeds: list[tuple[float, float]], prompt: int, bits: int) -> None:
    lanes = {str(i): Lane(Even(a, step)) for i, (a, step) in enumerate(speeds)}
    of = Steering(lanes, TARGETS, Clock())
    able = [name for i, name in enumerate(lanes) if bits >> i & 1]
    picks = of.ranked(asked(prompt), able)
    assert {pick.lane for pick in picks} == set(able)  # and no lane that is not able
    if picks:
        best = picks[0]
        assert not any(pick.ttft_s < best.ttft_s and pick.tpot_s < best.tpot_s for pick in picks)


def test_no_lane_is_given_more_than_it_may_have() -> None:
    of, _ = steering(a=Lane(Even(), most_in_flight=2), b=Lane(Even(), most_in_flight=1))
    tickets = []
    for _ in range(3):
        lane = of.ranked(asked(), ["a", "b"])[0].lane
        tickets.append(of.sent(lane, asked()))
    assert sorted(ticket.lane for ticket in tickets) == ["a", "a", "b"]
    assert of.ranked(asked(), ["a", "b"]) == []
    of.ended(tickets[0], False)
    assert [pick.lane for pick in of.ranked(asked(), ["a", "b"])] == [tickets[0].lane]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.floats(0.0, 1.0), st.booleans()), max_size=120))
def test_nothing_is_left_when_all_have_ended(steps: list[tuple[int, int, float, bool]]) -> None:
    """Whatever order things are told in, ends before first tokens, twice, and after a restart among them."""
    of, clock = steering(a=Lane(Even()), b=Lane(None), c=Lane(Even(kv_tokens=5000.0, engines=2, prefillers=1)))
    tickets: list[Ticket] = []
    for what, which, seconds, flag in steps:
        clock.now += seconds
        ticket = tickets[which % len(tickets)] if tickets else None
        if what <= 1 or ticket is None:
            wanted = asked(100 + 37 * which, tuple(range(which % 7)), streams=flag)
            picks = of.ranked(wanted, ["a", "b", "c"])
            tickets.append(of.sent(picks[which % len(picks)].lane, wanted))
        elif what == 2:
            of.first(ticket)
        elif what == 3:
            of.tokens(ticket, which)
        elif what == 4:
            of.ended(ticket, flag, which if flag else None)
        elif which == 0:
            of.restarted("a")
    for ticket in tickets:
        of.ended(ticket, True)
    for name in ("a", "b", "c"):
        lane = of._traffic[name]
        assert of.seen(name).in_flight == of.seen(name).waiting == 0
        assert (lane.waiting_s, lane.waiting_new, lane.waiting_prompts, lane.context, lane.own, lane.each) == (0, 0, 0, 0, 0, 0)


def test_answers_that_do_not_stream_are_taken_to_begin_when_it_was_predicted() -> None:
    of, clock = steering(a=Lane(Even()))
    of.sent("a", asked(1000, streams=False))
    clock.now = 0.9
    of.ranked(asked(), ["a"])
    assert of.seen("a").waiting == 1
    clock.now = 1.1
    of.ranked(asked(), ["a"])
    assert (of.seen("a").waiting, of.seen("a").in_flight) == (0, 1)
    assert of.seen("a").measured_ttft.mean == 0.0  # nothing was measured


def test_lanes_come_and_go() -> None:
    of, _ = steering(a=Lane(Even()), b=Lane(Even()))
    ticket = of.sent("a", asked(1000, (1, 2)))
    of.remove("a")
    of.first(ticket)
    of.ended(ticket, True)
    of.add("c", Lane(Even()))  # in the place of the one that went
    assert of.ranked(asked(1000, (1, 2)), ["c"])[0].cached_tokens == 0


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan])
def test_a_target_is_above_zero(wrong: float) -> None:
    with pytest.raises(InvalidInputError, match="target of tpot"):
        Targets(tpot_s=wrong)


# what it costs


def _turns() -> Iterator[float]:
    """CPU seconds of a plain piece of Python, about 50 microseconds on a core of 2024 that does nothing else."""
    while True:
        began = time.process_time()
        for _ in range(20):
            sum(i * i for i in range(1000))
        yield (time.process_time() - began) / 20


def test_a_choice_among_sixteen_lanes_takes_less_than_a_hundred_microseconds() -> None:
    """Held against a plain piece of Python beside it, so that a slow or a busy machine does not matter."""
    of, clock = steering(**{f"lane {i}": Lane(Even(1e-4 * (1 + i % 4))) for i in range(16)})
    names = [f"lane {i}" for i in range(16)]
    for i in range(320):
        ticket = of.sent(names[i % 16], asked(1000))
        if i % 5:
            of.first(ticket)
    clock.now = 1.0
    wanted, turns, ratios = asked(1000), _turns(), []
    for _ in range(15):
        plain = next(turns)
        began = time.process_time()
        for _ in range(20):
            of.ranked(wanted, names)
        ratios.append((time.process_time() - began) / 20 / plain)
    assert sorted(ratios)[len(ratios) // 2] < 2.0
