"""What chips and electricity cost: published prices, and the rule that turns a purchase into USD an hour.

**Source:** data/prices.toml, or a user's own file of the same form (``--prices FILE``), whose entries come first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.chip import chip as chip_named
from windtunnel.catalog.chip import shelf as chip_shelf
from windtunnel.catalog.fact import Fact
from windtunnel.catalog.store import Table, name_key, parse_toml, read_toml_file
from windtunnel.catalog.system import System
from windtunnel.catalog.system import shelf as system_shelf
from windtunnel.catalog.system import system as system_named
from windtunnel.errors import InvalidInputError, nearest

Basis = Literal["purchase", "rent"]
HOURS_A_YEAR = 8766.0
MONEY = ("USD", "CNY", "EUR")


@dataclass(frozen=True, slots=True)
class Price:
    """One published price: of a chip or a system, to buy (USD, CNY, EUR) or to rent (USD/h).

    low, high: the range that the source gives, equal to the value where it gives none. yours: from a user's own file.
    """

    item: str
    basis: Basis
    fact: Fact
    low: float
    high: float
    currency: str = "USD"
    yours: bool = False

    @property
    def date(self) -> str:
        return self.fact.date


@dataclass(frozen=True, slots=True)
class Terms:
    """How a purchase becomes a cost by the hour. Each is an assumption that a user may change.

    years: until the hardware is written off. utilisation: share of those hours in which it is rented or busy.
    pue: a data centre's power over its machines'. load: mean power over the power limit. server_factor: price of a
    server over that of the chips in it, for prices of a bare chip; 1.7 is what H20 servers cost in 2024 (CNY 1.4 and
    1.2 million against eight chips at USD 13,500 and 12,500). tariff: id of the electricity tariff.
    """

    years: float = 4.0
    utilisation: float = 1.0
    pue: float = 1.3
    load: float = 0.8
    server_factor: float = 1.7
    tariff: str = "us-industrial"


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All prices, tariffs (by id) and rates (USD for one unit of a currency), with the terms to amortise by."""

    prices: tuple[Price, ...]
    tariffs: Mapping[str, Fact]
    rates: Mapping[str, Fact]
    terms: Terms = Terms()

    def __hash__(self) -> int:
        return id(self)


def amortised_usd_per_h(
    price_usd: float,
    power_w: float,
    *,
    usd_per_kwh: float,
    years: float,
    utilisation: float = 1.0,
    pue: float = 1.3,
    load: float = 0.8,
) -> float:
    """USD for each busy hour of hardware that was bought: its price over its busy hours, and its electricity."""
    return price_usd / (years * HOURS_A_YEAR * utilisation) + power_w / 1e3 * load * pue * usd_per_kwh


def _parse_price(table: Table, yours: bool) -> list[Price]:
    basis: Basis = "rent" if table.text("basis", choices=("purchase", "rent")) == "rent" else "purchase"
    fact = table.fact(MONEY if basis == "purchase" else ("USD/h",), extra=("item", "basis", "low", "high"))
    low, high = table.number("low", fact.value), table.number("high", fact.value)
    if not low <= fact.value <= high:
        raise table.fail("value", f"{fact.value:g} is not between low {low:g} and high {high:g}")
    currency = fact.unit if basis == "purchase" else "USD"
    items = table.texts("item")
    if not items:
        raise table.fail("item", "missing; a list of ids of chips or systems")
    return [Price(_item(item, table), basis, fact, low, high, currency, yours) for item in items]


def _item(name: str, table: Table) -> str:
    """The id of the chip or system that a price names; a path to a user's own chip counts as a name."""
    if name.lower().endswith(".toml"):
        return chip_named(name).id
    for shelf in (chip_shelf, system_shelf):
        if name in shelf.ids():
            return name
    for shelf in (chip_shelf, system_shelf):
        if name_key(name) in shelf.aliases():
            return shelf.aliases()[name_key(name)]
    close = nearest(name, [*chip_shelf.ids(), *system_shelf.ids()], limit=1)
    raise table.fail("item", f"no chip or system '{name[:60]}'" + (f"; nearest: {close[0]}" if close else ""))


def parse_prices(table: Table, yours: bool = False) -> PriceBook:
    """Prices, tariffs, rates and terms from a table. Raises InvalidInputError that names the field."""
    table.only(("prices", "tariffs", "rates", "terms"))
    prices = tuple(price for entry in table.tables("prices") for price in _parse_price(entry, yours))
    tariffs = {t.text("id"): t.fact(("USD/kWh", "CNY/kWh"), extra=("id",)) for t in table.tables("tariffs")}
    rates = {r.text("currency", choices=MONEY): r.fact(("ratio",), extra=("currency",)) for r in table.tables("rates")}
    given = table.table("terms")
    names = ("years", "utilisation", "pue", "load", "server_factor")
    given.only((*names, "tariff"))
    terms = Terms(
        **{name: given.number(name, getattr(Terms(), name)) for name in names}, tariff=given.text("tariff", Terms().tariff)
    )
    if terms.utilisation > 1 or terms.load > 1:
        raise given.fail("utilisation" if terms.utilisation > 1 else "load", "a share of one, so at most 1")
    return PriceBook(prices, tariffs, rates, terms)


@cache
def _published() -> PriceBook:
    text = resources.files("windtunnel.catalog").joinpath("data", "prices.toml").read_text(encoding="utf-8")
    return parse_prices(Table("prices.toml", parse_toml(text, "prices.toml")))


def price_book(path: str | Path = "") -> PriceBook:
    """The published prices; with a user's file, its entries stand before them and its terms in their place.

    Raises InvalidInputError that names the file and the field.
    """
    published = _published()
    if not str(path) or str(path) == ".":
        return published
    own = parse_prices(Table(str(path), read_toml_file(path)), yours=True)
    book = PriceBook(
        (*own.prices, *published.prices),
        {**published.tariffs, **own.tariffs},
        {**published.rates, **own.rates},
        own.terms,
    )
    usd_per_kwh(book)
    return book


def prices(name: str, book: PriceBook | None = None) -> tuple[Price, ...]:
    """Every price of a chip or system by its id, a user's own first, then the newest first."""
    found = [p for p in (book or _published()).prices if p.item == name]
    return tuple(sorted(sorted(found, key=lambda p: p.date, reverse=True), key=lambda p: not p.yours))


def in_usd(price: Price, book: PriceBook | None = None) -> Price:
    """The same price in USD. Raises InvalidInputError for a currency without a rate."""
    if price.currency == "USD":
        return price
    rate = (book or _published()).rates.get(price.currency)
    if rate is None:
        raise InvalidInputError("currency", f"no rate for {price.currency}; give one under [[rates]]")
    note = "; ".join(x for x in (price.fact.note, f"at {rate.value:g} USD for one {price.currency} ({rate.date})") if x)
    usd = _scaled(price, rate.value, note)
    printed = price.fact.printed or f"{price.fact.value:,.0f} {price.currency}"
    return replace(usd, fact=replace(usd.fact, unit="USD", printed=printed), currency="USD")


def usd_per_kwh(book: PriceBook | None = None, tariff: str = "") -> Fact:
    """An electricity tariff in USD/kWh, that of the book's terms by default. Raises InvalidInputError."""
    book = book or _published()
    name = tariff or book.terms.tariff
    fact = book.tariffs.get(name)
    if fact is None:
        raise InvalidInputError("tariff", f"'{name}' is none of {', '.join(book.tariffs)}")
    currency = fact.unit.removesuffix("/kWh")
    if currency == "USD":
        return fact
    rate = book.rates.get(currency)
    if rate is None:
        raise InvalidInputError("currency", f"no rate for {currency}; give one under [[rates]]")
    printed = fact.printed or f"{fact.value:g} {fact.unit}"
    return replace(fact, value=fact.value * rate.value, unit="USD/kWh", kind="derived", printed=printed)


def _scaled(price: Price, factor: float, note: str) -> Price:
    """A price times a factor, as a derived fact that says why."""
    fact = replace(price.fact, value=price.fact.value * factor, kind="derived", note=note)
    return replace(price, fact=fact, low=price.low * factor, high=price.high * factor)


def _bought(price: Price, book: PriceBook, terms: Terms, factor: float, share: float, power_w: float, what: str) -> Price:
    """The hourly cost of one chip of a purchase: its share of the price, times ``factor``, amortised."""
    usd = in_usd(price, book)
    tariff = usd_per_kwh(book, terms.tariff)

    def hourly(value: float) -> float:
        return amortised_usd_per_h(value * factor * share, power_w, usd_per_kwh=tariff.value, years=terms.years,
                                   utilisation=terms.utilisation, pue=terms.pue, load=terms.load)  # fmt: skip

    power = f"{power_w:,.0f} W at {tariff.value:.3g} USD/kWh" if power_w else "power not known, so no electricity"
    busy = "" if terms.utilisation == 1 else f", {100 * terms.utilisation:.3g} % busy"
    note = f"{what}, over {terms.years:g} years{busy}; {power}"
    printed = usd.fact.printed or f"{usd.fact.value:,.0f} USD"
    fact = Fact(hourly(usd.fact.value), "USD/h", "derived", usd.fact.source, printed, note, usd.fact.date)
    return Price(price.item, "purchase", fact, hourly(usd.low), hourly(usd.high), "USD", price.yours)


def hourly_usd(
    name: str | Chip | System, book: PriceBook | None = None, terms: Terms | None = None, basis: Basis | None = None
) -> Price | None:
    """USD for one hour of one chip (of the chip named, or of a chip of the system named); None if nobody published a price.

    A user's own price comes first, then the newest rent, then a purchase by the rule of Terms: that of a whole
    system over its chips, else that of the bare chip times ``server_factor``. One of two dies costs half its package.
    ``basis`` keeps to purchases or to rents, so that like is compared with like.
    """
    book = book or _published()
    if basis is not None:
        book = replace(book, prices=tuple(p for p in book.prices if p.basis == basis))
    terms = terms or book.terms
    whole = name if isinstance(name, System) else None
    one = name if isinstance(name, Chip) else None
    if isinstance(name, str):
        if name in system_shelf.ids() or (name not in chip_shelf.ids() and name_key(name) in system_shelf.aliases()):
            whole = system_named(name)
        else:
            one = chip_named(name)
    if whole is not None:
        return _system_hourly(whole, book, terms) or hourly_usd(whole.its_chip(), book, terms)
    assert one is not None
    own = prices(one.id, book)
    mine = [p for p in own if p.yours]
    rents = [p for p in mine or own if p.basis == "rent"]
    if rents:
        return rents[0]
    if not mine:
        inside = [s for s in dict.fromkeys(p.item for p in book.prices) if s in system_shelf.ids()]
        of_it = [system_named(s) for s in inside if system_named(s).chip == one.id]
        found = [p for p in (_system_hourly(s, book, terms) for s in of_it) if p is not None]
        if found:
            return sorted(found, key=lambda p: (p.yours, p.date))[-1]
    if own:
        power = one.value("tdp_w") if one.has("tdp_w") else 0.0
        what = f"{terms.server_factor:g} x the bare chip, for its server"
        return _bought(own[0], book, terms, terms.server_factor, 1.0, power, what)
    if one.part_of:
        package = chip_named(one.part_of)
        price = hourly_usd(package, book, terms)
        if price is not None:
            part = 1.0 / package.devices
            return _scaled(price, part, f"1/{package.devices} of {package.id}: {price.fact.note}")
    return None


def _system_hourly(whole: System, book: PriceBook, terms: Terms) -> Price | None:
    """USD for an hour of one chip of a system whose own price somebody published."""
    own = prices(whole.id, book)
    if not own:
        return None
    price, share = own[0], 1.0 / whole.chips
    if price.basis == "rent":
        return _scaled(price, share, f"1/{whole.chips} of {whole.id}; {price.fact.note}")
    its = whole.its_chip()
    power = whole.value("power_w") * share if whole.has("power_w") else its.value("tdp_w") if its.has("tdp_w") else 0.0
    return _bought(price, book, terms, 1.0, share, power, f"1/{whole.chips} of {whole.name}")
