"""The rule of verdicts: what a number as written stands for, and how two ranges compare."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.claims.found import Found, name, number, unknown
from windtunnel.claims.record import Part
from windtunnel.claims.verdict import VERDICTS, Verdict, claimed_range, judge, leaning, overall, rounding
from windtunnel.cost.evidence import Evidence

POSITIVE = st.floats(1e-6, 1e24)


def part(relation: Any = "about", value: float = 1.0, high: float = 0.0, text: str = "") -> Part:
    return Part("a part", relation, "x", value, high or value, text)


@pytest.mark.parametrize(
    ("written", "least", "most"),
    [
        (0.4, 0.35, 0.45),
        (0.667, 0.6665, 0.6675),
        (95, 94.5, 95.5),
        (450_000, 445_000, 455_000),
        (50_000, 45_000, 55_000),
        (1_000_000, 750_000, 1_250_000),  # half a million either way would be more than a quarter
        (2, 1.5, 2.5),
        (10, 7.5, 12.5),
        (12e9, 11.5e9, 12.5e9),
        (5.576e6, 5.5755e6, 5.5765e6),
    ],
)
def test_a_number_stands_for_those_that_round_to_it(written: float, least: float, most: float) -> None:
    assert claimed_range(part(value=written)) == pytest.approx((least, most), rel=1e-12)


@given(POSITIVE)
def test_rounding_is_a_quarter_at_most(value: float) -> None:
    assert 0 < rounding(value) <= 0.25 * value


@given(POSITIVE, st.floats(1e-3, 1e3))
def test_what_is_found_of_itself_holds(value: float, wide: float) -> None:
    assert judge(part(value=value), number(value, "x", "")) == "holds"
    assert judge(part(value=value), number(value * 3, "x", "")) == "does not hold"
    assert judge(part(value=value), number(value, "x", "", value / (1.5 + wide), value)) == "holds in part"


@given(POSITIVE, POSITIVE, POSITIVE)
def test_a_bound_is_passed_or_not(bound: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    found = number(low, "x", "", low, high)
    over, under = judge(part("over", bound), found), judge(part("under", bound), found)
    assert (over == "holds") == (low > bound)
    assert (over == "does not hold") == (high <= bound)
    assert (under == "holds") == (high < bound)
    assert (under == "does not hold") == (low >= bound)


def test_what_equals_a_bound_does_not_pass_it() -> None:
    assert judge(part("over", 1e6), number(1e6, "x", "")) == "does not hold"
    assert judge(part("under", 1.0), number(1.0, "x", "")) == "does not hold"


@pytest.mark.parametrize(
    ("relation", "value", "high", "low_found", "high_found", "verdict"),
    [
        ("between", 1.3, 1.6, 1.3, 1.6, "holds"),
        ("between", 1.3, 1.6, 1.0, 1.4, "holds in part"),
        ("between", 1.3, 1.6, 2.0, 3.0, "does not hold"),
        ("up to", 2, 2, 1.0, 1.9, "holds"),
        ("up to", 2, 2, 1.0, 1.2, "does not hold"),
        ("up to", 2, 2, 1.0, 3.0, "does not hold"),
        ("possible", 2.788, 2.788, 2.4, 3.1, "holds"),
        ("possible", 2.788, 2.788, 3.0, 3.1, "does not hold"),
    ],
)
def test_ranges(relation: str, value: float, high: float, low_found: float, high_found: float, verdict: Verdict) -> None:
    assert judge(part(relation, value, high), number(low_found, "x", "", low_found, high_found)) == verdict


def test_names_are_compared_whatever_their_case() -> None:
    assert judge(part("is", text="HBM2E"), name("HBM2e")) == "holds"
    assert judge(part("is", text="Hoffmann et al."), name("Narayanan et al.")) == "does not hold"


@pytest.mark.parametrize("relation", ["about", "over", "under", "up to", "possible", "is"])
def test_what_is_unknown_cannot_be_told(relation: str) -> None:
    assert judge(part(relation), unknown("no source")) == "cannot be told"


def test_the_best_value_of_a_range_is_placed() -> None:
    prediction = Found(0.49, 0.17, 1.39, "x", evidence=Evidence.DATASHEET)
    assert leaning(part(value=0.6), prediction) == "the prediction allows it; the best value is below what is claimed"
    assert leaning(part(value=0.6), number(0.6, "x", "", 0.5, 0.6)).endswith("within what is claimed")
    assert leaning(part(value=0.6), number(0.6, "x", "")) == ""


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([], "cannot be told"),
        (["cannot be told"], "cannot be told"),
        (["holds", "holds"], "holds"),
        (["does not hold", "does not hold"], "does not hold"),
        (["holds", "does not hold"], "holds in part"),
        (["holds", "cannot be told"], "holds in part"),
        (["holds in part"], "holds in part"),
        (["does not hold", "cannot be told"], "does not hold"),
    ],
)
def test_the_whole_follows_from_its_parts(parts: list[Verdict], verdict: Verdict) -> None:
    assert overall(parts) == verdict


@given(st.lists(st.sampled_from(VERDICTS), max_size=5))
def test_the_order_of_parts_does_not_matter(parts: list[Verdict]) -> None:
    assert overall(parts) == overall(parts[::-1])


def test_a_bound_excludes_itself_and_nothing_else() -> None:
    low, high = claimed_range(part("over", 2.0))
    assert math.nextafter(low, 0.0) == 2.0
    assert high == math.inf
