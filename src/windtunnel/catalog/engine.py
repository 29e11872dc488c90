"""Serving engines: what a version of an engine does by default, which decides as much as the chip does."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.fact import Fact
from windtunnel.catalog.store import ID, Shelf, Table
from windtunnel.errors import MissingFactError

FIGURES: Mapping[str, tuple[str, str]] = {
    "chunk_tokens": ("count", "tokens that one step takes in at most"),
    "memory_fraction": ("ratio", "share of device memory that the engine takes"),
    "max_running": ("count", "sequences that run at once at most"),
}
FLAGS = (
    "graphs", "overlap_schedule", "prefix_caching", "chunked_prefill", "disaggregation", "fraction_of_free", "reserves_output",
)  # fmt: skip
"""What an engine does by default. fraction_of_free: its share of memory is of what weights and activations leave;
reserves_output: a request starts only when the cache of its longest output is free."""
ASSUMED_MEMORY = 80 * 2.0**30

_VERSION = re.compile(r"^v?(\d+(?:\.\d+){0,4})(?:[.-]?(?:rc|a|b|alpha|beta|dev)(\d{0,6}))?(?:[.-]?post(\d{1,6}))?")

shelf = Shelf("engines", "engine")


def version_key(version: str) -> tuple[tuple[int, ...], float, int] | None:
    """What orders versions: release numbers, candidates before the release, posts after it. None if it has no number."""
    match = _VERSION.match(version.strip()[:60])
    if match is None or any(len(part) > 9 for part in match.group(1).split(".")):
        return None
    release = [int(part) for part in match.group(1).split(".")]
    candidate = math.inf if match.group(2) is None else float(match.group(2) or 0)
    return tuple((release + [0] * 5)[:5]), candidate, int(match.group(3) or 0)


@dataclass(frozen=True, slots=True)
class Tier:
    """A default that holds from so much device memory on, but not on the chips named."""

    fact: Fact
    from_bytes: float = 0.0
    not_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """What changed with a version: defaults and flags that hold from it on."""

    since: str
    date: str
    source: str
    tiers: Mapping[str, tuple[Tier, ...]]
    flags: Mapping[str, bool]
    note: str = ""


@dataclass(frozen=True, slots=True)
class EngineTraits:
    """An engine's behaviour at one version on one chip, where no argument says otherwise.

    version: what was asked for; known: the release whose defaults these are, with its date. figures: sourced
    defaults by the keys of FIGURES, absent where the engine has none. notes: what was assumed.
    """

    engine: str
    version: str
    known: str
    date: str
    figures: Mapping[str, Fact]
    flags: Mapping[str, bool]
    notes: tuple[str, ...] = ()

    def value(self, key: str) -> float:
        """One default. Raises MissingFactError."""
        fact = self.figures.get(key)
        if fact is None:
            hint = f"known: {', '.join(self.figures) or 'no default'}"
            raise MissingFactError(f"{self.engine} {self.known}".strip(), key, hint)
        return fact.value

    def get(self, key: str, default: float) -> float:
        """One default, or the caller's where the engine has none."""
        fact = self.figures.get(key)
        return default if fact is None else fact.value

    def does(self, flag: str) -> bool:
        """Whether the engine does this by default (for disaggregation: whether it can); False where not known."""
        return self.flags.get(flag, False)


@dataclass(frozen=True, slots=True)
class Engine:
    """A serving engine and its releases, oldest first; based_on: the engine that it extends and whose defaults it keeps."""

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    based_on: str = ""
    checked: str = ""
    releases: tuple[Release, ...] = ()
    notes: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.id)

    def _reached(self, version: str) -> tuple[tuple[Release, ...], tuple[str, ...]]:
        """The releases up to a version, and what had to be assumed to say so."""
        if not self.releases:
            return (), ()
        newest = self.checked or self.releases[-1].since
        if not version:
            return self.releases, (f"{self.id}: no version given, so the newest known is taken ({newest})",)
        key = version_key(version)
        if key is None:
            return self.releases, (f"{self.id}: '{version}' is no version number, so the newest known is taken ({newest})",)
        first, last = version_key(self.releases[0].since), version_key(newest)
        if first is not None and key < first:
            oldest = self.releases[0].since
            return self.releases[:1], (
                f"{self.id}: {version} is older than the oldest known, whose defaults are taken ({oldest})",
            )
        reached = tuple(r for r in self.releases if (version_key(r.since) or key) <= key)
        if last is not None and key > last:
            return reached, (f"{self.id}: {version} is newer than the newest known, whose defaults are taken ({newest})",)
        return reached, ()

    def traits_at(self, version: str = "", chip: Chip | None = None) -> EngineTraits:
        """The defaults of a version on a chip; the empty version is the newest known, an unknown one the nearest.

        Without a chip, or where its memory is not known, that of an 80 GB chip is assumed.
        """
        version = "".join(c for c in " ".join(version.split()) if c.isprintable())[:40]
        memory = chip.value("memory_bytes") if chip is not None and chip.has("memory_bytes") else ASSUMED_MEMORY
        name = chip.id if chip is not None else ""
        start = EngineTraits(self.id, version, "", "", {}, {})
        if self.based_on:
            base = engine(self.based_on).traits_at(version, chip)
            kept = () if self.releases else (f"{self.id}: the defaults of {self.based_on}, which it extends", *base.notes)
            start = replace(base, engine=self.id, notes=kept)
        reached, notes = self._reached(version)
        figures, flags = dict(start.figures), dict(start.flags)
        for release in reached:
            flags.update(release.flags)
            for key, tiers in release.tiers.items():
                fitting = [t for t in tiers if t.from_bytes <= memory and not any(name.startswith(other) for other in t.not_on)]
                if fitting:
                    figures[key] = max(fitting, key=lambda t: t.from_bytes).fact
        known, date = (reached[-1].since, reached[-1].date) if reached else (start.known, start.date)
        said = tuple(f"{self.id}: {r.note}" for r in reached if r.note)
        return EngineTraits(self.id, version, known, date, figures, flags, (*start.notes, *notes, *said))


def _parse_release(table: Table) -> Release:
    tiers: dict[str, tuple[Tier, ...]] = {}
    table.only(("since", "date", "source", "note", *FLAGS, *FIGURES))
    for key, (unit, _) in FIGURES.items():
        if key in table.fields:
            tiers[key] = tuple(
                Tier(
                    entry.fact((unit,), extra=("from_gib", "not_on")),
                    entry.number("from_gib") * 2.0**30 if "from_gib" in entry.fields else 0.0,
                    entry.texts("not_on"),
                )
                for entry in table.tables(key)
            )
    since = table.text("since")
    if version_key(since) is None:
        raise table.fail("since", f"'{since}' is not a version")
    flags = {flag: table.flag(flag, False) for flag in FLAGS if flag in table.fields}
    return Release(since, table.text("date", ""), table.text("source"), tiers, flags, table.text("note", ""))


def parse_engine(table: Table) -> Engine:
    """An engine from its record. Raises InvalidInputError that names the field."""
    table.only(("id", "name", "aliases", "based_on", "checked", "versions", "notes"))
    name = table.text("id")
    if not ID.match(name):
        raise table.fail("id", f"'{name}' should be lower-case letters and digits with hyphens between")
    releases = tuple(_parse_release(entry) for entry in table.tables("versions"))
    if [version_key(r.since) for r in releases] != sorted(version_key(r.since) or ((), 0.0, 0) for r in releases):
        raise table.fail("versions", "should be ordered, oldest first")
    return Engine(
        name,
        table.text("name", name),
        table.texts("aliases"),
        table.text("based_on", ""),
        table.text("checked", ""),
        releases,
        table.texts("notes"),
    )


@cache
def _load(record: str) -> Engine:
    return shelf.load(record, parse_engine)


def engine(name: str) -> Engine:
    """The engine of that name or alias. Raises UnknownNameError with the nearest names."""
    return _load(shelf.resolve(name))


def engines() -> tuple[Engine, ...]:
    """Every engine of the catalogue, by id."""
    return tuple(_load(record) for record in shelf.ids())


def engines_for(chip: Chip) -> tuple[Engine, ...]:
    """The engines that serve models on a chip, best supported first."""
    return tuple(engine(name) for name in chip.engines)
