"""The findings of a simulation, one sentence each: what a reader takes away before any plot is explained."""

from __future__ import annotations

from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving import phases
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.quantiles import FEWEST_BEYOND
from windtunnel.sim.serving.result import Result
from windtunnel.web import words
from windtunnel.web.markup import esc
from windtunnel.web.simulate_data import Asked, share_text

FIRST = {"ttft": "first token", "tpot": "time per token"}
ALIKE = 1.25
"""A p99 less than so many times the median is called even."""
MOST_UNBROKEN = 22
"""Letters that fit a line of the headline on a phone."""


def where(fleet: Fleet) -> str:
    """On what, in short, as HTML: ``4 × h20``, on one line where that fits a phone."""
    told = _unbroken(_chips(fleet.deployment, fleet.replicas))
    if fleet.prefill is None:
        return told
    return f"{_unbroken(_chips(fleet.prefill, fleet.prefill_replicas))} for prefill and {told} for decode"


def _unbroken(text: str) -> str:
    return f'<span class="nowrap">{esc(text)}</span>' if len(text) <= MOST_UNBROKEN else esc(text)


def _chips(deployment: Deployment, replicas: int) -> str:
    place = f"{deployment.chip} of {deployment.system}" if deployment.system else deployment.chip
    return f"{deployment.chips * replicas:,} {words.TIMES} {place}"


def answer(asked: Asked, result: Result) -> str:
    """Whether the load is carried, and the targets met; without targets, what users wait."""
    if result.saturated:
        most = words.number(result.carried_requests_per_s)
        return f"Saturated: {words.number(result.offered_per_s)} requests/s arrive, about {most} can be carried."
    if not result.answered:
        return "Stopped before any request was answered."
    if result.goodput_per_s is None:
        first, each = result.ttft, result.tpot
        then = f", then {words.seconds(each.at(0.5))} a token" if each.all.count else ""
        half, most = words.seconds(first.at(0.5)), words.seconds(first.at(0.99))
        return f"First token within {half} for half of the requests and {most} for 99\N{NO-BREAK SPACE}% of them{then}."
    which = "both targets" if len(asked.targets) == 2 else "the target"
    met = result.good / result.answered
    who = (
        "Every request meets"
        if met == 1.0
        else "No request meets"
        if met == 0.0
        else f"{share_text(met).capitalize()} of the requests meet"
    )
    return f"{who} {which}: goodput is {words.number(result.goodput_per_s)} requests/s."


def runner(asked: Asked, result: Result) -> str:
    """The sentences under the answer."""
    said = []
    if result.partial:
        said.append(
            f"Stopped before its end: {result.in_flight:,} requests had no answer yet, and the figures are of those that had."
        )
    if result.saturated:
        said.append(
            "Requests come faster than they can be answered, so the queue grows for as long as they come. Averages would only "
            "tell how long that was; none are given."
        )
    elif result.answered:
        for key, target in asked.targets.items():
            metric = result.ttft if key == "ttft" else result.tpot
            if metric.all.count:
                p99 = metric.at(0.99)
                side = f"{'within' if p99 <= target else 'over'} the {words.seconds(target)} asked for"
                said.append(f"99\N{NO-BREAK SPACE}% have a {FIRST[key]} of at most {words.seconds(p99)}, {side}.")
    refused = sum(result.refused.values())
    if refused:
        said.append(f"{refused:,} of {result.arrived:,} requests were refused.")
    return " ".join(said)


def latency_finding(result: Result) -> str:
    """How much longer the slowest wait than the middle."""
    first = result.ttft
    p50, p99 = first.at(0.5), first.at(0.99)
    if p99 < ALIKE * p50:
        return f"First tokens come evenly: half within {words.seconds(p50)}, 99\N{NO-BREAK SPACE}% within {words.seconds(p99)}."
    times = words.number(p99 / p50, 2)
    return f"One request in a hundred waits more than {words.seconds(p99)} for its first token, {times} times the median."


def time_finding(result: Result) -> str:
    """How long the queue was, and how full the cache."""
    history = result.history
    most = max(history, key=lambda m: m.waiting + m.to_decode)
    queued = most.waiting + most.to_decode
    if result.saturated:
        queued = max(queued, (result.prefill_pool or result.pool).most_waiting)  # between two moments it may have been longer
        return f"The queue grows for as long as requests come: {queued:,} wait at the worst."
    fullest = max((m.kv for m in history if m.kv is not None), default=None)
    cache = f"; the KV cache was {words.percent(fullest)} full at most" if fullest is not None else ""
    in_flight = max(m.arrived - m.answered - m.refused for m in history)
    down = max(m.down for m in history)
    failed = f"; up to {down:,} instance{'s' * (down != 1)} down at once" if down else ""
    waited = f"and up to {queued:,} waited for a place" if queued else "and none waited for a place"
    return f"Up to {in_flight:,} requests were in flight {waited}{cache}{failed}."


def phases_finding(result: Result) -> str:
    """What takes most of a request's time, and of the slowest first tokens."""
    mean = result.phases.mean()
    if not mean:
        return ""
    name, longest = max(mean.items(), key=lambda item: item[1])
    total = sum(mean.values())
    said = f"{_said(name)} takes {words.percent(longest / total)} of a request's {words.seconds(total)}"
    if result.phases.count < 10 * FEWEST_BEYOND:
        return f"{said}."
    slow = sorted(result.phases.to_first(0.1).items(), key=lambda item: -item[1])
    whole = sum(took for _, took in slow)
    told = [f"{_within(name)} {words.percent(took / whole)}" for name, took in slow[:2] if took > 0.2 * whole]
    return f"{said}; of the slowest tenth of first tokens, {' and '.join(told)}."


def _said(phase: str) -> str:
    return {phases.TRANSFER: "The KV transfer", phases.LOST: "What failures lose", phases.AROUND: "The server around"}.get(
        phase, phase.capitalize()
    )


def _within(phase: str) -> str:
    return _said(phase).replace("The ", "the ").lower().replace("kv", "KV")
