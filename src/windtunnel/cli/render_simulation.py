"""A simulation as text: what users saw, how many samples stand behind it, what the engines did."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.cli.render import UNKNOWN, Sheet, count, deployed_as, number, percent, requests, time_text
from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving.arrivals import Arrivals
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.result import Metric, PoolResult, Result
from windtunnel.sim.serving.words import load

FEW = "*"


def simulation_sheet(fleet: Fleet, arrivals: Arrivals, result: Result, *, width: int = 0, terminal: bool | None = None) -> Sheet:
    sheet = Sheet(width=width, terminal=terminal)
    sheet.line(place_of(fleet), style="bold")
    sheet.line(f"{load(arrivals)}, seed {result.seed}")
    if result.partial:
        sheet.line(f"stopped before its end: {count(result.in_flight, 'request')} had no answer yet", style="bold")
    sheet.line()
    sheet.facts(_facts(result))
    if not result.saturated:
        metrics = (("time to first token", result.ttft), ("time per output token", result.tpot), ("end to end", result.e2e))
        columns = ["", "mean", "p50", "p90", "p99", "most", "samples"]
        sheet.table("", columns, [[name, *_cells(metric)] for name, metric in metrics if metric.all.count])
        few = next((q for _, m in metrics for q in m.quantiles if m.all.count and not q.firm), None)
        if few is not None:
            sheet.line(f"{FEW} fewer than 10 samples lie beyond it")
    if result.notes:
        sheet.line()
        for note in result.notes:
            sheet.bullet(note)
    return sheet


def place_of(fleet: Fleet) -> str:
    """The fleet in a line: the model, on what, and how it is cut."""
    told = _instances(fleet.deployment, fleet.replicas)
    if fleet.prefill is None:
        return f"{fleet.deployment.model} on {told}"
    return f"{fleet.deployment.model}: prefill on {_instances(fleet.prefill, fleet.prefill_replicas)}; decode on {told}"


def _instances(deployment: Deployment, replicas: int) -> str:
    place = f"{deployment.chip} of {deployment.system}" if deployment.system else deployment.chip
    each = f"{deployment.chips} x {place}: {deployed_as(deployment)}"
    return f"{replicas} times {each}" if replicas > 1 else each


def _facts(result: Result) -> Iterator[tuple[str, str]]:
    rate = f" at {number(result.offered_per_s)}/s" if result.offered_per_s else ""
    yield "requests", f"{result.arrived:,} arrived{rate}, {result.answered:,} answered in {number(result.seconds)} s"
    if result.restarted:
        yield "started again", f"{count(result.restarted, 'request')} that a failing instance held"
    for why, n in result.refused.items():
        yield "refused", f"{n:,}: {why}"
    if result.saturated:
        most = result.carried_requests_per_s
        yield "saturated", f"requests come faster than they are answered; about {number(most)}/s can be carried"
        most_waiting = (result.prefill_pool or result.pool).most_waiting
        yield "waiting", f"{most_waiting:,} at one instance at the worst; averages would only tell how long they came"
    else:
        if result.goodput_per_s is not None:
            share = percent(result.good / result.answered if result.answered else 0.0, 1)
            yield "goodput", f"{number(result.goodput_per_s)} requests/s within the targets, {share} of those answered"
        yield "output tokens/s", number(result.output_tokens_per_s)
    if result.prefill_pool is not None:
        yield "prefill", _pool(result.prefill_pool)
        moved = f"{time_text(result.transfer_s)} each"
        wait = f", after waiting {time_text(result.transfer_wait_s)} for the link" if result.transfer_wait_s > 1e-6 else ""
        yield "KV cache moved", f"{count(result.transfers, 'time')}, {moved}{wait}"
        yield "decode", _pool(result.pool)
    else:
        yield "at work", _pool(result.pool)
    within = result.ttft.within, result.tpot.within
    if within[0] is not None and within[1] is not None and not result.saturated:
        first, later = (f"{w.low:.2g} to {w.high:.2g}" for w in within if w is not None)
        label = result.evidence.label
        yield (
            "interval",
            f"measured means lie in 80 % of cases at {first} times these first tokens, {later} times per token; {label}",
        )


def _pool(pool: PoolResult) -> str:
    told = [f"busy {percent(pool.busy)}"]
    if pool.running:
        told.append(f"{requests(pool.running)} decoding at an instance")
    told.append(f"{requests(pool.waiting)} waiting in all, {pool.most_waiting:,} at an instance at most")
    if pool.kv_tokens and pool.running:
        told.append(f"KV cache {percent(pool.kv)} of {pool.kv_tokens:,} tokens")
    if pool.hit_rate:
        told.append(f"{percent(pool.hit_rate)} of the input from the prefix cache")
    if pool.preemptions:
        told.append(count(pool.preemptions, "preemption"))
    if pool.downtime:
        told.append(f"down {percent(pool.downtime, 1)}")
    return ", ".join(told)


def _cells(metric: Metric) -> list[str]:
    quantiles = [time_text(q.value_s) + ("" if q.firm else FEW) for q in metric.quantiles]
    return (
        [time_text(metric.mean_s), *quantiles, time_text(metric.most_s), f"{metric.all.count:,}"]
        if metric.all.count
        else [UNKNOWN] * 6
    )
