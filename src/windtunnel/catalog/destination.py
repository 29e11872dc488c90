"""Destinations: which country group a place is in, as far as the record says, and whose items a maker's chips are.

**Source:** data/destinations.toml, each entry with its own.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from windtunnel.catalog.store import Table, parse_toml
from windtunnel.errors import InvalidInputError, MissingFactError, UnknownNameError


@dataclass(frozen=True, slots=True)
class Destination:
    """A place or a country group; groups: what it counts as in the instruments' lists."""

    id: str
    name: str
    groups: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Record:
    """How far the record goes, and its tables by spelling."""

    known_until: datetime.date
    checked: str
    places: Mapping[str, Destination]
    countries: Mapping[str, str]
    makers: Mapping[str, str]


def _key(name: str) -> str:
    return " ".join(name.casefold().replace("’", "'").split())


@cache
def record() -> Record:
    """The whole of data/destinations.toml."""
    where = "destinations.toml"
    text = resources.files("windtunnel.catalog").joinpath("data", where).read_text(encoding="utf-8")
    table = Table(where, parse_toml(text, where))
    table.only(("known_until", "checked", "destinations", "makers", "countries"))
    places: dict[str, Destination] = {}
    for each in table.tables("destinations"):
        each.only(("id", "name", "aliases", "groups", "source"))
        found = Destination(each.text("id"), each.text("name"), each.texts("groups"), each.text("source"))
        for spelling in (found.id, found.name, *each.texts("aliases")):
            places[_key(spelling)] = found
    makers: dict[str, str] = {}
    for each in table.tables("makers"):
        each.only(("country", "vendors", "source"))
        makers |= dict.fromkeys(each.texts("vendors"), each.text("country"))
    countries = table.table("countries")
    names = {code: countries.text(code) for code in countries.fields}
    until = datetime.date.fromisoformat(table.text("known_until"))
    return Record(until, table.text("checked"), places, names, makers)


def destination(name: str) -> Destination:
    """The destination of that code, name or group.

    Raises MissingFactError for a country whose group the record does not give, UnknownNameError with the nearest,
    InvalidInputError for the United States.
    """
    known = record()
    found = known.places.get(_key(name))
    if found is not None:
        return found
    for code, country in known.countries.items():
        if _key(name) in (_key(code), _key(country)):
            if code == "US":
                raise InvalidInputError("destination", f"what stays in the {country} is no export; name where it goes, as CN")
            hint = "name its group instead: --to D:1, D:4, D:5, A:5 or A:6 (Supplement 1 to part 740 lists them)"
            raise MissingFactError(f"{country} ({code})", "country group", hint)
    spelled = [place.name for place in known.places.values()] + [place.id for place in known.places.values()]
    hint = "; write a country or its code, as CN, or a country group, as D:5"
    raise UnknownNameError("destination", name, [*spelled, *known.countries.values()], hint)


def maker_country(vendor: str) -> str:
    """``US`` or ``CN``: whose items the chips of a maker are; "" where the record does not say."""
    return record().makers.get(vendor, "")
