"""On which days of a quarter a chip may be had: by export rules of those days, by its launch, and by rules of one's own."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from windtunnel.catalog.destination import Destination
from windtunnel.catalog.destination import destination as destination_named
from windtunnel.plan.allowed import why_not_had
from windtunnel.plan.fleets.quarter import Quarter
from windtunnel.plan.fleets.spec import ChipSpec, RuleSpec, SiteSpec
from windtunnel.plan.place import Place
from windtunnel.rules.check import check
from windtunnel.rules.days import first_day
from windtunnel.rules.timeline import turning_days
from windtunnel.rules.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Permission:
    """share: of the quarter's days on which the chip may be had; why: what keeps it away on the others (or lets it through),
    "" where nothing is to be said."""

    share: float
    why: str = ""


def permissions(
    chip: ChipSpec, at: Place, site: SiteSpec, rules: tuple[RuleSpec, ...], periods: tuple[Quarter, ...]
) -> tuple[Permission, ...]:
    """One for each quarter. The last rule of the file that names the chip counts, before all export rules."""
    found = []
    for t, period in enumerate(periods):
        own = [rule for rule in rules if {chip.name, chip.on} & set(rule.chips) and rule.first <= t <= rule.last]
        if own:
            found.append(Permission(1.0 if own[-1].allow else 0.0, own[-1].why))
        else:
            found.append(_by_record(at, destination_named(site.to), period) if site.to else Permission(1.0))
    return tuple(found)


def _by_record(at: Place, to: Destination, period: Quarter) -> Permission:
    """By the export rules of the days between two changes of them, and the chip's launch."""
    turns = {period.first_day, *turning_days()}
    first: Verdict | None = check(at.whole or at.chip, to, max(period.first_day, first_day()))
    if first is not None and first.launch is not None:
        turns.add(first.launch.earliest)
    days = sorted(day for day in turns if period.first_day <= day < period.end)
    free, reasons = 0, []
    for day, end in zip(days, [*days[1:], period.end], strict=True):
        verdict = None if day < first_day() else check(at.whole or at.chip, to, day)
        if verdict is not None and why_not_had(verdict):
            reasons.append(_why(verdict))
        else:
            free += (end - day).days
    share = free / (period.end - period.first_day).days
    return Permission(share, reasons[0] if reasons else "")


def _why(verdict: Verdict) -> str:
    """What keeps it away, without the day: the same in every quarter in which it does."""
    came = verdict.launch
    if came is not None and came.earliest > verdict.date:
        return f"not launched: {came.text}"
    return f"{verdict.headline}; {verdict.clause}"


def known_until(at: Place, to: str) -> datetime.date:
    """The last day of the record of export rules."""
    return check(at.chip, destination_named(to), first_day()).known_until
