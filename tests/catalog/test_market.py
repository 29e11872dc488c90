"""Market rows: each has a source, sources that disagree stand apart, and what is malformed is refused with its field."""

from __future__ import annotations

import re

import pytest

from windtunnel.catalog.market import market, market_row, parse_market, said_of
from windtunnel.catalog.price import price_book
from windtunnel.catalog.store import Table
from windtunnel.claims.record import claims
from windtunnel.errors import InvalidInputError, MissingFactError, UnknownNameError

IN_PRICES = {1, 2, 3, 4, 6, 7, 8, 9, 10, 13, 14, *range(16, 26), 74, 75}
"""Rows of the collection that are prices or tariffs, which prices.toml holds."""
ROW = {
    "id": "M001", "date": "2024", "entity": "Nvidia", "item": "H20", "metric": "sold", "value": 5, "unit": "chips", "source": "s",
    "confidence": "estimate",
}  # fmt: skip


def parsed(**changes: object) -> object:
    fields = {key: value for key, value in {**ROW, **changes}.items() if value is not None}
    return parse_market(Table("market.toml", {"rows": [fields]}))


def test_every_row_of_the_collection_stands_in_one_of_the_two_files() -> None:
    here = {int(row.id[1:4]) for row in market() if row.id.startswith("M")}
    assert here | IN_PRICES == set(range(1, 83))
    assert not here & IN_PRICES
    assert len(price_book().prices) >= len(IN_PRICES)


def test_sources_that_disagree_are_rows_of_their_own() -> None:
    rows = said_of("Ascend 910B", "shipments", year="2024")
    assert sorted(row.number() for row in rows) == [200_000, 450_000, 500_000]
    assert len({row.source for row in rows}) == 3


def test_a_row_is_no_evidence_for_the_article_that_it_rests_on() -> None:
    apart = said_of("Ascend 910B", "shipments", apart_from="export-policy-2025-08")
    assert sorted(row.number() for row in apart) == [200_000, 500_000]


def test_articles_are_those_whose_claims_are_recorded() -> None:
    assert {row.article for row in market()} - {""} <= {claim.article for claim in claims()}


def test_a_source_has_words_of_its_own() -> None:
    for row in market():
        assert not re.search(r"\bseed\b", row.source + row.notes), row.id


@pytest.mark.parametrize("row", market(), ids=lambda row: row.id)
def test_a_range_holds_its_value(row: object) -> None:
    low, value, high = (getattr(row, name) for name in ("low", "value", "high"))
    assert value is None or low <= value <= high


def test_a_row_without_a_value_says_so() -> None:
    with pytest.raises(MissingFactError, match="E001"):
        market_row("E001").number()


def test_an_unknown_row_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown market row 'M27'; nearest: .*M027"):
        market_row("M27")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": " "}, "source: empty"),
        ({"value": None}, "value: missing"),
        ({"value": -1}, "value: should be a number"),
        ({"value": True}, "value: should be a number"),
        ({"low": 6}, "not between low 6"),
        ({"high": float("nan")}, "high: should be a number"),
        ({"date": "soon"}, "date: 'soon'"),
        ({"id": "X1"}, "id: 'X1'"),
        ({"confidence": "sure"}, "confidence: 'sure' is none of"),
        ({"sorce": "x"}, "did you mean source"),
    ],
)
def test_what_is_malformed_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(said)):
        parsed(**changes)


def test_an_id_stands_once() -> None:
    with pytest.raises(InvalidInputError, match="stands twice"):
        parse_market(Table("market.toml", {"rows": [ROW, ROW]}))
