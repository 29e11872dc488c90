"""Where a model may run: a chip in its own servers or a system, with how many chips, and what an hour of one costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from windtunnel.catalog import Chip, PriceBook, System, chip, hourly_usd, system, systems
from windtunnel.catalog.chip import shelf as chip_shelf
from windtunnel.catalog.price import Basis, Price
from windtunnel.catalog.system import shelf as system_shelf
from windtunnel.cost.links import Links
from windtunnel.errors import InvalidInputError, UnknownNameError

MOST_CHIPS = 100_000
LARGEST_INSTANCE = 64
"""Chips of one instance on bare chips, unless fewer than EVER_LARGEST do not hold the model."""
LARGEST_DOMAIN = 256
"""Chips of one instance in a system: wider expert parallelism than this has been published by nobody but with copies
of experts, which are not modelled."""
EVER_LARGEST = 1024
LARGEST_GROUP = 128
"""Bare chips of one group of prefill and decode instances where no traffic was named; in a system, all of its chips."""


@dataclass(frozen=True, slots=True)
class Place:
    """name: as it was asked for. chip_name: what a Deployment calls the chip, system: whose links it uses, or "".

    domain: chips of one scale-up domain; most: chips in all (0: as many as needed); largest: chips of one instance;
    whole: the system that was asked for; price: of one chip for an hour, None where nobody published one; power_w: of
    one chip under load with its share of host and network, None where only the chip's own limit is known.
    """

    name: str
    chip: Chip
    chip_name: str
    system: str
    domain: int
    most: int
    largest: int
    whole: System | None = None
    price: Price | None = None
    power_w: float | None = None

    @property
    def wider(self) -> Place:
        """The same with larger instances, for models that the usual ones do not hold."""
        most = self.whole.chips if self.whole else EVER_LARGEST
        return replace(self, largest=min(most, self.most or most, EVER_LARGEST))

    @property
    def group(self) -> int:
        """Most chips of one group of prefill and decode instances where no traffic was named."""
        most = self.whole.chips if self.whole else LARGEST_GROUP
        return min(most, self.most or most)

    def systems(self, sizes: list[int]) -> int:
        """How many of the system are bought for instances of these sizes, none of which is split over two."""
        assert self.whole is not None
        free: list[int] = []
        for size in sorted(sizes, reverse=True):
            home = next((i for i, room in enumerate(free) if room >= size), None)
            if home is None:
                free.append(self.whole.chips - size)
            else:
                free[home] -= size
        return len(free)


def stands_for(name: str) -> tuple[str, str]:
    """(chip, system) that ``name`` stands for: a chip in its own server, a user's TOML file, or a system and its chip.

    Raises UnknownNameError with the nearest of both, InvalidInputError for a malformed file.
    """
    if name.lower().endswith(".toml"):
        chip(name)  # a malformed file is refused here
        return name, ""
    try:
        return chip_shelf.resolve(name), ""
    except UnknownNameError:
        try:
            found = system(name)
        except UnknownNameError:
            known = [*chip_shelf.ids(), *chip_shelf.aliases(), *system_shelf.ids(), *system_shelf.aliases()]
            raise UnknownNameError("chip or system", name, known) from None
        return found.chip, found.id


def place(asked: str, most: int | None = None) -> Place:
    """The place that ``NAME`` or ``NAME:N`` asks for, with at most N (and at most ``most``) chips; not priced yet.

    Raises UnknownNameError, and InvalidInputError for a count that is none.
    """
    text = asked.strip()
    counted = ":" in text and not text.lower().endswith(".toml")
    name, _, count = text.rpartition(":") if counted else (text, "", "")
    name = name.strip()
    if not name:
        raise InvalidInputError("on", f"'{asked}' names no chip; write it as h20 or h20:8")
    limit = _count("on", count) if counted else 0
    if most is not None:
        limit = min(limit or MOST_CHIPS, _count("max_chips", most))
    chip_name, system_id = stands_for(name)
    on = chip(chip_name)
    whole = system(system_id) if system_id else None
    home = whole or _server(on)
    domain = Links.of(on, home).domain
    largest = min(whole.chips, LARGEST_DOMAIN) if whole else LARGEST_INSTANCE
    largest = min(largest, limit or largest)
    return Place(text, on, chip_name, home.id if home else "", domain, limit, largest, whole)


def _server(on: Chip) -> System | None:
    """The single server of a chip whose record counts a pod as its domain: a bare chip does not come with the pod."""
    if not on.has("scaleup_chips"):
        return None
    domain = on.value("scaleup_chips")
    single = [s for s in systems() if s.chip == on.id and s.nodes == 1 and s.chips < domain]
    return min(single, key=lambda s: s.chips) if single else None


def _count(field: str, value: object) -> int:
    text = str(value).strip()
    number = int(text) if text.lstrip("+-").isdigit() and len(text) < 12 else None
    if number is None or not 1 <= number <= MOST_CHIPS:
        raise InvalidInputError(field, f"'{text}' is not a number of chips from 1 to {MOST_CHIPS:,}")
    return number


def priced(places: list[Place], book: PriceBook) -> tuple[list[Place], str]:
    """The places with prices and power, and a line on how far the prices can be compared.

    Like is compared with like: purchases for all where all have one, else rents for all, else what each has. A user's
    own prices are taken as they are.
    """
    basis = _common(places, book)
    done = []
    for each in places:
        asked = each.whole or each.chip
        done.append(replace(each, price=hourly_usd(asked, book, basis=basis), power_w=_power_w(each.whole, book)))
    kinds = {p.price.basis for p in done if p.price is not None}
    if len(kinds) < 2:
        return done, ""
    rented = ", ".join(p.name for p in done if p.price is not None and p.price.basis == "rent")
    return done, f"prices are of two kinds, {rented} at rent and the others bought: compare with care, or give --prices"


def _power_w(whole: System | None, book: PriceBook) -> float | None:
    """A chip's share of its system's power, at the mean load of the book's terms."""
    return whole.value("power_w") / whole.chips * book.terms.load if whole is not None and whole.has("power_w") else None


def _common(places: list[Place], book: PriceBook) -> Basis | None:
    names = {each.whole.id if each.whole else each.chip.id for each in places} | {each.chip.id for each in places}
    if any(price.yours and price.item in names for price in book.prices):
        return None
    wanted: tuple[Basis, ...] = ("purchase", "rent")
    known = [p for p in places if hourly_usd(p.whole or p.chip, book) is not None]
    return next((b for b in wanted if all(hourly_usd(p.whole or p.chip, book, basis=b) is not None for p in known)), None)


def price_text(price: Price | None) -> str:
    """``bought, 2024-07: 1/8 of HGX H20, over 4 years; 875 W at 0.091 USD/kWh``."""
    if price is None:
        return "price not known"
    how = "rent" if price.basis == "rent" else "bought"
    if price.yours:
        how = "your rent" if price.basis == "rent" else "your purchase"
    head = ", ".join(part for part in (how, price.date) if part)
    return f"{head}: {price.fact.note}" if price.fact.note else head
