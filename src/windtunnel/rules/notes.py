"""What is said beside a verdict: guidance, statements, the Chinese side, bills, dates, and what no US item is."""

from __future__ import annotations

import datetime

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.destination import Destination, maker_country, record
from windtunnel.catalog.instrument import Instrument, instrument, instruments
from windtunnel.rules.launch import launch

TOLD: tuple[str, ...] = ("statement", "china", "outcome")
"""Kinds of records that bind nothing and are told of the chips that they concern."""
HEADQUARTERS = "A buyer anywhere whose headquarters or parent are in D:5 or Macau counts as there (s.742.6(a)(6)(iii)(A))."
INSTALLED = "Export rules control exports and transfers, not the continued lawful use of what is installed (BIS, 2026-05-31)."


def notes(chip: Chip, place: Destination, day: datetime.date, eccn: str, by: Instrument) -> list[str]:
    """One line each, most important first."""
    lines = [*_origin(chip, day, eccn), *_when(chip, day, by)]
    if day > record().known_until:
        lines.append(f"The record is known up to {record().known_until}; what changed later is not in it.")
    lines += statements(chip, place, day)
    if _covered_by_duty(chip, place, day):
        lines.append(_line(instrument("duty-2026-01")))
    if not {"CN", "MO", "D:5"} & set(place.groups) and instrument("bis-2023-10").on(day):
        lines.append(HEADQUARTERS)
    if instrument("guidance-2026-05").on(day) and eccn:
        lines.append(INSTALLED)
    return lines


def statements(chip: Chip, place: Destination, day: datetime.date) -> list[str]:
    """What was said by then, and binds nothing, of this chip or of all for that destination."""
    return [_line(each) for each in instruments() if each.kind in TOLD and each.on(day) and _concerns(each, chip, place)]


def prohibited(chip: Chip, day: datetime.date, eccn: str) -> str:
    """How the guidance on General Prohibition 10 is about a chip on a day; "" where it is not."""
    guidance = instrument("guidance-2025-05")
    if maker_country(chip.vendor) != "CN" or not guidance.on(day):
        return ""
    if chip.id in guidance.concerns:
        return f"{guidance.effective}, BIS guidance names this chip [{guidance.tag}]"
    return f"{guidance.effective}, BIS guidance is about ICs of this class [{guidance.tag}]" if eccn else ""


def _line(each: Instrument) -> str:
    tail = "" if each.tag == "official" else f" [{each.tag}]"
    return f"{each.since}, {each.name}: {each.summary}{tail}"


def _concerns(each: Instrument, chip: Chip, place: Destination) -> bool:
    if each.makers and chip.vendor not in each.makers:
        return False
    if each.concerns and chip.id not in each.concerns:
        return False
    if maker_country(chip.vendor) != "US":
        return False  # statements on imports and licences are about foreign chips
    return bool(set(place.groups) & set(each.destinations))


def _covered_by_duty(chip: Chip, place: Destination, day: datetime.date) -> bool:
    duty = instrument("duty-2026-01")
    return duty.on(day) and _concerns(duty, chip, place)


def _origin(chip: Chip, day: datetime.date, eccn: str) -> list[str]:
    """Whether the limits apply to the chip at all."""
    country = maker_country(chip.vendor)
    if country == "":
        return [f"The record does not say whose items the chips of {chip.vendor} are: the limits are applied as if US items."]
    if country == "US":
        return ["Rented in the cloud, not sold: the rules are about exports of chips."] if chip.status == "cloud only" else []
    lines = [f"{chip.vendor}'s chips are no US items: the limits are applied as if they were, and do not clear them."]
    if about := prohibited(chip, day, eccn):
        guidance = instrument("guidance-2025-05")
        lines.append(f"{about}: {guidance.summary} {guidance.notes[0]}")
    return lines


def _when(chip: Chip, day: datetime.date, by: Instrument) -> list[str]:
    """Launches that are still to come, steps of a rule, and rules that are announced."""
    lines = []
    came = launch(chip)
    if came is None:
        lines.append("The record gives no launch date.")
    elif came.earliest > day:
        lines.append(f"Not launched on that day: {came.text}.")
    elif came.latest > day:
        lines.append(f"Perhaps not launched on that day: {came.text}.")
    if by.steps and by.effective is not None and by.effective <= day < max(by.steps):
        lines.append(
            by.notes[0] if by.id == "bis-2022-10" else f"{by.name} took effect in steps: {', '.join(map(str, by.steps))}."
        )
    lines += [
        f"{each.name} is announced, and takes effect on {each.effective}."
        for each in instruments()
        if each.announced and each.effective and each.announced <= day < each.effective and each.binds
    ]
    return lines
