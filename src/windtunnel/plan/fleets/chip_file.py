"""One [[chip]] of a fleet's file: what can be had of it, at what price."""

from __future__ import annotations

import math
from pathlib import Path

from windtunnel.catalog.store import Table
from windtunnel.errors import UnknownNameError
from windtunnel.plan.fleets import fields
from windtunnel.plan.fleets.dies import DieSupply, Interval, murphy, negative_binomial
from windtunnel.plan.fleets.spec import ChipSpec, MarketSupply, Series, SiteSpec, SpaceUnit
from windtunnel.plan.place import stands_for

_CHIP = (
    "chip", "name", "site", "supply", "market_share", "market_year", "price", "rent_per_hour", "duty", "revenue_share", "owned",
    "lot", "power_w", "racks", "floor_m2",
)  # fmt: skip
_DIES = (
    "wafers_per_month",
    "die_mm2",
    "dies_per_chip",
    "yield",
    "defects_per_cm2",
    "clustering",
    "survive",
    "share",
    "stock_dies",
    "memory_stacks",
    "stacks_per_chip",
)


def read_chip(
    table: Table, sites: tuple[SiteSpec, ...], quarters: int, rate: float, folder: Path, unit: SpaceUnit, assumed: list[str]
) -> ChipSpec:
    """A chip that can be had. Raises InvalidInputError that names the field."""
    table.only(_CHIP)
    on = table.text("chip")
    on = str(folder / on) if on.lower().endswith(".toml") else on
    try:
        chip, system = stands_for(on)
    except UnknownNameError as unknown:
        raise table.fail("chip", str(unknown))
    site = table.text("site", sites[0].name if len(sites) == 1 else None, [each.name for each in sites])
    price, rent = fields.amount(table, "price", zero=False), fields.amount(table, "rent_per_hour", zero=False)
    if price is not None and rent is not None:
        raise table.fail("rent_per_hour", "stands beside price; a chip is bought or rented, write two [[chip]] for both")
    other = "floor_m2" if unit == "racks" else "racks"
    if other in table.fields:
        raise table.fail(other, f"floor space is counted in {unit} here")
    owned = fields.amount(table, "owned", 0.0)
    assert owned is not None
    name = table.text("name", system or chip)
    return ChipSpec(
        name=name,
        on=on if on.lower().endswith(".toml") else system or chip,
        site=site,
        supply=_supply(table, quarters, name, assumed),
        price_usd=price * rate if price is not None else None,
        rent_usd_per_h=rent * rate if rent is not None else None,
        duty=fields.share(table, "duty", most=10.0),
        revenue_share=fields.share(table, "revenue_share"),
        owned=_whole(table, "owned", owned),
        lot=table.count("lot") if "lot" in table.fields else None,
        power_w=fields.amount(table, "power_w", zero=False),
        space=fields.amount(table, "racks" if unit == "racks" else "floor_m2"),
    )


def _whole(table: Table, key: str, value: float) -> int:
    if value != math.floor(value):
        raise table.fail(key, f"{value:g} is not a whole number of chips")
    return int(value)


def _supply(table: Table, quarters: int, name: str, assumed: list[str]) -> Series | MarketSupply | DieSupply | None:
    given = table.fields.get("supply")
    if given != "market":
        for key in ("market_share", "market_year"):
            if key in table.fields:
                raise table.fail(key, 'changes nothing without supply = "market"; leave it out')
    if given is None:
        assumed.append(f"{name}: as many as wanted can be had; supply = ... says how many in a quarter")
        return None
    if isinstance(given, dict):
        return _dies(table.table("supply"))
    if not isinstance(given, str):
        return fields.series(table, "supply", quarters, what="chips")
    if given != "market":
        raise table.fail("supply", f"'{given[:40]}' should be a number of chips in a quarter, a list of them, or \"market\"")
    part = fields.needed(table, "market_share", "the share of what is sold that this fleet may get: 0.05")
    if part > 1.0:
        raise table.fail("market_share", f"{part:g} is over 1; a share of one is meant: 5 % is 0.05")
    return MarketSupply(part, table.count("market_year") if "market_year" in table.fields else 0)


def _dies(table: Table) -> DieSupply:
    table.only(_DIES)
    stacks = fields.amount(table, "memory_stacks")
    area = fields.needed(table, "die_mm2", "the area of one die") * 1e-6
    found = DieSupply(
        wafers_per_month=fields.needed(table, "wafers_per_month", "the wafers a month that carry this die", zero=True),
        die_area_m2=area,
        dies_each=table.count("dies_per_chip"),
        good=_good(table, area),
        survive=_interval(table, "survive"),
        share=fields.needed(table, "share", "the share of the chips that this fleet may get: 0.05"),
        stock_dies=fields.amount(table, "stock_dies", 0.0) or 0.0,
        memory_stacks=stacks,
        stacks_each=table.count("stacks_per_chip") if stacks is not None else 0,
    )
    if found.share > 1.0:
        raise table.fail("share", f"{found.share:g} is over 1; a share of one is meant: 5 % is 0.05")
    found.chips(1)  # a die that fits on no wafer is refused here
    return found


def _good(table: Table, area_m2: float) -> Interval:
    """Share of dies that work: as it is said, or from defects per cm2 by Murphy (with clustering: by the negative binomial)."""
    if "defects_per_cm2" not in table.fields:
        if "clustering" in table.fields:
            raise table.fail("clustering", "changes nothing without defects_per_cm2; leave it out")
        return _interval(table, "yield")
    if "yield" in table.fields:
        raise table.fail("defects_per_cm2", "stands beside yield; leave one of them out")
    clustering = fields.amount(table, "clustering", zero=False)
    density = _interval(table, "defects_per_cm2", most=1e6)

    def good(per_cm2: float) -> float:
        per_m2 = per_cm2 * 1e4
        return murphy(area_m2, per_m2) if clustering is None else negative_binomial(area_m2, per_m2, clustering)

    return Interval(good(density.high), good(density.mid), good(density.low))


def _interval(table: Table, key: str, most: float = 1.0) -> Interval:
    """A share of one (or a number up to ``most``), as a number or as [low, high] or [low, middle, high]."""
    value = table.fields.get(key)
    if value is None:
        raise table.fail(key, "missing; a number as 0.4, or what sources disagree on as [0.2, 0.4, 0.5]")
    values = [fields.checked(table, key, each, zero=False) for each in (value if isinstance(value, list) else [value])]
    if len(values) not in (1, 2, 3) or values != sorted(values) or values[-1] > most:
        raise table.fail(key, f"should be a number up to {most:g}, or two or three of them in order: [0.2, 0.4, 0.5]")
    return Interval(values[0], values[1] if len(values) == 3 else (values[0] + values[-1]) / 2.0, values[-1])
