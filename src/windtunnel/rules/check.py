"""What the export rules of a day say of a chip and a destination."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.destination import Destination, destination, maker_country, record
from windtunnel.catalog.instrument import Instrument, Policy, instrument
from windtunnel.catalog.system import System
from windtunnel.errors import InvalidInputError
from windtunnel.rules.classify import (
    Classification,
    Condition,
    Limits,
    alternatives,
    below_2026,
    classify_2022,
    classify_2023,
    letter_hit,
)
from windtunnel.rules.days import first_day
from windtunnel.rules.days import parse_day as parse_day
from windtunnel.rules.item import Item, item
from windtunnel.rules.launch import launch
from windtunnel.rules.metrics import dram_bandwidth, io_bandwidth, performance_density, total_processing_performance
from windtunnel.rules.notes import notes
from windtunnel.rules.verdict import Status, Verdict

STATUS_OF: dict[Policy, Status] = {
    "denial": Status.DENIAL,
    "approval": Status.APPROVAL,
    "case by case": Status.CASE_BY_CASE,
    "licence": Status.LICENCE,
}


def check(name: str | Chip | System, to: str | Destination, date: str | datetime.date) -> Verdict:
    """The verdict on a chip or system for a destination on a day.

    Raises UnknownNameError, MissingFactError for a country whose group is not in the record, and InvalidInputError for
    a day that is malformed or before the first rule.
    """
    asked = item(name)
    place = destination(to) if isinstance(to, str) else to
    day = parse_day(date)
    if day < first_day():
        raise InvalidInputError("date", f"{day} is before the first rule of the record, of {first_day()}; nearest: {first_day()}")
    found = _by_rule(asked.chip, place, day)
    found = _by_letter(found, asked.chip, place, day)
    found = _by_review(found, asked.chip, place, day)
    return _told(found, asked, place, day)


@dataclass(frozen=True, slots=True)
class _Found:
    """A verdict in the making."""

    status: Status
    clause: str
    by: Instrument
    of: Classification
    conditions: tuple[Condition, ...]
    missing: str = ""
    notes: tuple[str, ...] = ()


def _by_rule(chip: Chip, place: Destination, day: datetime.date) -> _Found:
    """What the classification in force and its destinations say."""
    old = instrument("bis-2022-10")
    rule = old if old.on(day) else instrument("bis-2023-10")
    of = classify_2022(chip) if rule is old else classify_2023(chip)
    if of.missing:
        return _Found(Status.NEEDS_FIGURE, f"ECCN 3A090, {rule.name}", rule, of, of.tests, of.missing)
    if not of.eccn:
        return _Found(Status.FREE, _why_free(of, rule), rule, of, of.tests)
    clause = f"ECCN {of.eccn}, {rule.name}"
    if rule is old:
        return _in_2022(place, clause, rule, of)
    if not set(place.groups) & set(rule.destinations) or set(place.groups) & set(rule.except_destinations):
        return _outside(place, day, clause, rule, of)
    if of.exception:
        return _exception(place, day, clause, rule, of)
    review = rule.review or {}
    group = next(g for g in ("MO", "D:5", "D:1", "D:4") if g in place.groups)
    return _Found(STATUS_OF[review[group].policy], clause, rule, of, of.tests, notes=(_review_note(review[group].tag),))


def _review_note(tag: str) -> str:
    return "" if tag == "official" else f"How applications are reviewed is known {_known(tag)}."


def _known(tag: str) -> str:
    return {"official": "from the official text", "second-hand": "second-hand", "memory": "from memory, unconfirmed"}[tag]


def _why_free(of: Classification, rule: Instrument) -> str:
    return f"not 3A090, {rule.name}" + (f" ({of.note})" if of.note else "")


def _in_2022(place: Destination, clause: str, rule: Instrument, of: Classification) -> _Found:
    if not set(place.groups) & set(rule.destinations):
        clause += f": the record does not say whether this rule covers {place.name}"
        return _Found(Status.NOT_COVERED, clause, rule, of, of.tests)
    review = (rule.review or {})["CN"]
    note = f"That this rule covers China, and how applications are reviewed, is known {_known(review.tag)}."
    return _Found(STATUS_OF[review.policy], clause, rule, of, of.tests, notes=(note,))


def _outside(place: Destination, day: datetime.date, clause: str, rule: Instrument, of: Classification) -> _Found:
    """A destination that the rule of 2023 leaves out."""
    diffusion = instrument("diffusion-2025-01")
    if diffusion.on(day) and of.eccn.startswith("3A090.a") and not of.exception:
        said = f"{diffusion.name}: a licence worldwide, allies exempt; the record does not say which, nor whether it was enforced"
        return _Found(Status.NOT_COVERED, said, diffusion, of, of.tests)
    return _Found(Status.FREE, f"{clause}: {place.name} is not among its destinations", rule, of, of.tests)


def _exception(place: Destination, day: datetime.date, clause: str, rule: Instrument, of: Classification) -> _Found:
    """License Exception NAC to Macau and D:5, ACA to D:1 and D:4 (NAC too, before ACA was split from it)."""
    notice = rule.limit("notice_days")
    if {"D:5", "MO"} & set(place.groups):
        said = f"License Exception NAC (s.740.8): BIS is notified {notice.value:.0f} days before"
    elif instrument("bis-2024-04").on(day):
        said = "License Exception ACA (s.740.8): no notice"
    else:
        said = "License Exception NAC (s.740.8); whether notice was needed for this destination is not in the record"
    note = f"The terms of the exception are known {_known(notice.tag)}."
    return _Found(Status.EXCEPTION, f"{clause}; {said}", rule, of, of.tests, notes=(note,))


def _by_letter(found: _Found, chip: Chip, place: Destination, day: datetime.date) -> _Found:
    """The letters of April 2025 ask for a licence also where the classification does not."""
    letter = instrument("letters-2025-04")
    open_so_far = (Status.FREE, Status.EXCEPTION, Status.NEEDS_FIGURE)
    concerned = letter.on(day) and set(place.groups) & set(letter.destinations) and found.status in open_so_far
    if not concerned or (chip.vendor not in letter.makers and maker_country(chip.vendor) == "US"):
        return found
    hit = letter_hit(chip)
    if chip.vendor not in letter.makers:
        if hit.hit:  # no letter went to that maker
            said = "By its bandwidth it would need a licence under the letters of April 2025, had they gone to its maker."
            return replace(found, notes=(*found.notes, said))
        return found
    if hit.hit:
        review = next((letter.review or {})[g] for g in ("CN", "MO", "D:5") if g in place.groups)
        met = tuple(each for each in hit.tests if each.met)
        return replace(
            found, status=STATUS_OF[review.policy], clause=_letter_clause(met, letter), by=letter,
            conditions=(*met, *found.conditions), missing="",
        )  # fmt: skip
    if hit.hit is None and found.status is not Status.NEEDS_FIGURE:
        return replace(
            found, status=Status.NEEDS_FIGURE, clause=letter.name, by=letter, conditions=hit.tests, missing=hit.missing
        )
    return replace(found, conditions=(*found.conditions, *hit.tests))


def _letter_clause(met: tuple[Condition, ...], letter: Instrument) -> str:
    return f"{letter.name}: " + ", ".join(f"{c.name} {c.relation} {c.limit:,.0f} {c.unit}" for c in met)


def _by_review(found: _Found, chip: Chip, place: Destination, day: datetime.date) -> _Found:
    """Since January 2026 what is 3A090.a and below two limits is reviewed case by case for China and Macau."""
    rule = instrument("bis-2026-01")
    if not (rule.on(day) and set(place.groups) & set(rule.destinations)):
        return found
    if not (found.status.bars and found.of.eccn.startswith("3A090.a")):
        return found
    below = below_2026(chip)
    conditions = (*found.conditions, *below.tests)
    if below.hit is None:
        clause = f"{found.clause}; {rule.name} cannot be applied"
        return replace(found, status=Status.NEEDS_FIGURE, clause=clause, conditions=conditions, missing=below.missing)
    if not below.hit:
        over = " and ".join(f"{c.name} not < {c.limit:,.0f} {c.unit}" for c in below.tests if not c.met)
        return replace(
            found, status=Status.DENIAL, clause=f"{found.clause}; not below {rule.name} ({over})", conditions=conditions
        )
    return _case_by_case(found, chip, below, rule, conditions)


def _case_by_case(found: _Found, chip: Chip, below: Limits, rule: Instrument, conditions: tuple[Condition, ...]) -> _Found:
    came = launch(chip)
    on_sale_by = rule.effective
    item = maker_country(chip.vendor) != "CN"  # what is judged as if it were a US item was never on sale there, early or late
    if item and came is not None and on_sale_by is not None and came.earliest > on_sale_by:
        clause = f"{found.clause}; {rule.name} asks that it was sold in the US by {on_sale_by}, and it came later"
        return replace(found, status=Status.DENIAL, clause=clause, by=rule, conditions=conditions)
    review = next(iter((rule.review or {}).values()))
    clause = f"{found.clause}; {rule.name}: " + " and ".join(f"{c.name} < {c.limit:,.0f} {c.unit}" for c in below.tests)
    said = (*rule.notes, f"What is tested in the US bears the duty of {instrument('duty-2026-01').limit('duty').value:.0f} %.")
    said = said if item else ()
    kept = tuple(note for note in found.notes if "reviewed is known" not in note)  # the review is this rule's now
    return replace(
        found, status=STATUS_OF[review.policy], clause=clause, by=rule, conditions=conditions, notes=(*kept, *said)
    )  # fmt: skip


def _told(found: _Found, asked: Item, place: Destination, day: datetime.date) -> Verdict:
    """The verdict with everything that should be said beside it."""
    chip = asked.chip
    clause = found.clause
    if asked.system is not None and found.of.eccn:
        clause = f"ECCN 4A090.{found.of.eccn[6]}: it contains {chip.id}, {clause}"
    beside = notes(chip, place, day, found.of.eccn, found.by)
    return Verdict(
        item=asked.name,
        chip=chip.id,
        destination=place,
        date=day,
        status=found.status,
        eccn=found.of.eccn,
        clause=clause,
        instrument=found.by.id,
        conditions=found.conditions,
        sources=(*found.by.sources, *_figure_sources(chip, found.conditions)),
        notes=tuple(
            dict.fromkeys(note for note in (*found.notes, *_package_note(asked), *beside, *_chip_notes(chip, found)) if note)
        ),
        tag=found.by.tag,
        missing=found.missing,
        launch=launch(chip),
        origin=maker_country(chip.vendor),
        known_until=record().known_until,
    )


def _package_note(asked: Item) -> list[str]:
    is_die = asked.system is None and asked.name != asked.chip.id
    return [f"A die is judged as the package that is sold, {asked.chip.id}."] if is_die else []


_METRIC_OF = {"TPP": total_processing_performance, "PD": performance_density, "DRAM bandwidth": dram_bandwidth,
              "I/O bandwidth": io_bandwidth}  # fmt: skip


def _chip_notes(chip: Chip, found: _Found) -> list[str]:
    """What the numbers that decide rest on, and what another source would make of them."""
    names = {condition.name for condition in found.conditions}
    if "DRAM + I/O" in names:
        names |= {"DRAM bandwidth", "I/O bandwidth"}
    lines = [note for name, metric in _METRIC_OF.items() if name in names for note in metric(chip).notes]
    return lines + [f"{note}." for note in (alternatives(chip) if found.by.id != "bis-2022-10" else ())]


def _figure_sources(chip: Chip, conditions: tuple[Condition, ...]) -> list[str]:
    names = {condition.name for condition in conditions}
    found = [source for name, metric in _METRIC_OF.items() if name in names for source in metric(chip).sources]
    return [f"{chip.id}: {source}" for source in dict.fromkeys(found)]
