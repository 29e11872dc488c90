"""Prices: the rule by hand, what is chosen, what stays unknown, a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from windtunnel.catalog import amortised_usd_per_h, chip, hourly_usd, price_book, prices, system, usd_per_kwh
from windtunnel.catalog.chip import shelf
from windtunnel.catalog.price import Terms, in_usd
from windtunnel.catalog.system import shelf as system_shelf
from windtunnel.errors import InvalidInputError


def test_the_rule_by_hand() -> None:
    # 35,064 USD over 4 years of 8,766 hours: 1 USD; 1 kW at 80 % load, PUE 1.25, 0.10 USD/kWh: 0.10 USD
    assert amortised_usd_per_h(35_064, 1000, usd_per_kwh=0.1, years=4, pue=1.25, load=0.8) == pytest.approx(1.1)
    assert amortised_usd_per_h(35_064, 0, usd_per_kwh=0.1, years=4, utilisation=0.5) == pytest.approx(2.0)


def test_every_price_has_a_date_a_source_and_a_place_in_the_catalogue() -> None:
    for price in price_book().prices:
        assert price.item in {*shelf.ids(), *system_shelf.ids()}
        assert price.date
        assert price.fact.source.strip()
        assert price.low <= price.fact.value <= price.high
        assert in_usd(price).currency == "USD"


def test_the_rate_of_the_facts() -> None:
    [bought] = prices("ascend-910b2")
    assert bought.fact.value == 120_000
    assert in_usd(bought).fact.value == pytest.approx(16_800)
    assert 1 / price_book().rates["CNY"].value == pytest.approx(7.14, abs=0.01)
    assert usd_per_kwh(tariff="china-subsidised").value == pytest.approx(0.056)


def test_the_newest_rent_is_taken() -> None:
    rent = hourly_usd("h100")
    assert rent is not None
    assert (rent.basis, rent.fact.value, rent.date, rent.low, rent.high) == ("rent", 2.95, "2026-05", 1.99, 5.0)
    bought = hourly_usd("h100", basis="purchase")
    assert bought is not None
    assert bought.basis == "purchase"


def test_a_purchase_of_a_system_by_hand() -> None:
    found = hourly_usd("cloudmatrix-384")
    assert found is not None
    by_hand = 8.2e6 / 384 / (4 * 8766) + 559_378 / 384 / 1e3 * 0.8 * 1.3 * 0.091
    assert found.fact.value == pytest.approx(by_hand)
    assert (found.basis, found.fact.kind) == ("purchase", "derived")
    whole, die = hourly_usd("ascend-910c"), hourly_usd("ascend-910c-die")
    assert whole is not None
    assert die is not None
    assert whole.fact.value == pytest.approx(found.fact.value)
    assert die.fact.value == pytest.approx(found.fact.value / 2)


def test_a_bare_chip_pays_for_its_server() -> None:
    found = hourly_usd("910b2")
    assert found is not None
    assert found.fact.value == pytest.approx(16_800 * 1.7 / (4 * 8766) + 0.4 * 0.8 * 1.3 * 0.091)
    cheap = hourly_usd("910b2", terms=Terms(years=8, server_factor=1.0))
    assert cheap is not None
    assert cheap.fact.value < found.fact.value


@pytest.mark.parametrize("name", ["br106", "gaudi3", "mi355x", "ascend-950pr"])
def test_what_nobody_published_is_none(name: str) -> None:
    assert hourly_usd(name) is None
    assert prices(name) == ()


def test_a_system_without_a_price_is_priced_by_its_chip() -> None:
    assert hourly_usd(system("hgx-h200")) == hourly_usd(chip("h200"))
    assert hourly_usd("gaudi3-server") is None


MINE = """
[[prices]]
item = ["gaudi3", "h100-sxm"]
basis = "rent"
value = 1.0
unit = "USD/h"
kind = "reported"
source = "my contract"
date = "2026-01"
[terms]
years = 3
tariff = "mine"
[[tariffs]]
id = "mine"
value = 0.2
unit = "USD/kWh"
kind = "reported"
source = "my bill"
"""


def test_a_users_own_prices_come_first(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINE)
    book = price_book(file)
    for name in ("gaudi3", "h100-sxm"):
        found = hourly_usd(name, book)
        assert found is not None
        assert found.fact.value == 1.0
        assert found.yours
    assert usd_per_kwh(book).value == 0.2
    h20, plain = hourly_usd("h20", book), hourly_usd("h20")
    assert h20 is not None
    assert plain is not None
    assert h20.fact.value > plain.fact.value, "fewer years and dearer electricity"


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('"gaudi3"', '"gaudi4"', r"prices\[0\]: item: no chip or system 'gaudi4'; nearest: gaudi"),
        ('item = ["gaudi3", "h100-sxm"]', "", "item: missing"),
        ('"USD/h"', '"USD"', r"unit: 'USD' is none of USD/h"),
        ('"rent"', '"lease"', "basis: 'lease' is none of purchase, rent"),
        ("value = 1.0", "value = 1.0\nlow = 2.0", "not between low 2 and high 1"),
        ("value = 1.0", "value = -1.0", "value: should be a positive number"),
        ("years = 3", "years = inf", "years: should be a positive number"),
        ("years = 3", "utilisation = 2", "utilisation: a share of one"),
        ("years = 3", "yaers = 3", r"yaers: no such field; did you mean years\?"),
        ('tariff = "mine"', 'tariff = "yours"', "tariff: 'yours' is none of us-industrial, china-subsidised, mine"),
        ("[[prices]]", "[prices]", r"written under \[\[prices\]\]"),
    ],
)
def test_a_users_mistake_is_one_line(tmp_path: Path, before: str, after: str, complaint: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINE.replace(before, after, 1))
    with pytest.raises(InvalidInputError, match=complaint):
        price_book(file)
