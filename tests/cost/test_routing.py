"""How many experts uneven routing touches, and how full the fullest rank gets: at the ends and in between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.cost.formulas import PLAIN
from windtunnel.cost.routing import hottest_rank, touched_experts

mixtures = st.sampled_from([(8.0, 2.0), (64.0, 6.0), (128.0, 4.0), (128.0, 8.0), (256.0, 8.0), (512.0, 10.0), (16.0, 16.0)])
shares = st.floats(0.0, 1.0)
counts = st.one_of(st.floats(0.01, 64.0), st.floats(1.0, 1e6))


@pytest.mark.parametrize("evenness", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize(("experts", "topk"), [(256.0, 8.0), (128.0, 4.0), (8.0, 2.0)])
def test_one_token_touches_the_experts_it_is_sent_to(experts: float, topk: float, evenness: float) -> None:
    assert touched_experts(PLAIN, 1.0, topk, experts, evenness) == pytest.approx(topk)


@pytest.mark.parametrize("evenness", [0.0, 0.5, 1.0])
def test_many_tokens_touch_all_experts(evenness: float) -> None:
    assert touched_experts(PLAIN, 1e6, 8.0, 256.0, evenness) == pytest.approx(256.0, rel=0.03)
    assert touched_experts(PLAIN, 1e30, 8.0, 256.0, evenness) == pytest.approx(256.0, rel=1e-3)


def test_even_routing_is_the_expectation_of_independent_choices() -> None:
    assert touched_experts(PLAIN, 64.0, 8.0, 256.0, 1.0) == pytest.approx(256.0 * (1.0 - (248.0 / 256.0) ** 64))


def test_a_part_of_a_token_touches_a_part() -> None:
    assert touched_experts(PLAIN, 0.25, 8.0, 256.0, 0.5) == pytest.approx(2.0)


@given(counts, mixtures, shares)
def test_touched_experts_are_between_one_token_and_all(tokens: float, of: tuple[float, float], evenness: float) -> None:
    experts, topk = of
    touched = touched_experts(PLAIN, tokens, topk, experts, evenness)
    assert min(topk, tokens * topk) * (1 - 1e-9) <= touched <= min(experts, tokens * topk) * (1 + 1e-9)


@given(counts, st.floats(1.0, 10.0), mixtures, shares)
def test_more_tokens_touch_no_fewer(tokens: float, times: float, of: tuple[float, float], evenness: float) -> None:
    experts, topk = of
    fewer, more = (touched_experts(PLAIN, n, topk, experts, evenness) for n in (tokens, tokens * times))
    assert more >= fewer * (1 - 1e-9)


@given(counts, mixtures)
def test_one_rank_is_the_mean(tokens: float, of: tuple[float, float]) -> None:
    assert hottest_rank(PLAIN, tokens, of[0], 1.0) == 1.0


@given(counts, st.floats(1.0, 10.0), st.sampled_from([2.0, 4.0, 8.0, 32.0, 256.0]))
def test_the_fullest_rank_holds_more_than_the_mean_and_no_more_than_all(tokens: float, times: float, ranks: float) -> None:
    hottest = hottest_rank(PLAIN, tokens, 256.0, ranks)
    assert 1.0 < hottest <= ranks
    assert hottest_rank(PLAIN, tokens * times, 256.0, ranks) >= hottest


def test_more_ranks_are_less_even() -> None:
    loads = [hottest_rank(PLAIN, 4096.0, 256.0, ranks) for ranks in (1.0, 2.0, 8.0, 32.0, 256.0)]
    assert loads == sorted(loads)
    assert loads[-1] > 2.0


def test_arrays_take_the_same_lines() -> None:
    np = pytest.importorskip("numpy")
    tokens = np.array([1.0, 37.0, 9000.0])
    touched = [touched_experts(PLAIN, n, 8.0, 256.0, 0.4) for n in tokens.tolist()]
    assert touched_experts(np, tokens, 8.0, 256.0, 0.4).tolist() == pytest.approx(touched, rel=1e-12)
    hottest = [hottest_rank(PLAIN, n, 256.0, 8.0) for n in tokens.tolist()]
    assert hottest_rank(np, tokens, 256.0, 8.0).tolist() == pytest.approx(hottest, rel=1e-12)
