"""A fleet's file, ``fleet.toml``, read and held against what is known: every complaint is one line that names the field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from windtunnel.catalog import PriceBook, price_book
from windtunnel.catalog.destination import destination
from windtunnel.catalog.price import MONEY, usd_per_kwh
from windtunnel.catalog.store import Table, read_toml_file
from windtunnel.errors import InvalidInputError, UnknownNameError, nearest
from windtunnel.plan.fleets import fields
from windtunnel.plan.fleets.chip_file import read_chip
from windtunnel.plan.fleets.quarter import Quarter, parse_quarter
from windtunnel.plan.fleets.spec import ChipSpec, FleetSpec, RuleSpec, SiteSpec, SpaceUnit
from windtunnel.plan.fleets.workload_file import read_workloads
from windtunnel.units import MEGA

TABLES = ("fleet", "site", "chip", "workload", "rule")
MOST_QUARTERS = 40
MAIN_SITE = "the fleet's site"
_FLEET = (
    "name", "start", "quarters", "currency", "objective", "capex", "capex_per_quarter", "opex_per_quarter", "discount_rate",
    "write_off_years", "scenario", "prices",
)  # fmt: skip
_SITE = ("to", "power_mw", "racks", "floor_m2", "electricity", "tariff", "pue")
_SPACE: dict[str, SpaceUnit] = {"racks": "racks", "floor_m2": "m2"}


def read_fleet(asked: str | Path | Mapping[str, object]) -> FleetSpec:
    """The fleet that a file describes; or the tables of one, as ``tomllib`` reads them, whose paths then begin where the program
    runs. Raises InvalidInputError, or UnknownNameError with the nearest name."""
    if isinstance(asked, Mapping):
        return _read(Table("purchase", asked), Path(), "fleet")
    try:
        path = Path(asked)
    except TypeError:
        raise InvalidInputError("purchase", f"is a TOML file's path, or its tables, and no {type(asked).__name__}") from None
    return _read(Table(path.name, read_toml_file(path)), path.parent, path.stem)


def _head(content: Table) -> Table:
    """[fleet], once it is clear that the tables are those of a purchase."""
    if "backend" in content.fields:
        raise InvalidInputError(
            content.where, "its [[backend]] tables are a fleet that serves: `windtunnel serve --fleet` takes it; "
            "`windtunnel fleet` reads [fleet], [[chip]] and [[workload]]"
        )  # fmt: skip
    for key in content.fields:
        if key not in TABLES:
            close = nearest(key, TABLES, limit=1)
            raise content.fail(key, f"no such table; {f'nearest: {close[0]}' if close else 'known: ' + ', '.join(TABLES)}")
    head = content.table("fleet")
    if not head.fields:
        raise content.fail("fleet", "missing; a file begins with [fleet], its start and its quarters")
    return Table(f"{content.where}: [fleet]", head.fields)


def _read(content: Table, folder: Path, name: str) -> FleetSpec:
    """folder: where its paths begin; name: where it says none."""
    head = _head(content)
    head.only((*_FLEET, *_SITE))
    start = parse_quarter(head.text("start"), f"{head.where}: start")
    quarters = head.count("quarters")
    if quarters > MOST_QUARTERS:
        raise head.fail("quarters", f"{quarters}; at most {MOST_QUARTERS}, ten years")
    book, prices = _book(head, folder)
    currency = head.text("currency", "USD", MONEY)
    rate = 1.0 if currency == "USD" else book.rates[currency].value
    unit = _unit(content, head)
    assumed: list[str] = []
    sites = _sites(content, head, quarters, book, rate, unit, assumed)
    chips = tuple(
        read_chip(_named(table, "chip"), sites, quarters, rate, folder, unit, assumed) for table in content.tables("chip")
    )
    if not chips:
        raise content.fail("chip", "missing; write one [[chip]] for each kind that can be had")
    _distinct("chip", [chip.name for chip in chips], content)
    inference, training = read_workloads(content, chips, sites, start, quarters, rate, folder, assumed)
    capex = fields.amount(head, "capex")
    capex_quarter = fields.series(head, "capex_per_quarter", quarters)
    opex_quarter = fields.series(head, "opex_per_quarter", quarters)
    goal = head.text("objective", "cost", ("cost", "served"))
    scenario = head.text("scenario", "mid", ("low", "mid", "high"))
    return FleetSpec(
        name=head.text("name", name),
        currency=currency,
        rate=rate,
        start=start,
        quarters=quarters,
        goal="served" if goal == "served" else "cost",
        sites=sites,
        chips=chips,
        inference=inference,
        training=training,
        rules=tuple(_rule(_named(table, "rule"), chips, start, quarters) for table in content.tables("rule")),
        capex=capex * rate if capex is not None else None,
        capex_quarter=tuple(x * rate for x in capex_quarter) if capex_quarter is not None else None,
        opex_quarter=tuple(x * rate for x in opex_quarter) if opex_quarter is not None else None,
        discount=_discount(head, assumed),
        write_off_years=_write_off(head, assumed),
        space_unit=unit,
        scenario="low" if scenario == "low" else "high" if scenario == "high" else "mid",
        prices=prices,
        assumed=tuple(assumed),
    )


def _named(table: Table, kind: str) -> Table:
    """The table, called by its own name where it has one: ``fleet.toml: chip h20``."""
    name = table.fields.get("name") or table.fields.get("chip" if kind == "chip" else "")
    head = table.where.partition(":")[0]
    return Table(f"{head}: {kind} {name}", table.fields) if isinstance(name, str) and name else table


def _distinct(kind: str, given: list[str], content: Table) -> None:
    for place, name in enumerate(given):
        if name in given[:place]:
            raise content.fail(f"{kind} {name}", 'stands twice; give one of them another name = "..."')


def _book(head: Table, folder: Path) -> tuple[PriceBook, str]:
    given = head.text("prices", "")
    prices = str(folder / given) if given else ""
    return price_book(prices), prices


def _unit(content: Table, head: Table) -> SpaceUnit:
    """Whether floor space is counted in racks or m2."""
    said = [(table, key) for table in (head, *content.tables("site")) for key in _SPACE if key in table.fields]
    kinds = dict.fromkeys(key for _, key in said)
    if len(kinds) > 1:
        raise said[-1][0].fail(said[-1][1], "floor space is in racks elsewhere; count all of it in racks or all in m2")
    return _SPACE[said[0][1]] if said else "racks"


def _sites(
    content: Table, head: Table, quarters: int, book: PriceBook, rate: float, unit: SpaceUnit, assumed: list[str]
) -> tuple[SiteSpec, ...]:
    own = [_named(table, "site") for table in content.tables("site")]
    if not own:
        return (_site(head, MAIN_SITE, None, quarters, book, rate, unit, assumed),)
    for key in _SITE:
        if key in head.fields and key not in ("to", "electricity", "tariff", "pue"):
            raise head.fail(key, "the file has sites of their own; write it under [[site]]")
    found = []
    for table in own:
        table.only(("name", *_SITE))
        found.append(_site(table, table.text("name"), head, quarters, book, rate, unit, assumed))
    _distinct("site", [site.name for site in found], content)
    return tuple(found)


def _site(
    table: Table, name: str, head: Table | None, quarters: int, book: PriceBook, rate: float, unit: SpaceUnit, assumed: list[str]
) -> SiteSpec:
    """A site; what it does not say of electricity and rules, ``head`` does."""

    def said(key: str) -> Table:
        return table if key in table.fields or head is None else head

    to = said("to").text("to", "")
    if to:
        try:
            to = destination(to).id
        except UnknownNameError as unknown:
            raise table.fail("to", str(unknown))
    power = fields.series(table, "power_mw", quarters, what="MW")
    space = fields.series(table, next(key for key, value in _SPACE.items() if value == unit), quarters)
    price = fields.amount(said("electricity"), "electricity")
    tariff = said("tariff").text("tariff", "")
    if price is not None and tariff:
        raise table.fail("tariff", "stands beside electricity; leave one of them out")
    pue = fields.amount(said("pue"), "pue", zero=False)
    if pue is not None and pue < 1.0:
        raise table.fail("pue", f"{pue:g} is below 1: a data centre draws at least what its machines draw")
    if price is None:
        fact = usd_per_kwh(book, tariff)
        if not tariff:
            assumed.append(f"electricity: {fact.value:.3g} USD/kWh, {fact.note} ({fact.date}); electricity = ... says yours")
    if pue is None:
        assumed.append(f"PUE: {book.terms.pue:g}; pue = ... says yours")
    return SiteSpec(
        name=name,
        to=to,
        usd_per_kwh=price * rate if price is not None else usd_per_kwh(book, tariff).value,
        tariff=tariff,
        pue=pue if pue is not None else book.terms.pue,
        power_w=tuple(x * MEGA for x in power) if power is not None else None,
        space=space,
    )


def _rule(table: Table, chips: tuple[ChipSpec, ...], start: Quarter, quarters: int) -> RuleSpec:
    table.only(("name", "chips", "from", "until", "allow", "why"))
    which = fields.names(table, "chips", [name for chip in chips for name in (chip.name, chip.on)])
    if not which:
        raise table.fail("chips", "missing; a list of the chips that the rule is about")
    first = fields.quarter(table, "from", start, quarters, 0)
    last = fields.quarter(table, "until", start, quarters, quarters - 1)
    if last < first:
        raise table.fail("until", f"{table.text('until')} is before from, {table.text('from')}")
    if "allow" not in table.fields:
        raise table.fail("allow", "missing; true: may be had whatever export rules say, false: may not")
    return RuleSpec(which, first, last, table.flag("allow", True), table.text("why", "a rule of this file"))


def _discount(head: Table, assumed: list[str]) -> float:
    if "discount_rate" not in head.fields:
        assumed.append("money is not discounted; discount_rate = 0.08 counts later money less, by the year")
    return fields.share(head, "discount_rate")


def _write_off(head: Table, assumed: list[str]) -> float | None:
    years = fields.amount(head, "write_off_years", zero=False)
    if years is None:
        assumed.append("what is bought is paid for whole; write_off_years = 4 credits what it is still worth at the end")
    else:
        assumed.append(f"chips lose their worth evenly over {years:g} years; what is left at the end is credited")
    return years
