"""Numbers and deployments in the words of the report: plain text, not yet escaped."""

from __future__ import annotations

import math

from windtunnel.plan import words as common
from windtunnel.plan.result import Candidate
from windtunnel.sim.prediction import Deployment, Estimate
from windtunnel.units import show_time

NOT_KNOWN = "not known"
TIMES, DOT, DASH, THIN = "\N{MULTIPLICATION SIGN}", "\N{MIDDLE DOT}", "\N{EN DASH}", "\N{NARROW NO-BREAK SPACE}"


def number(value: float | None, digits: int = 3) -> str:
    """``value`` with three significant digits, whole above a hundred: ``20,480``, ``0.084``."""
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.0f}" if places <= 0 else f"{round(value, places):,.{min(places, 6)}f}"


def percent(share: float, places: int = 0) -> str:
    """``80 %``."""
    return f"{100 * share:.{places}f}\N{NO-BREAK SPACE}%"


def usd(value: float | None) -> str:
    """Dollars: cents from ten cents up, three significant digits below."""
    if value is None or not math.isfinite(value):
        return "price not known"
    return f"${value:,.2f}" if value >= 0.1 else f"${number(value)}"


def seconds(value: float) -> str:
    """A time in the unit in which people say it."""
    return show_time(value).replace(" ", "\N{NO-BREAK SPACE}") if math.isfinite(value) else NOT_KNOWN


def interval(estimate: Estimate) -> str:
    """The two ends of an estimate's interval, in one unit where both have the same."""
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return f"interval {NOT_KNOWN}"
    low, high = show_time(estimate.low), show_time(estimate.high)
    if low.split(" ")[-1] == high.split(" ")[-1]:
        low = low.split(" ")[0]
    return f"{low}{DASH}{high}".replace(" ", "\N{NO-BREAK SPACE}")


def memory(value: float) -> str:
    """``69.4 GiB``, as everywhere."""
    return common.memory(value).replace(" ", "\N{NO-BREAK SPACE}")


def parallelism(deployment: Deployment) -> str:
    """``TP 8 · DP 4 · EP 32``: the degrees that are more than one."""
    degrees = (("TP", deployment.tp), ("PP", deployment.pp), ("DP", deployment.dp), ("EP", deployment.moe_ep))
    said = [f"{name}\N{NO-BREAK SPACE}{degree}" for name, degree in degrees if degree > 1]
    return f" {DOT} ".join(said) or "one chip"


def engine(deployment: Deployment) -> str:
    return common.engine(deployment) or "engine not named"


def precision(deployment: Deployment) -> str:
    return common.precision(deployment)


def instances(candidate: Candidate) -> list[tuple[str, str]]:
    """Who runs what: one (role, words) for an aggregated candidate, two where prefill and decode are apart."""
    own = candidate.prediction.deployment
    if candidate.prefill is None:
        return [("", f"{candidate.replicas} {TIMES} ({parallelism(own)})")]
    before = candidate.prefill.deployment
    return [
        ("prefill", f"{candidate.prefill_replicas} {TIMES} ({parallelism(before)})"),
        ("decode", f"{candidate.replicas} {TIMES} ({parallelism(own)})"),
    ]


def in_short(candidate: Candidate) -> str:
    """The deployment in one phrase: ``2 × (TP 8), FP8, on SGLang 0.5.9``."""
    own = candidate.prediction.deployment
    who = " + ".join(f"{words} {role}".strip() for role, words in instances(candidate))
    return f"{who}, {precision(own)}, on {engine(own)}"
