"""The one rule by which a claim is judged: what it says as a range, against what is found as a range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from windtunnel.claims.found import Found
from windtunnel.claims.record import Part

Verdict = Literal["holds", "does not hold", "holds in part", "cannot be told"]
VERDICTS: tuple[Verdict, ...] = ("holds", "holds in part", "does not hold", "cannot be told")

MOST_ROUNDING = 0.25
"""A round number stands for its neighbours, but for none that is a quarter off."""


def rounding(value: float) -> float:
    """How far a number as written may be from the one that it stands for: half a unit of its last digit that is not zero
    (40 is 35 to 45, 0.667 is 0.6665 to 0.6675), and at most a quarter of it (a million is 750,000 to 1,250,000)."""
    if value == 0:
        return 0.0
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return float(min(0.5 * 10.0**exponent, MOST_ROUNDING * abs(value)))


def claimed_range(part: Part) -> tuple[float, float]:
    """The numbers that would make a numeric part true. Bounds of ``over`` and ``under`` do not belong to it."""
    if part.relation == "over":
        return math.nextafter(part.value, math.inf), math.inf
    if part.relation == "under":
        return -math.inf, math.nextafter(part.value, -math.inf)
    if part.relation == "between":
        return part.value - rounding(part.value), part.high + rounding(part.high)
    return part.value - rounding(part.value), part.value + rounding(part.value)


def judge(part: Part, found: Found) -> Verdict:
    """The verdict on one part: it holds where all that was found lies in what it says, does not hold where none does, and
    holds in part where some does.

    ``up to`` looks at the highest that was found, ``possible`` at whether the value lies in what was found.
    """
    if found.unknown:
        return "cannot be told"
    if part.relation == "is":
        return "holds" if part.text.casefold() == found.text.casefold() else "does not hold"
    low, high = claimed_range(part)
    if part.relation == "possible":
        return "holds" if found.low <= high and low <= found.high else "does not hold"
    least, most = (found.high, found.high) if part.relation == "up to" else (found.low, found.high)
    slack = 1e-9 * max(abs(low) if math.isfinite(low) else 0.0, abs(high) if math.isfinite(high) else 0.0)
    if part.relation in ("over", "under"):
        slack = 0.0
    if low - slack <= least and most <= high + slack:
        return "holds"
    if most < low - slack or least > high + slack:
        return "does not hold"
    return "holds in part"


def leaning(part: Part, found: Found) -> str:
    """Of a part that holds in part: where the best value lies, in words; else empty."""
    if judge(part, found) != "holds in part":
        return ""
    low, high = claimed_range(part)
    where = "below" if found.value < low else "above" if found.value > high else "within"
    kind = "the prediction allows it" if found.evidence is not None else "some of the range agrees"
    return f"{kind}; the best value is {where} what is claimed" if found.low < found.high else kind


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on a claim: it holds or not where all its parts do; where they differ, or some cannot be told beside some
    that hold, in part. What can be refuted in all that can be told does not hold."""
    told = {verdict for verdict in verdicts if verdict != "cannot be told"}
    if not told:
        return "cannot be told"
    if told == {"does not hold"}:
        return "does not hold"
    return "holds" if told == {"holds"} and len(told) == len(set(verdicts)) else "holds in part"
