"""All 69 claims recomputed, against arithmetic done by hand from the facts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from windtunnel.catalog.store import Table
from windtunnel.claims.check import CHECKS
from windtunnel.claims.ledger import Ledger, ratio
from windtunnel.claims.record import claim, claims, parse_article
from windtunnel.claims.result import Result, recompute_all
from windtunnel.claims.verdict import judge
from windtunnel.cost.evidence import Estimate, Evidence
from windtunnel.errors import InvalidInputError, UnknownNameError

RESULTS = {result.claim.id: result for result in recompute_all()}
IDS = [f"S{n:03d}" for n in range(1, 70)]

UNDECIDED = {"S001", "S004", "S008", "S023", "S024", "S027", "S028", "S033", "S034", "S047"}
"""Facts that nobody published, plans and proposals, and what names nothing that could be checked."""


def test_all_claims_are_there_and_each_has_a_check() -> None:
    assert [each.id for each in claims()] == IDS == sorted(CHECKS)


def test_what_can_be_decided_is() -> None:
    assert {name for name, result in RESULTS.items() if result.verdict == "cannot be told"} == UNDECIDED


@pytest.mark.parametrize("name", IDS)
def test_a_result_says_what_it_rests_on(name: str) -> None:
    result = RESULTS[name]
    assert len(result.parts) == len(result.claim.parts)
    if result.verdict == "cannot be told":
        assert result.reason
    else:
        assert result.used, "a verdict names its facts"
    assert all(used.source.strip() and used.value.strip() for used in result.used)
    for part in result.parts:
        assert part.found.unknown or part.found.text or part.found.low <= part.found.value <= part.found.high


@pytest.mark.parametrize(
    ("name", "part", "value"),
    [
        ("S010", 0, 64 / 96),
        ("S011", 0, 1600 / 4000),
        ("S012", 0, 3200 / 4000),
        ("S013", 2, 2),
        ("S017", 1, 12800 / 2368),
        ("S018", 1, (12800 / 700) / (2368 / 400)),
        ("S019", 0, 2368 / 4992),
        ("S019", 1, (2368 / 400) / (4992 / 400)),
        ("S021", 0, 300 / 180),
        ("S021", 1, 1229 / 576),
        ("S021", 2, (384 * 392) / (72 * 900)),
        ("S022", 0, 8.2 / 3.0),
        ("S022", 1, 559.378 / 145),
        ("S025", 0, 5.5 / 1.174),
        ("S037", 0, 2.788e6 * 2),
        ("S042", 0, 4),
        ("S055", 0, 15),
        ("S058", 0, 3e6 / 2 * 0.75),
        ("S059", 0, 50_000),
        ("S060", 0, 30_000),
        ("S066", 1, 0.056),
        ("S069", 1, 384 / 8),
    ],
)
def test_numbers_are_those_of_the_facts(name: str, part: int, value: float) -> None:
    assert RESULTS[name].parts[part].found.value == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "part", "low", "high"),
    [
        ("S003", 0, 200_000, 500_000),
        ("S006", 0, 1.3e6 * 12_000, 1.6e6 * 15_000),
        ("S007", 0, 16e9 / 15_000, 16e9 / 12_000),
        ("S015", 0, 812_000, 2 * 812_000),
        ("S016", 0, 2.1e6, 3.0e6),
        ("S017", 0, 4480 / 2368, 6400 / 2368),
        ("S018", 1, (12032 / 1457) / (2368 / 400) * 12800 / 12032, (12800 / 310) / (2368 / 550)),
        ("S022", 0, 8.2 / 4.0, 8.2 / 2.6),
        ("S031", 0, 1e6 / 450_000, 1e6 / 200_000),
        ("S052", 1, 100 * (1 - 15_000 / 16_800), 100 * (1 - 12_000 / 16_800)),
        ("S057", 0, 2.0e6, 2.9e6),
    ],
)
def test_ranges_are_those_of_the_sources(name: str, part: int, low: float, high: float) -> None:
    found = RESULTS[name].parts[part].found
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "verdicts"),
    [
        ("S019", "holds holds"),
        ("S021", "holds holds holds"),
        ("S040", "does not hold"),
        ("S042", "holds|does not hold"),
        ("S043", "does not hold|holds"),
        ("S044", "does not hold"),
        ("S045", "does not hold"),
        ("S051", "holds in part|holds in part|holds"),
        ("S054", "holds holds"),
        ("S059", "holds|cannot be told"),
    ],
)
def test_verdicts_that_follow_from_arithmetic_alone(name: str, verdicts: str) -> None:
    wanted = verdicts.split("|") if "|" in verdicts or "not" in verdicts else verdicts.split()
    assert [part.verdict for part in RESULTS[name].parts] == wanted


def numeric() -> list[tuple[str, int]]:
    return [
        (name, index)
        for name, result in RESULTS.items()
        for index, part in enumerate(result.parts)
        if part.part.relation == "about" and not part.found.unknown
    ]


@pytest.mark.parametrize(("name", "index"), numeric())
def test_another_claim_of_the_same_thing_would_not_hold(name: str, index: int) -> None:
    """No verdict is written down: were ten times as much claimed as was found at most, it would not hold."""
    result = RESULTS[name].parts[index]
    assert judge(replace(result.part, value=10 * result.found.high), result.found) == "does not hold"


def facts(result: Result) -> set[str]:
    return {used.ref for used in result.used}


def test_an_article_is_no_evidence_for_itself() -> None:
    assert "market M027" not in facts(RESULTS["S003"])
    assert {"market M027b", "market M027c"} <= facts(RESULTS["S003"])
    assert "market M027b" not in facts(RESULTS["S031"])
    assert "market M033c" not in facts(RESULTS["S057"])
    assert "market M068" not in facts(RESULTS["S030"])


def test_what_is_from_memory_says_so() -> None:
    assert RESULTS["S044"].recalled == ("E005",)
    assert RESULTS["S014"].recalled == ("E001", "E002", "E003")
    assert RESULTS["S010"].recalled == ()


def test_a_prediction_keeps_its_evidence() -> None:
    assert {part.found.evidence for part in RESULTS["S048"].parts} == {Evidence.DATASHEET}


def test_the_fleet_of_deepseek() -> None:
    """30,000 x 148 + 20,000 x 989.4 TFLOPS; 30,000 x 4 and 20,000 x 3.35 TB/s."""
    told = " ".join(RESULTS["S059"].beside)
    assert "24.2 EFLOPS" in told
    assert "4.44 EFLOPS (18 %), 64 % of the memory bandwidth" in told


def test_what_the_proposal_would_give() -> None:
    """Half again above a 910C: 1.5 x 12,800 and 1.5 x 3,200, at which an H200 passes exactly."""
    told = " ".join(RESULTS["S027"].beside)
    assert "19,200 TPP" in told
    assert "4,800 GB/s" in told
    assert "h200-sxm" in told
    assert "mi300x" not in told


def test_the_hours_of_deepseek_v3() -> None:
    """6 x 37.5e9 x 14.8e12 FLOP over 2.788 million hours of 989.4 TFLOPS: a third of the peak."""
    found = RESULTS["S037"].parts[1].found
    assert found.low < 2.788e6 < found.high
    assert any("33.6 % of an H800's BF16 peak" in line for line in RESULTS["S037"].beside)


def test_a_ratio_adds_errors_as_squares_of_logarithms() -> None:
    one = Estimate(10.0, 5.0, 20.0, Evidence.FITTED)
    same = ratio(one, one)
    assert same.value == 1.0
    assert (same.low, same.high) == pytest.approx((2.0 ** -(2**0.5), 2.0 ** (2**0.5)))
    sure = ratio(one, Estimate(2.0, 2.0, 2.0, Evidence.DATASHEET))
    assert (sure.value, sure.low, sure.high, sure.evidence) == pytest.approx((5.0, 2.5, 10.0, Evidence.DATASHEET))


def test_claims_are_short_and_their_own_words() -> None:
    assert all(len(each.says) <= 150 and each.says.endswith(".") for each in claims())


def test_a_share_of_peak_is_that_of_6nd() -> None:
    row = Ledger().row("T012")
    assert Ledger().share_of_peak(row) == pytest.approx(6 * 70e9 * 851 / 989.4e12, rel=1e-3)


def test_an_unknown_claim_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown claim 'S0480'; nearest: S048"):
        claim("S0480")
    assert claim(" s048 ").id == "S048"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"id": "48", "says": "x"}, "should be S and three digits"),
        ({"id": "S048"}, "says: missing"),
        ({"id": "S048", "says": "x", "parts": [{"name": "n", "relation": "near"}]}, "'near' is none of"),
        ({"id": "S048", "says": "x", "parts": [{"name": "n", "value": 1}]}, "unit: missing"),
        (
            {"id": "S048", "says": "x", "parts": [{"name": "n", "relation": "between", "value": 2, "high": 1, "unit": "x"}]},
            "lower than value",
        ),
    ],
)
def test_a_malformed_record_is_refused(entry: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        parse_article(Table("claims/a.toml", {"id": "a", "who": "w", "date": "2025", "claims": [entry]}))
