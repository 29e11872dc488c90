"""The findings of a simulation, one sentence each: what a reader takes away before any plot is explained."""

from __future__ import annotations

from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving import phases
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.result import Result
from windtunnel.web import words
from windtunnel.web.simulate_data import Asked

FIRST = {"ttft": "first token", "tpot": "time per token"}
ALIKE = 1.25
"""A p99 less than so many times the median is called even."""


def share(value: float) -> str:
    """A share to a tenth of a percent, which is 100 % only where nothing is left out."""
    if value < 1.0 and value > 0.9995:
        return "more than 99.9\N{NO-BREAK SPACE}%"
    return words.percent(value, 0 if value in (0.0, 1.0) else 1)


def where(fleet: Fleet) -> str:
    """On what, in short: ``4 × h20``."""
    told = _chips(fleet.deployment, fleet.replicas)
    if fleet.prefill is None:
        return told
    return f"{_chips(fleet.prefill, fleet.prefill_replicas)} for prefill and {told} for decode"


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
        else f"{share(met).capitalize()} of the requests meet"
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
        return f"The queue grows for as long as requests come: {queued:,} wait at the worst."
    fullest = max((m.kv for m in history if m.kv is not None), default=None)
    cache = f"; the KV cache was {words.percent(fullest)} full at most" if fullest is not None else ""
    in_flight = max(m.arrived - m.answered - m.refused for m in history)
    waited = f"{queued:,} of them waiting for a place" if queued else "none of them waiting for a place"
    if not queued:
        return f"Up to {in_flight:,} requests were in flight, {waited}{cache}."
    return f"Up to {in_flight:,} requests were in flight and up to {queued:,} waited for a place{cache}."


def phases_finding(result: Result) -> str:
    """What takes most of a request's time, and of the slowest first tokens."""
    mean = result.phases.mean()
    if not mean:
        return ""
    name, longest = max(mean.items(), key=lambda item: item[1])
    total = sum(mean.values())
    said = f"{_said(name)} takes {words.percent(longest / total)} of a request's {words.seconds(total)}"
    tail = result.phases.to_first(0.1)
    if result.phases.count < 100:
        return f"{said}."
    slow, most = max(tail.items(), key=lambda item: item[1])
    return f"{said}; the slowest first tokens are {_why(slow)} ({words.percent(most / sum(tail.values()))})."


def _said(phase: str) -> str:
    return {phases.WAITING: "Waiting", phases.TRANSFER: "The KV transfer"}.get(phase, phase.capitalize())


def _why(phase: str) -> str:
    return {
        phases.WAITING: "slow because they wait",
        phases.PREFILL: "slow because their prefill takes long",
        phases.TRANSFER: "slow because of the KV transfer",
        phases.LOST: "slow because instances fail",
    }.get(phase, "slow because of the server around the engine")
