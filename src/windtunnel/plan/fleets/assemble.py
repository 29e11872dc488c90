"""From a fleet's file, the catalogue and what was searched to the fleet as numbers; and what those rest on, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from windtunnel.catalog import PriceBook, price_book
from windtunnel.errors import InvalidInputError, MissingFactError
from windtunnel.plan.fleets.dies import DieSupply, Interval
from windtunnel.plan.fleets.market import year_supply
from windtunnel.plan.fleets.money import Offer, offer, power, server
from windtunnel.plan.fleets.permitted import Permission, known_until, permissions
from windtunnel.plan.fleets.problem import Inference, Part, Problem, Site, Stock, Training, TrainingWay, Way
from windtunnel.plan.fleets.spec import (
    ChipSpec,
    FleetSpec,
    InferenceSpec,
    MarketSupply,
    Scenario,
    Series,
    TrainingSpec,
    WorkloadSpec,
)
from windtunnel.plan.fleets.ways import Found, FoundWay
from windtunnel.plan.place import Place, place

KILO = 1e3


@dataclass(frozen=True, slots=True)
class ChipTerms:
    """One [[chip]] with everything that the catalogue adds: what a lot is, what it costs and draws, when it may be had."""

    spec: ChipSpec
    offer: Offer
    lot: int
    power_w: float
    space: float
    supply: tuple[Interval, ...]
    permissions: tuple[Permission, ...]
    supply_told: str = ""


@dataclass
class Assembly:
    """The fleet before anything is solved: terms by chip, chips that drop out with the reason, and what is assumed."""

    spec: FleetSpec
    terms: list[ChipTerms]
    found: Mapping[str, Found]
    dropped: dict[str, str] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)

    def problem(self, scenario: Scenario | None = None) -> Problem:
        """The numbers under one reading of the sources on supply."""
        return _problem(self, scenario or self.spec.scenario)

    @property
    def uncertain(self) -> bool:
        """Whether the sources on supply leave room."""
        return any(each.low != each.high for terms in self.terms for each in terms.supply)


def assemble(spec: FleetSpec, found: Mapping[str, Found]) -> Assembly:
    """Everything that is needed to solve it. Raises InvalidInputError where no chip is left."""
    book = price_book(spec.prices)
    done = Assembly(spec, [], found, assumed=list(spec.assumed))
    for chip in spec.chips:
        try:
            done.terms.append(_terms(spec, chip, book, done.assumed))
        except MissingFactError as unknown:
            done.dropped[chip.name] = str(unknown)
    if not done.terms:
        name, why = next(iter(done.dropped.items()))
        raise InvalidInputError(f"chip {name}", why)
    _say_rules(done)
    done.assumed = list(dict.fromkeys(done.assumed))
    return done


def _terms(spec: FleetSpec, chip: ChipSpec, book: PriceBook, assumed: list[str]) -> ChipTerms:
    at, site = place(chip.on), spec.site(chip.site)
    price = offer(chip, at, book)
    home = server(at)
    lot = chip.lot or (home.chips if home is not None else 1)
    if not chip.lot and home is None:
        assumed.append(f"{chip.name}: no source says in what servers it is sold, so one by one; lot = 8 says otherwise")
    drawn = power(chip, at)
    if drawn is None:
        raise MissingFactError(chip.name, "power", "power_w = ... (of one chip with its share of host and network) says it")
    if not drawn.whole:
        assumed.append(
            f"{chip.name}: {drawn.watts:,.0f} W a chip, host and network not known and left out; power_w = ... says them"
        )
    space = chip.space
    if space is None and spec.space_unit == "racks" and home is not None and home.has("racks"):
        space = home.value("racks")
    if site.space is not None and space is None and not price.rented:
        key = "racks" if spec.space_unit == "racks" else "floor_m2"
        raise MissingFactError(chip.name, "floor space", f"{key} = ... (of {lot} chips) says it, as floor space is limited")
    supply, told = _supply(spec, chip, at)
    if price.basis and chip.price_usd is None and chip.rent_usd_per_h is None:
        per = "USD a chip-hour" if price.rented else "USD a chip with its server"
        assumed.append(
            f"{chip.name}: {price.usd:,.2f} {per} ({price.basis})"
            if price.rented
            else f"{chip.name}: {price.usd:,.0f} {per} ({price.basis})"
        )
    if told:
        assumed.append(told)
    return ChipTerms(
        chip, price, lot, drawn.watts, space or 0.0, supply, permissions(chip, at, site, spec.rules, spec.periods), told
    )  # fmt: skip


def _supply(spec: FleetSpec, chip: ChipSpec, at: Place) -> tuple[tuple[Interval, ...], str]:
    """Chips that can be had in each quarter, and where that comes from."""
    given = chip.supply
    if given is None:
        return (Interval(math.inf, math.inf, math.inf),) * spec.quarters, ""
    if isinstance(given, DieSupply):
        each = given.chips(spec.quarters)
        spread = f"{each.low:,.0f} to {each.high:,.0f} chips a quarter ({each.mid:,.0f} in the middle)"
        told = f"{chip.name}: {spread}, from wafers, yield and packages"
        return (each,) * spec.quarters, told
    if not isinstance(given, MarketSupply):
        return tuple(Interval(x, x, x) for x in given), ""
    years = {period.year: year_supply(at.chip.id, given.year or period.year) for period in spec.periods}
    series = tuple(Interval(*(x * given.share / 4.0 for x in years[period.year].chips)) for period in spec.periods)
    said = "; ".join(dict.fromkeys(f"in {given.year or year} {found.told}" for year, found in years.items()))
    return series, f"{chip.name}: {100 * given.share:.3g} % of what is sold or made in a year, evenly over it: {said}"


def _say_rules(done: Assembly) -> None:
    for site in done.spec.sites:
        here = [terms for terms in done.terms if terms.spec.site == site.name]
        if not site.to:
            done.assumed.append(
                f'{site.name}: no destination is named, so no export rules are held against chips; to = "CN" does'
            )
        elif here:
            until = known_until(place(here[0].spec.on), site.to)
            if done.spec.periods[-1].end > until:
                done.assumed.append(f"export rules are known up to {until} and taken to stay; engineering data, not legal advice")


def _problem(done: Assembly, scenario: Scenario) -> Problem:
    spec = done.spec
    hours = tuple(period.hours for period in spec.periods)
    stocks = tuple(_stock(spec, terms, scenario, hours) for terms in done.terms)
    index = {terms.spec.name: place for place, terms in enumerate(done.terms)}
    return Problem(
        hours=hours,
        stocks=stocks,
        sites=tuple(Site(site.name, site.power_w, site.space) for site in spec.sites),
        inference=tuple(_inference(done, each, index) for each in spec.inference),
        training=tuple(_training(done, each, index) for each in spec.training),
        discount=tuple((1.0 + spec.discount) ** (-t / 4.0) for t in range(spec.quarters)),
        credit=_credit(spec),
        capex=spec.capex,
        capex_quarter=spec.capex_quarter,
        opex_quarter=spec.opex_quarter,
        goal=spec.goal,
    )


def _credit(spec: FleetSpec) -> Series:
    """Part of a purchase of each quarter that is not written off at the end, discounted to the purchase."""
    if spec.write_off_years is None:
        return (0.0,) * spec.quarters
    life = spec.write_off_years * 4.0
    left = (spec.quarters - t for t in range(spec.quarters))
    return tuple(max(1.0 - held / life, 0.0) * (1.0 + spec.discount) ** (-held / 4.0) for held in left)


def _stock(spec: FleetSpec, terms: ChipTerms, scenario: Scenario, hours: Series) -> Stock:
    site, chip = spec.site(terms.spec.site), terms.spec
    load = price_book(spec.prices).terms.load
    rented = terms.offer.rented
    price = terms.offer.usd * (1.0 + chip.added)
    return Stock(
        name=chip.name,
        site=chip.site,
        lot=terms.lot,
        supply=tuple(getattr(each, scenario) for each in terms.supply),
        allowed=tuple(each.share for each in terms.permissions),
        price_usd=tuple(price * each if rented else price for each in hours),
        # what is rented stands elsewhere, and its electricity is in the rent
        energy_usd=tuple(0.0 if rented else terms.power_w / KILO * load * site.pue * each * site.usd_per_kwh for each in hours),
        power_w=0.0 if rented else terms.power_w * site.pue,
        space=0.0 if rented else terms.space,
        owned=chip.owned,
        rented=rented,
    )


def _places(done: Assembly, workload: WorkloadSpec, on: str) -> list[ChipTerms]:
    """The chips of the file, at one site or several, that stand for a place of the search."""
    return [terms for terms in done.terms if terms.spec.on == on and workload.may_run_on(terms.spec)]


def _inference(done: Assembly, workload: InferenceSpec, index: Mapping[str, int]) -> Inference:
    ways = [way for found in done.found[workload.name].ways for way in _ways(done, workload, found, index)]
    return Inference(workload.name, workload.requests_per_s, tuple(ways), workload.penalty_usd, workload.weight)


def _ways(done: Assembly, workload: InferenceSpec, found: FoundWay, index: Mapping[str, int]) -> list[Way]:
    """One for each site that has all that it takes."""
    made = []
    first = _places(done, workload, found.parts[0].on)
    for start in first:
        chosen = [start]
        for part in found.parts[1:]:
            same = [terms for terms in _places(done, workload, part.on) if terms.spec.site == start.spec.site]
            same = [terms for terms in same if terms is start] or same
            chosen += same[:1]
        if len(chosen) == len(found.parts):
            parts = tuple(
                Part(index[terms.spec.name], part.chips, part.rate) for terms, part in zip(chosen, found.parts, strict=True)
            )
            names = [terms.spec.name for terms in chosen]
            label = replace(
                found, parts=tuple(replace(part, on=name) for part, name in zip(found.parts, names, strict=True))
            ).label  # fmt: skip
            made.append(Way(label, parts, found.deployed))
    return made


def _training(done: Assembly, workload: TrainingSpec, index: Mapping[str, int]) -> Training:
    ways = [
        TrainingWay(
            terms.spec.name, index[terms.spec.name], run.unit, run.tokens_per_s,
            workload.most_chips // run.unit if workload.most_chips else 100_000, run.deployed,
        )
        for run in done.found[workload.name].runs
        for terms in _places(done, workload, run.on)
    ]  # fmt: skip
    return Training(workload.name, workload.tokens, workload.first, workload.deadline, tuple(ways), workload.weight)
