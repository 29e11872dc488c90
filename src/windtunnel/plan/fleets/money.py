"""What a chip costs to buy with its server, and what it draws: the user's own figures, else the catalogue's, else none."""

from __future__ import annotations

from dataclasses import dataclass, replace

from windtunnel.catalog import PriceBook, chip, systems
from windtunnel.catalog.price import Price, in_usd, prices
from windtunnel.catalog.system import System
from windtunnel.errors import MissingFactError
from windtunnel.plan.fleets.spec import ChipSpec
from windtunnel.plan.place import Place


@dataclass(frozen=True, slots=True)
class Offer:
    """What one chip costs: bought, or rented by the hour. basis: where that comes from, in words."""

    usd: float
    rented: bool
    basis: str


def server(at: Place) -> System | None:
    """What the chips of a place are sold in: the system that was asked for, else the smallest single server of the catalogue."""
    if at.whole is not None:
        return at.whole
    single = [each for each in systems() if each.chip == at.chip.id and each.nodes == 1]
    return min(single, key=lambda each: each.chips, default=None)


def offer(spec: ChipSpec, at: Place, book: PriceBook) -> Offer:
    """The price of one chip. Raises MissingFactError where nobody published one."""
    if spec.price_usd is not None:
        return Offer(spec.price_usd, False, "price of the file")
    if spec.rent_usd_per_h is not None:
        return Offer(spec.rent_usd_per_h, True, "rent of the file")
    found = _bought(at, replace(book, prices=tuple(p for p in book.prices if p.basis == "purchase")))
    if found is not None:
        return found
    rents = [price for price in prices((at.whole or at.chip).id, book) if price.basis == "rent"]
    if rents:
        return Offer(in_usd(rents[0], book).fact.value, True, f"rented, {rents[0].date}: {rents[0].fact.source}")
    raise MissingFactError(spec.name, "price", "price = ... (of one chip with its server) or rent_per_hour = ... says it")


def _bought(at: Place, book: PriceBook) -> Offer | None:
    """A published purchase: of the system, of a server of the chip, of the bare chip with its server's share, of the package."""
    wholes = [at.whole] if at.whole is not None else [each for each in systems() if each.chip == at.chip.id]
    found = [(price, whole) for whole in wholes for price in prices(whole.id, book)[:1]]
    bare = prices(at.chip.id, book)
    if bare and bare[0].yours:
        return _bare(bare[0], book, 1.0)
    if found:
        price, whole = max(found, key=lambda each: (each[0].yours, each[0].date))
        return Offer(in_usd(price, book).fact.value / whole.chips, False, f"{price.date}: 1/{whole.chips} of {whole.name}")
    if bare:
        return _bare(bare[0], book, book.terms.server_factor)
    if at.chip.part_of:
        package = chip(at.chip.part_of)
        whole_price = _bought(replace(at, chip=package, whole=None), book)
        if whole_price is not None:
            return Offer(whole_price.usd / package.devices, False, f"1/{package.devices} of {package.id}: {whole_price.basis}")
    return None


def _bare(price: Price, book: PriceBook, factor: float) -> Offer:
    times = f"{factor:g} x the bare chip, for its server" if factor != 1.0 else "your price"
    return Offer(in_usd(price, book).fact.value * factor, False, ", ".join(part for part in (price.date, times) if part))


@dataclass(frozen=True, slots=True)
class Power:
    """Of one chip, in W. whole: with its share of host and network."""

    watts: float
    whole: bool


def power(spec: ChipSpec, at: Place) -> Power | None:
    """What one chip draws at its limit; None where no source says."""
    if spec.power_w is not None:
        return Power(spec.power_w, True)
    home = server(at)
    if home is not None and home.has("power_w"):
        return Power(home.value("power_w") / home.chips, True)
    return Power(at.chip.value("tdp_w"), False) if at.chip.has("tdp_w") else None
