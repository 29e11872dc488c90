"""A simulation as the page's scripts read it: curves, moments and phases, thinned to what a plot can show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from windtunnel.sim.serving import phases
from windtunnel.sim.serving.arrivals import Arrivals
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.history import Moment
from windtunnel.sim.serving.quantiles import FEWEST_BEYOND, Quantiles
from windtunnel.sim.serving.result import Metric, Result
from windtunnel.web import words

Json = dict[str, Any]

POINTS = 160
"""Of a curve, at most."""
RATES = 96
"""Stretches of time over which requests are counted, at most."""
NAMES = {"ttft": "time to first token", "tpot": "time per output token", "e2e": "end to end"}
STAGES = {
    phases.DECODE: "decode", phases.PREFILL: "prefill", phases.TRANSFER: "transfer", phases.PLACE: "to_decode",
    phases.WAITING: "waiting",
}  # fmt: skip
"""Where a request in flight is -> the field of ``Moment`` that counts those."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was simulated: targets in seconds, 0 for none; the command line that asks it again."""

    fleet: Fleet
    arrivals: Arrivals
    ttft_s: float
    tpot_s: float
    command: str

    @property
    def targets(self) -> dict[str, float]:
        """The targets that there are, by metric."""
        return {key: value for key, value in (("ttft", self.ttft_s), ("tpot", self.tpot_s)) if value}


def metrics(result: Result) -> dict[str, Metric]:
    """Those of which there are samples, by name."""
    found = {"ttft": result.ttft, "tpot": result.tpot, "e2e": result.e2e}
    return {key: metric for key, metric in found.items() if metric.all.count}


def page_data(asked: Asked, result: Result) -> Json:
    """Everything that is plotted; a saturated run has no latencies, since they would only tell how long it was."""
    told = {} if result.saturated else metrics(result)
    return {
        "curves": [_curve(key, metric.all, asked.targets.get(key)) for key, metric in told.items()],
        "phases": [] if result.saturated else phase_rows(result),
        "stages": present_stages(result.history),
        "moments": [_moment(m) for m in result.history],
        "rates": rates(result.history),
        "last_arrival_s": result.last_arrival_s,
        "carried_per_s": result.carried_requests_per_s if result.saturated else None,
        "apart": result.prefill_pool is not None,
        "engines": result.pool.replicas + (result.prefill_pool.replicas if result.prefill_pool is not None else 0),
    }


def share_within(values: Quantiles, limit: float) -> float:
    """Share of the samples that are at most ``limit``."""
    share = 0.0
    for value, upto in values.cumulative():
        if value > limit:
            break
        share = upto
    return share


def share_text(value: float) -> str:
    """A share to a tenth of a percent, which is 100 % only where nothing is left out."""
    if 0.9995 <= value < 1.0:
        return "more than 99.9\N{NO-BREAK SPACE}%"
    return words.percent(value, 0 if value in (0.0, 1.0) else 1)


def _curve(key: str, values: Quantiles, target: float | None) -> Json:
    return {
        "key": key,
        "name": NAMES[key],
        "points": thinned(values),
        "samples": values.count,
        "firm_to": max(1.0 - FEWEST_BEYOND / values.count, 0.0),
        "target": target,
        "within": share_text(share_within(values, target)) if target else None,
    }


def thinned(values: Quantiles) -> list[list[float]]:
    """(seconds, share of samples up to them), evenly spread over the nines of the share: as much of the tail as of the rest."""
    last = 1.0 - 0.5 / values.count
    step = _nines(last) / POINTS
    found, due = [[values.smallest, 0.0]], 0.0
    for value, share in values.cumulative():
        if share < last and _nines(share) >= due:
            found.append([value, share])
            due = _nines(share) + step
    return [*found, [values.largest, last]]


def _nines(share: float) -> float:
    return -math.log10(1.0 - share)


def phase_rows(result: Result) -> list[Json]:
    """Bars: a request from end to end; then what led to the first token, of all and of the slowest."""
    of = result.phases
    found = [("whole", "A request from end to end, on average", of.mean()), ("first", "All requests", of.to_first())]
    for share, title in ((0.1, "The slowest tenth"), (0.01, "The slowest hundredth")):
        if share * of.count >= FEWEST_BEYOND:
            found.append(("first", title, of.to_first(share)))
    return [
        {"of": of, "title": title, "pieces": [{"kind": kind, "s": s} for kind, s in told.items()]}
        for of, title, told in found
        if told
    ]


def present_stages(history: Sequence[Moment]) -> list[Json]:
    """Places in which a request ever was, from the engine's heart outwards."""
    return [{"kind": kind, "field": field} for kind, field in STAGES.items() if any(getattr(m, field) for m in history)]


def _moment(m: Moment) -> Json:
    told: Json = {"t": m.at_s, **{field: getattr(m, field) for field in STAGES.values() if getattr(m, field)}}
    told |= {key: round(share, 4) for key, share in (("kv", m.kv), ("kv_prefill", m.kv_prefill)) if share is not None}
    return told | ({"down": m.down} if m.down else {})


def rates(history: Sequence[Moment]) -> list[list[float]]:
    """(from, to, arrived a second, answered a second): what the counts of two moments say of the time between them."""
    most = history[-1].at_s if history else 0.0
    found: list[list[float]] = []
    before = history[0] if history else None
    for m in history:
        assert before is not None
        whole = m is history[-1]
        if m.at_s - before.at_s < most / RATES and not (whole and m.at_s > before.at_s):
            continue
        if whole and found and m.at_s - before.at_s < 0.5 * most / RATES:
            break  # too short a rest for a rate of its own
        passed = m.at_s - before.at_s
        found.append([before.at_s, m.at_s, (m.arrived - before.arrived) / passed, (m.answered - before.answered) / passed])
        before = m
    return found
