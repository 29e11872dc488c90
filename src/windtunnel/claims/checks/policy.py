"""Export rules: verdicts of a day, and thresholds that a proposal would give."""

from __future__ import annotations

import datetime

from windtunnel.catalog.chip import chips
from windtunnel.catalog.destination import maker_country
from windtunnel.claims.check import Answer, answer, checks, no_matter
from windtunnel.claims.found import Found, name, number, unknown
from windtunnel.claims.ledger import Ledger
from windtunnel.rules.launch import launch
from windtunnel.rules.metrics import METRICS
from windtunnel.rules.verdict import Status

BUFFER = 0.5
"""Claim S027."""
DAY = datetime.date(2025, 8, 5)
UNITS = {"tpp": "TPP", "dram": "GB/s of memory"}
"""Metric of export rules -> its unit."""
PROPOSAL = "a proposal is neither true nor false"
US_CHIPS = ("h20", "a100-sxm-80gb", "h100-sxm", "h200-sxm", "mi300x", "mi325x", "b200-sxm")


def _best(ledger: Ledger, which: str, day: datetime.date) -> tuple[str, float]:
    """The Chinese chip on sale by ``day`` that has most of a metric, and how much."""
    own = [c for c in chips() if maker_country(c.vendor) == "CN" and c.status.startswith("shipping")]
    sold = [c for c in own if (at := launch(c)) is not None and not at.planned and at.latest <= day]
    known = [(value, c.id) for c in sold if (value := METRICS[which](c).value) is not None]
    _, best = max(known)
    return best, ledger.metric(best, which)


def _limits(ledger: Ledger, day: datetime.date) -> dict[str, tuple[float, str]]:
    """Metric -> the limit of a day by the proposal, and the chip that sets it."""
    found = {which: _best(ledger, which, day) for which in UNITS}
    return {which: (value * (1 + BUFFER), best) for which, (best, value) in found.items()}


def _told(ledger: Ledger, day: datetime.date) -> str:
    limits = _limits(ledger, day)
    told = ", ".join(f"{limit:,.0f} {UNITS[which]} (best: {best})" for which, (limit, best) in limits.items())
    passing = [each for each in US_CHIPS if all(ledger.metric(each, which) <= limits[which][0] for which in UNITS)]
    return f"{day.isoformat()}: {told}; at or below both: {', '.join(passing) or 'none'} of {', '.join(US_CHIPS)}."


@checks("S027")
def buffered_threshold(ledger: Ledger) -> Answer:
    limits = ", ".join(f"{limit:,.0f} {UNITS[which]}" for which, (limit, _) in _limits(ledger, DAY).items())
    return no_matter(f"{PROPOSAL}; on {DAY.isoformat()} it would give {limits}", _told(ledger, DAY))


@checks("S028")
def yearly_threshold(ledger: Ledger) -> Answer:
    days = [datetime.date(year, 1, 1) for year in (2024, 2025, 2026)]
    limits = ", ".join(f"{_limits(ledger, day)['tpp'][0]:,.0f} in {day.year}" for day in days)
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
