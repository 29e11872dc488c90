"""What PyTorch's composite operators are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from windtunnel.catalog.store import Shelf, Table

shelf = Shelf("composites", "PyTorch version")


@dataclass(frozen=True, slots=True)
class Part:
    """An operator that another calls; always: for whatever arguments it was tried with."""

    name: str
    always: bool = True


@dataclass(frozen=True, slots=True)
class Composite:
    """The parts of one composite operator; recorded: False where it is a composite and nobody saw it run."""

    parts: tuple[Part, ...]
    recorded: bool
    source: str


def parse_composites(table: Table) -> Mapping[str, Composite]:
    """Overload -> its parts, from lines ``name: part part ?part`` (``?``: for some arguments only; ``-``: not recorded).

    Raises InvalidInputError.
    """
    table.only(("torch", "source", "notes", "parts"))
    source = table.text("source")
    found: dict[str, Composite] = {}
    for line in table.text("parts").splitlines():
        if not line.strip():
            continue
        name, colon, rest = line.partition(":")
        if not colon or name in found:
            raise table.fail("parts", f"'{line}' should be NAME: PART PART ..., each name once")
        words = rest.split()
        if words == ["-"]:
            found[name] = Composite((), False, source)
        else:
            found[name] = Composite(tuple(Part(w.removeprefix("?"), not w.startswith("?")) for w in words), True, source)
    return found


@cache
def _load() -> Mapping[str, Composite]:
    return {name: parts for record in shelf.ids() for name, parts in shelf.load(record, parse_composites).items()}


def parts_of(overload: str) -> Composite | None:
    """What an overload (``linear``, ``linear.out``) is made of; None where PyTorch has no composite kernel of it."""
    return _load().get(overload)
