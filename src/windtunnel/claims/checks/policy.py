"""Export rules: verdicts of a day, and thresholds that a proposal would give."""

from __future__ import annotations

import datetime

from windtunnel.catalog.chip import chip, chips
from windtunnel.catalog.destination import maker_country
from windtunnel.claims.check import Answer, answer, checks, no_matter
from windtunnel.claims.found import Found, name, number, unknown
from windtunnel.claims.ledger import Ledger
from windtunnel.rules.threshold import YearLimit
from windtunnel.rules.verdict import Status

BUFFER = 0.5
"""Claim S027."""
DAY = datetime.date(2025, 8, 5)
UNITS = {"tpp": "TPP", "dram": "GB/s of memory"}
"""Metric of export rules -> its unit."""
PROPOSAL = "a proposal is neither true nor false"


def _limits(ledger: Ledger, day: datetime.date) -> dict[str, YearLimit]:
    """Metric -> the limit of a day by the proposal, over the Chinese chips that ship and were on sale for certain."""
    own = [c.id for c in chips() if maker_country(c.vendor) == "CN" and c.status.startswith("shipping")]
    return {which: ledger.threshold(own, BUFFER, which, day) for which in UNITS}


def _told(ledger: Ledger, day: datetime.date) -> str:
    limits = _limits(ledger, day)
    told = ", ".join(f"{limit.low:,.0f} {UNITS[which]} (best: {limit.best_low.chip})" for which, limit in limits.items())
    passing = [{held.chip for held in limit.held if held.value <= limit.low} for limit in limits.values()]
    both = sorted(name for name in set.intersection(*passing) if chip(name).datacenter)
    return f"{day.isoformat()}: {told}; US chips for datacenters at or below both: {', '.join(both) or 'none'}."


@checks("S027")
def buffered_threshold(ledger: Ledger) -> Answer:
    limits = ", ".join(f"{limit.low:,.0f} {UNITS[which]}" for which, limit in _limits(ledger, DAY).items())
    return no_matter(f"{PROPOSAL}; on {DAY.isoformat()} it would give {limits}", _told(ledger, DAY))


@checks("S028")
def yearly_threshold(ledger: Ledger) -> Answer:
    days = [datetime.date(year, 1, 1) for year in (2024, 2025, 2026)]
    limits = ", ".join(f"{_limits(ledger, day)['tpp'].low:,.0f} in {day.year}" for day in days)
    return no_matter(
        f"{PROPOSAL}; at the start of the year it would give a TPP of {limits}", *(_told(ledger, day) for day in days)
    )


@checks("S029")
def guidance(ledger: Ledger) -> Answer:
    rule = ledger.rule("guidance-2025-05")
    return answer(
        name(rule.since, rule.name), unknown("the record of rules has the text as it stands, not how it was worded first")
    )


def _to_china(ledger: Ledger, which: str, day: str) -> Found:
    verdict = ledger.checked(which, "CN", day)
    needed = verdict.status in (Status.LICENCE, Status.DENIAL, Status.CASE_BY_CASE)
    return name("licence required" if needed else str(verdict.status), f"{verdict.headline}: {verdict.clause}")


@checks("S054")
def h200_and_b200(ledger: Ledger) -> Answer:
    later = ledger.checked("h200-sxm", "CN", "2026-01-15")
    return answer(
        *(_to_china(ledger, each, "2025-01-28") for each in ("h200-sxm", "b200-sxm")),
        beside=(f"On 2026-01-15, of the H200: {later.headline}.",),
    )


@checks("S055")
def revenue_share(ledger: Ledger) -> Answer:
    share = ledger.rule("revenue-share-2025-08").limit("revenue_share")
    price = 1.0 / (1.0 - share.value / 100.0)
    return answer(
        number(share.value, share.unit, f"{share.paragraph}; known: {share.tag}"),
        beside=(f"To keep the same net, a price would rise {price:.3f} x. No published regulation was found.",),
    )
