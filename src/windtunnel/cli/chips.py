"""``windtunnel chips``: the catalogue of chips and systems, each number with its source."""

from __future__ import annotations

from typing import Any

import click

from windtunnel.catalog import chip as chip_of
from windtunnel.catalog import chips as all_chips
from windtunnel.catalog import hourly_usd, prices, systems
from windtunnel.catalog import system as system_of
from windtunnel.catalog.chip import FIGURES, Chip
from windtunnel.catalog.chip import shelf as chip_shelf
from windtunnel.catalog.fact import Fact
from windtunnel.catalog.price import Price
from windtunnel.catalog.system import System
from windtunnel.catalog.system import shelf as system_shelf
from windtunnel.cli.params import json_option
from windtunnel.errors import InvalidInputError, UnknownNameError

MOST_COMPARED = 8
Json = dict[str, Any]


@click.command()
@click.argument("name", required=False)
@click.option("--compare", metavar="A,B,...", help=f"Chips side by side, two to {MOST_COMPARED}, as ratios to the first.")
@json_option
def chips(name: str | None, compare: str | None, as_json: bool) -> None:
    """Chips and systems, each number with its source.

    Without NAME every chip and system, one a line; with NAME (or a TOML file of your own chip) every figure with its
    kind, its source, what was printed, and what other sources say.
    """
    if name and compare:
        raise InvalidInputError("--compare", f"takes all chips itself; write --compare {name},{compare}")
    if compare is not None:
        side = _to_compare(compare)
        _show_json({"chips": [chip_json(c) for c in side], "ratios": ratios(side)}) if as_json else _sheet("side_by_side", side)
    elif name:
        found = find(name)
        if isinstance(found, System):
            _show_json(system_json(found)) if as_json else _sheet("one_system", found)
        else:
            _show_json(chip_json(found)) if as_json else _sheet("one_chip", found)
    elif as_json:
        _show_json({"chips": [chip_json(c) for c in all_chips()], "systems": [system_json(s) for s in systems()]})
    else:
        _sheet("overview", all_chips(), systems())


def find(name: str) -> Chip | System:
    """The chip or the system of that name. Raises UnknownNameError with the nearest of both."""
    if name.lower().endswith(".toml"):
        return chip_of(name)
    try:
        return chip_of(name)
    except UnknownNameError:
        pass
    try:
        return system_of(name)
    except UnknownNameError:
        known = [*chip_shelf.ids(), *chip_shelf.aliases(), *system_shelf.ids(), *system_shelf.aliases()]
        raise UnknownNameError("chip or system", name, known) from None


def _to_compare(text: str) -> list[Chip]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    side = list({c.id: c for c in (chip_of(part) for part in names)}.values())
    if not 2 <= len(side) <= MOST_COMPARED:
        raise InvalidInputError(
            "--compare", f"names {len(side)}; it takes two to {MOST_COMPARED} different chips, as in h20,ascend-910c"
        )
    return side


def _sheet(which: str, *what: object) -> None:
    from windtunnel.cli import render_chips  # draws with rich, which --json and --help do without

    getattr(render_chips, which)(*what).show()


def _show_json(value: Json) -> None:
    from windtunnel.cli.as_json import dumps

    click.echo(dumps(value))


def fact_json(fact: Fact) -> Json:
    """One number with all that is said of it."""
    return {
        "value": fact.value,
        "unit": fact.unit,
        "kind": fact.kind,
        "source": fact.source,
        "printed": fact.printed or None,
        "note": fact.note or None,
        "date": fact.date or None,
        "others": [fact_json(other) for other in fact.others],
    }


def price_json(price: Price | None) -> Json | None:
    if price is None:
        return None
    return {"item": price.item, "basis": price.basis, "low": price.low, "high": price.high, **fact_json(price.fact)}


def chip_json(chip: Chip) -> Json:
    return {
        "id": chip.id,
        "name": chip.name,
        "vendor": chip.vendor,
        "aliases": list(chip.aliases),
        "launched": chip.launched or None,
        "status": chip.status or None,
        "dtypes": list(chip.dtypes),
        "dtypes_complete": chip.dtypes_complete,
        "engines": list(chip.engines),
        "device": chip.device or None,
        "devices": chip.devices,
        "part_of": chip.part_of or None,
        "topology": chip.topology or None,
        "figures": {key: fact_json(fact) for key, fact in chip.figures.items()},
        "prices": [price_json(price) for price in prices(chip.id)],
        "usd_per_chip_hour": price_json(hourly_usd(chip)),
        "notes": list(chip.notes),
    }


def system_json(system: System) -> Json:
    return {
        "id": system.id,
        "name": system.name,
        "vendor": system.vendor,
        "aliases": list(system.aliases),
        "status": system.status or None,
        "chip": system.chip,
        "chips": system.chips,
        "nodes": system.nodes or None,
        "topology": system.topology or None,
        "wiring": system.wiring or None,
        "figures": {key: fact_json(fact) for key, fact in system.figures.items()},
        "prices": [price_json(price) for price in prices(system.id)],
        "usd_per_chip_hour": price_json(hourly_usd(system)),
        "notes": list(system.notes),
    }


def ratios(side: list[Chip]) -> Json:
    """For each figure, each chip's over the first one's; null where either is not known."""
    first = side[0].figures
    return {
        key: {c.id: c.figures[key].value / first[key].value if key in first and key in c.figures else None for c in side}
        for key in FIGURES
        if any(key in c.figures for c in side)
    }
