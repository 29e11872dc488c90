"""How many may be had in a quarter: market rows that disagree, export rules that change, rules of one's own."""

from __future__ import annotations

import pytest

from windtunnel.catalog.market import market_row
from windtunnel.errors import InvalidInputError, MissingFactError
from windtunnel.plan.fleets.market import year_supply
from windtunnel.plan.fleets.permitted import Permission, permissions
from windtunnel.plan.fleets.quarter import Quarter, parse_quarter
from windtunnel.plan.fleets.spec import ChipSpec, RuleSpec, SiteSpec
from windtunnel.plan.place import place


def test_every_source_stands_for_itself() -> None:
    found = year_supply("ascend-910b2", 2024)
    assert {row.id for row in found.rows} == {"M027", "M027b", "M027c"}
    assert list(found.chips) == [200_000.0, 450_000.0, 500_000.0]
    assert "200,000 (FT via Digitimes, 2025-02; M027c)" in found.told
    assert year_supply("ascend-910c", 2026).chips.mid == market_row("M031").number()


def test_what_no_row_counts() -> None:
    with pytest.raises(MissingFactError, match=r"not known: supply in 2027 of ascend-910c; market_year = 2026 takes that year's"):
        year_supply("ascend-910c", 2027)
    with pytest.raises(MissingFactError, match="no market row counts them"):
        year_supply("mlu590", 2025)


def had(name: str, *quarters: str, to: str = "CN", rules: tuple[RuleSpec, ...] = ()) -> list[Permission]:
    site = SiteSpec("here", to, 0.1, "", 1.0)
    periods = tuple(parse_quarter(each, "q") for each in quarters)
    return list(permissions(ChipSpec(name, name, "here", None), place(name), site, rules, periods))


def test_the_h20_until_the_letters_of_april_2025() -> None:
    before, during, after = had("h20", "2025-Q1", "2025-Q2", "2025-Q3")
    assert before == Permission(1.0)
    assert during.share == pytest.approx(8 / 91)  # the letter is of 9 April
    assert "letters of April 2025" in during.why
    assert after.share == 0.0
    assert after.why == during.why


def test_case_by_case_lets_the_h200_through_in_2026() -> None:
    assert [each.share for each in had("h200-sxm", "2025-Q4", "2026-Q2")] == [0.0, 1.0]


def test_what_is_no_us_item_is_free_once_it_is_launched() -> None:
    assert [each.share for each in had("ascend-910c", "2025-Q3")] == [1.0]
    (early,) = had("ascend-960", "2025-Q1")
    assert early.share == 0.0
    assert early.why.startswith("not launched: ")


def test_without_a_destination_no_rules_are_held_against_chips() -> None:
    assert had("b200-sxm", "2025-Q1", to="") == [Permission(1.0)]


def test_rules_of_the_file_count_before_those_of_the_record_and_the_last_first() -> None:
    allow = RuleSpec(("h20",), 1, 1, True, "licences")
    forbid = RuleSpec(("h20",), 0, 2, False, "state money")
    assert [each.share for each in had("h20", "2025-Q1", "2025-Q2", "2025-Q3", rules=(forbid, allow))] == [0.0, 1.0, 0.0]
    assert had("h20", "2025-Q1", rules=(forbid,)) == [Permission(0.0, "state money")]


def test_quarters() -> None:
    q = parse_quarter(" 2025q4 ", "start")
    assert (str(q), str(q.plus(1)), q.plus(-4).since(q), q.hours) == ("2025-Q4", "2026-Q1", -4, 92 * 24)
    assert Quarter(2024, 1).end.isoformat() == "2024-04-01"
    with pytest.raises(InvalidInputError, match=r"start: '2025-05' is no quarter; write it as 2025-Q3"):
        parse_quarter("2025-05", "start")
