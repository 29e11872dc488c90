"""Which lane takes a request: times worked out by hand for lanes of known speed, what always holds, and what is learned."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel.errors import InvalidInputError
from windtunnel.serve.steer.learned import FADE_AFTER_S, FADE_HALF_S, FEWEST
from windtunnel.serve.steer.steering import Steering
from windtunnel.serve.steer.ticket import Ticket
from windtunnel.serve.steer.wanted import Lane, Targets, Wanted

TARGETS = Targets(ttft_s=2.0, tpot_s=0.05)


@dataclass
class Even:
    """A millisecond a token of the prompt; a step of 10 ms, and 1 ms for each that decodes in it."""

    a_token_s: float = 1e-3
    step_s: float = 0.010
    each_s: float = 0.001
    chunk_tokens: float = 8192.0
    most_running: float = math.inf
    kv_tokens: float = math.inf
    engines: int = 1
    prefillers: int = 0
    beside: float = 1.0
    prefix_tokens: float = 10_000.0
    fixed_s: float = 0.0

    def prefill_s(self, tokens: float, held: float) -> float:
        return tokens * self.a_token_s

    def decode_s(self, running: float, context: float) -> float:
        return self.step_s + self.each_s * running


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def steering(**lanes: Lane) -> tuple[Steering, Clock]:
    clock = Clock()
    return Steering(lanes, TARGETS, clock), clock


def asked(tokens: int = 1000, segments: tuple[int, ...] = (), **more: bool) -> Wanted:
    return Wanted("m", tokens, segments, segment_tokens=100, **more)


def answered(of: Steering, clock: Clock, lane: str, ttft_s: float, tpot_s: float, tokens: int = 64) -> None:
    """One request through a lane, with nothing beside it."""
    ticket = of.sent(lane, asked(500))
    clock.now += ttft_s
    of.first(ticket)
    for _ in range(tokens - 1):
        clock.now += tpot_s
        of.tokens(ticket, 1)
    of.ended(ticket, True)


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


# what is learned


def test_a_lane_that_becomes_three_times_as_slow_is_known_in_thirty_answers_and_when_it_recovers() -> None:
    of, clock = steering(a=Lane(Even()))
    for _ in range(30):
        answered(of, clock, "a", 0.5, 0.011)
    assert of.seen("a").learned_ttft == pytest.approx(1.0, abs=0.02)
    assert of.seen("a").learned_tpot == pytest.approx(1.0, abs=0.02)
    for _ in range(30):
        answered(of, clock, "a", 1.5, 0.033)
    (pick,) = of.ranked(asked(500), ["a"])
    assert pick.ttft_s == pytest.approx(1.5, rel=0.15)
    assert of.seen("a").learned_tpot == pytest.approx(3.0, rel=0.15)
    for _ in range(60):
        answered(of, clock, "a", 0.5, 0.011)
    (pick,) = of.ranked(asked(500), ["a"])
    assert pick.ttft_s == pytest.approx(0.5, rel=0.1)
    assert of.seen("a").learned_tpot == pytest.approx(1.0, rel=0.1)
    assert of.seen("a").answers == 120


def test_prefill_and_decode_are_learned_apart() -> None:
    of, clock = steering(a=Lane(Even()))
    for _ in range(40):
        answered(of, clock, "a", 1.0, 0.011)
    assert of.seen("a").learned_tpot == pytest.approx(1.0, rel=0.02)
    assert of.ranked(asked(500), ["a"])[0].ttft_s == pytest.approx(1.0, rel=0.1)


def test_one_outlier_does_not_turn_what_was_learned() -> None:
    of, clock = steering(a=Lane(Even()))
    for _ in range(30):
        answered(of, clock, "a", 0.5, 0.011)
    answered(of, clock, "a", 500.0, 0.011)
    assert of.ranked(asked(500), ["a"])[0].ttft_s < 0.7


def test_a_lane_that_was_slow_is_tried_again_by_one_request_at_a_time() -> None:
    of, clock = steering(a=Lane(Even()), b=Lane(Even(1.3e-3, 0.015)))
    for _ in range(30):
        answered(of, clock, "a", 5.0, 0.11)
    assert of.ranked(asked(500), ["a", "b"])[0].lane == "b"
    clock.now += 36_000.0  # a night without requests is no reason
    assert of.ranked(asked(500), ["a", "b"])[0].lane == "b"
    for _ in range(int(FADE_AFTER_S + 12 * FADE_HALF_S)):
        clock.now += 1.0
        first = of.ranked(asked(500), ["a", "b"])[0].lane
    assert first == "a"
    ticket = of.sent("a", asked(500))
    assert of.ranked(asked(500), ["a", "b"])[0].lane == "b"  # one is enough, to see
    clock.now += 5.0
    of.first(ticket)  # still slow
    of.ended(ticket, True)
    assert of.ranked(asked(500), ["a", "b"])[0].lane == "b"


def test_of_a_lane_that_is_not_described_the_room_is_found_out() -> None:
    """It is tried, though the other would do; not flooded; given more as that goes well, and less when it does not."""
    of, clock = steering(new=Lane(None), told=Lane(Even(2e-4, 0.020)))
    assert not of.seen("new").known

    def wave(ttft_s: float) -> int:
        """How many of sixty requests the new lane gets; its answers take so long, and a tenth of a second at the other."""
        tickets = [of.sent(of.ranked(asked(100), ["new", "told"])[0].lane, asked(100)) for _ in range(60)]
        given = [ticket for ticket in tickets if ticket.lane == "new"]
        for lane, seconds in (("told", 0.1), ("new", ttft_s - 0.1)):
            clock.now += seconds
            there = [ticket for ticket in tickets if ticket.lane == lane]
            for ticket in there:
                of.first(ticket)
            clock.now += 0.2
            for ticket in there:
                of.tokens(ticket, 10)
                of.ended(ticket, True)
        return len(given)

    begun = wave(0.1)
    assert FEWEST <= begun <= 0.5 * 60
    for _ in range(5):
        grown = wave(0.1)
    assert of.seen("new").known
    assert grown > 1.5 * begun
    for _ in range(6):
        shrunk = wave(4.0)
    assert shrunk < 0.5 * grown


def test_the_only_lane_takes_what_it_may_whatever_is_known_of_it() -> None:
    of, _ = steering(a=Lane(None, most_in_flight=50))
    for _ in range(50):
        of.sent(of.ranked(asked(), ["a"])[0].lane, asked())
    assert of.ranked(asked(), ["a"]) == []


def test_the_speed_of_a_lane_that_is_not_described_is_learned_alone() -> None:
    """A start of 0.2 s and 0.5 ms a token; steps of 30 ms."""
    of, clock = steering(a=Lane(None))
    for tokens in (200, 2000, 800, 3000, 400) * 8:
        ticket = of.sent("a", asked(tokens))
        clock.now += 0.2 + 5e-4 * tokens
        of.first(ticket)
        for _ in range(63):
            clock.now += 0.030
            of.tokens(ticket, 1)
        of.ended(ticket, True)
    of.restarted("a")  # which forgets the present load alone
    for tokens in (300, 2500):
        (pick,) = of.ranked(asked(tokens), ["a"])
        assert pick.ttft_s == pytest.approx(0.2 + 5e-4 * tokens, rel=0.1)
        assert pick.tpot_s == pytest.approx(0.030, rel=0.15)


def test_a_lane_is_learned_from_answers_that_come_whole() -> None:
    """A start of 0.2 s and 0.5 ms a token, told by answers of one token; steps of 30 ms, told by those of 64."""
    of, clock = steering(a=Lane(None))
    for tokens in (200, 2000, 800, 3000, 400) * 8:
        for answer in (1, 64):
            ticket = of.sent("a", asked(tokens, streams=False))
            clock.now += 0.2 + 5e-4 * tokens + (answer - 1) * 0.030
            of.ended(ticket, True, answer)
    of.restarted("a")  # which forgets the present load alone
    for tokens in (300, 2500):
        (pick,) = of.ranked(asked(tokens), ["a"])
        assert pick.ttft_s == pytest.approx(0.2 + 5e-4 * tokens, rel=0.15)
        assert pick.tpot_s == pytest.approx(0.030, rel=0.15)
    assert of.seen("a").answers == 80
    assert of.seen("a").measured_ttft.mean == pytest.approx(0.2 + 5e-4 * 1280)  # of answers of one token, and of no others


def test_a_slow_lane_is_known_by_answers_that_come_whole_and_by_those_alone_that_are_well() -> None:
    def sent(ok: bool, tokens: int | None) -> str:
        of, clock = steering(slow=Lane(Even()), other=Lane(Even(step_s=0.02)))
        for _ in range(20):
            ticket = of.sent("slow", asked(500, streams=False))
            clock.now += 0.5 + 99 * 0.080
            of.ranked(asked(500), ["slow", "other"])  # which takes the first token to be there
            of.ended(ticket, ok, tokens)
        return of.ranked(asked(500), ["slow", "other"])[0].lane

    assert sent(True, 100) == "other"
    assert sent(True, None) == sent(False, 100) == "slow"  # nobody knows of how many tokens, or it is not whole


def test_room_grows_with_whole_answers_in_time() -> None:
    of, clock = steering(a=Lane(None))
    for _ in range(6):
        tickets = [of.sent("a", asked(100, streams=False)) for _ in range(16)]
        clock.now += 1.0
        for ticket in tickets:
            of.ended(ticket, True, 64)
    assert of._traffic["a"].learned.window >= 16.0
    tickets = [of.sent("a", asked(100, streams=False)) for _ in range(16)]
    clock.now += 2.0 + 63 * 0.05 + 0.1  # later than both targets together
    for ticket in tickets:
        of.ended(ticket, True, 64)
    assert of._traffic["a"].learned.window < 16.0


def test_answers_are_thought_to_be_as_long_as_those_to_prompts_of_that_length() -> None:
    of, clock = steering(a=Lane(Even()))
    for _ in range(100):
        for prompt, tokens in ((100, 900), (5000, 50)):
            of.ended(of.sent("a", asked(prompt)), True, tokens)
            clock.now += 1.0
    assert of._answer_tokens(asked(110)) == pytest.approx(900, rel=0.1)
    assert of._answer_tokens(asked(5100)) == pytest.approx(50, rel=0.3)
    assert of._answer_tokens(Wanted("m", 110, answer_tokens=16)) == 16


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
