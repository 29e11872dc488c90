"""What is learned of a lane from its answers: its speed, its room, how long answers are, and that it has recovered."""

from __future__ import annotations

import pytest

from tests.serve.steer.lanes import Even, answered, asked, steering
from windtunnel.serve.steer.learned import FADE_AFTER_S, FADE_HALF_S, FEWEST
from windtunnel.serve.steer.wanted import Lane, Wanted


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
