"""What a simulation's page says without scripts: the question, quantiles, pools, and the numbers behind the plots."""

from __future__ import annotations

from collections.abc import Sequence

from windtunnel.sim.prediction import Deployment
from windtunnel.sim.serving import words as sim_words
from windtunnel.sim.serving.fleet import Fleet
from windtunnel.sim.serving.history import Moment
from windtunnel.sim.serving.quantiles import FEWEST_BEYOND
from windtunnel.sim.serving.result import Metric, PoolResult, Quantile, Result
from windtunnel.web import words
from windtunnel.web.markup import definitions, esc, head, row, table
from windtunnel.web.simulate_data import NAMES, Asked, metrics, share_text, share_within

COLUMNS = ("Mean", "p50", "p90", "p99", "Longest", "Samples", "Target")
DETAILED = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
MOMENTS = 24
FEW = f'<abbr title="fewer than {FEWEST_BEYOND} samples lie beyond it">*</abbr>'


def question(asked: Asked, result: Result, day: str, version: str) -> str:
    """What was asked, as a list of terms."""
    fleet = asked.fleet
    told = [f"{words.seconds(t)} {'to the first token' if key == 'ttft' else 'per token'}" for key, t in asked.targets.items()]
    items = [("Requests", esc(sim_words.load(asked.arrivals)))]
    if fleet.prefill is not None:
        items.append(("Prefill", esc(_instances(fleet.prefill, fleet.prefill_replicas))))
    items.append(("Decode" if fleet.prefill is not None else "Fleet", esc(_instances(fleet.deployment, fleet.replicas))))
    items.append(("Targets", esc(", ".join(told)) or "none"))
    if max(fleet.replicas, fleet.prefill_replicas) > 1:
        items.append(("Router", esc(fleet.router)))
    if fleet.failures is not None:
        f = fleet.failures
        items.append(("Failures", f"one in {words.seconds(f.mtbf_s)} of an instance, down for {words.seconds(f.repair_s)}"))
    return definitions([*items, ("Seed", str(result.seed)), ("Simulated on", f"{esc(day)}, with windtunnel {esc(version)}")])


def _instances(deployment: Deployment, replicas: int) -> str:
    place = f"{deployment.chip} of {deployment.system}" if deployment.system else deployment.chip
    each = f"{deployment.chips} {words.TIMES} {place}" + (f" ({words.parallelism(deployment)})" if deployment.chips > 1 else "")
    many = f"{replicas:,} instances of {each}" if replicas > 1 else each
    named = f", {words.engine(deployment)}" if deployment.engine else ""
    return f"{many}, {words.precision(deployment)}{named}"


def summary(fleet: Fleet, result: Result) -> str:
    """Key figures under the answer."""
    rate = f"<small>{words.number(result.offered_per_s)}/s arrive</small>" if result.offered_per_s else ""
    last = result.prefill_pool or result.pool
    busy = words.percent(result.pool.busy)
    if result.prefill_pool is not None:
        busy = f"{words.percent(result.prefill_pool.busy)} <small>prefill; decode {words.percent(result.pool.busy)}</small>"
    items = [
        ("Requests answered", f"{result.answered:,} of {result.arrived:,}{rate}"),
        ("In", f"{words.number(result.seconds)}&nbsp;s <small>simulated</small>"),
        ("Output", f"{words.number(result.output_tokens_per_s)} tokens/s {_per_chip(fleet, result)}"),
        ("Instances compute", f"{busy}"),
    ]
    if result.saturated:
        items.append(("Waiting at an instance", f"{last.most_waiting:,} <small>at the worst</small>"))
    elif result.goodput_per_s is not None:
        items.append(("Goodput", f"{words.number(result.goodput_per_s)} requests/s"))
    return definitions(items, "key")


def _per_chip(fleet: Fleet, result: Result) -> str:
    if fleet.chips < 2:
        return ""
    return f"<small>{words.number(result.output_tokens_per_s / fleet.chips)} per chip, of {fleet.chips:,}</small>"


def quantile_table(asked: Asked, result: Result) -> str:
    """Every metric with its quantiles; readable as cards on a phone."""
    found = metrics(result)
    if result.saturated or not found:
        return ""
    columns = COLUMNS if asked.targets else COLUMNS[:-1]
    cells = "".join(f'<th scope="col" role="columnheader" class="n">{name}</th>' for name in columns)
    rows = "".join(_metric_row(key, metric, asked) for key, metric in found.items())
    few = any(not q.firm for metric in found.values() for q in metric.quantiles)
    note = f' <span class="small">* fewer than {FEWEST_BEYOND} samples lie beyond it.</span>' if few else ""
    caption = f"Of the requests that were answered. Small print: where measured means lie in 80&nbsp;% of cases.{note}"
    return (
        f'<table role="table" class="chips quantiles"><caption>{caption}</caption><thead role="rowgroup"><tr role="row">'
        f'<th scope="col" role="columnheader"></th>{cells}</tr></thead><tbody role="rowgroup">{rows}</tbody></table>'
    )


def _metric_row(key: str, metric: Metric, asked: Asked) -> str:
    within = metric.within
    likely = (
        f"{words.seconds(metric.mean_s * within.low)}{words.DASH}{words.seconds(metric.mean_s * within.high)}" if within else ""
    )
    cells = [("Mean", words.seconds(metric.mean_s), likely)]
    cells += [(f"p{100 * q.q:g}", _quantile(q), "") for q in metric.quantiles]
    cells += [("Longest", words.seconds(metric.most_s), ""), ("Samples", f"{metric.all.count:,}", "")]
    target = asked.targets.get(key)
    if target:
        cells.append(("Target", words.seconds(target), f"met by {share_text(share_within(metric.all, target))}"))
    elif asked.targets:
        cells.append(("Target", words.DASH, ""))
    body = "".join(_cell(label, value, small) for label, value, small in cells)
    return f'<tr role="row"><th scope="row" role="rowheader">{NAMES[key].capitalize()}</th>{body}</tr>'


def _cell(label: str, value: str, small: str) -> str:
    kind = "n none" if value == words.DASH else "n"
    under = f"<small>{small}</small>" if small else ""
    return f'<td role="cell" class="{kind}" data-label="{label}"><span>{value}{under}</span></td>'


def _quantile(q: Quantile) -> str:
    return words.seconds(q.value_s) + ("" if q.firm else FEW)


def detailed_quantiles(result: Result) -> str:
    """The numbers behind the curves."""
    found = metrics(result)
    body = [
        row(
            f"p{100 * q:g}",
            [("n", words.seconds(m.at(q)) + ("" if m.all.beyond(q) >= FEWEST_BEYOND else FEW)) for m in found.values()],
        )
        for q in DETAILED
    ]
    names = [NAMES[key].capitalize() for key in found]
    return table("Quantiles", head(("Share", *names), names), body)


def moments_table(history: Sequence[Moment]) -> str:
    """The numbers behind the plots over time, at some of the moments."""
    step = max(len(history) // MOMENTS, 1)
    shown = [m for i, m in enumerate(history) if i % step == 0 or m is history[-1]]
    figures = ("Arrived", "Answered", "Waiting", "In prefill", "Decoding", "KV cache")
    body = [
        row(
            f"{words.number(m.at_s)}&nbsp;s",
            [("n", f"{n:,}") for n in (m.arrived, m.answered, m.waiting + m.to_decode, m.prefill, m.decode)]
            + [("n", words.percent(m.kv) if m.kv is not None else words.DASH)],
        )
        for m in shown
    ]
    return table("The fleet at some moments", head(("Time", *figures), figures), body)


def pools_table(result: Result) -> str:
    """What the engines did, a column for each pool."""
    pools = [("Prefill", result.prefill_pool)] if result.prefill_pool is not None else []
    named: list[tuple[str, PoolResult]] = [(name, pool) for name, pool in [*pools, ("Decode", result.pool)] if pool is not None]
    if len(named) == 1:
        named = [("All instances", result.pool)]
    lines = [
        ("Instances", [f"{p.replicas:,}" for _, p in named]),
        ("Share of the time that they compute", [words.percent(p.busy, 1) for _, p in named]),
        ("Decoding at an instance, on average", [words.number(p.running) if p.running else words.DASH for _, p in named]),
        ("Waiting for a place in all, on average", [words.number(p.waiting) for _, p in named]),
        ("Waiting at one instance, at most", [f"{p.most_waiting:,}" for _, p in named]),
        ("KV cache of an instance, tokens", [f"{p.kv_tokens:,}" if p.kv_tokens else "no limit" for _, p in named]),
        (
            "KV cache held by what decodes, on average",
            [words.percent(p.kv, 1) if p.kv_tokens and p.running else words.DASH for _, p in named],
        ),
        (
            "Input from the prefix cache",
            [words.percent(p.hit_rate, 1) if p.hit_rate is not None else words.DASH for _, p in named],
        ),
        ("Preemptions", [f"{p.preemptions:,}" for _, p in named]),
        ("Share of the time that they are down", [words.percent(p.downtime, 1) for _, p in named]),
    ]
    if not any(p.downtime for _, p in named):
        lines.pop()
    names = [name for name, _ in named]
    body = [row(name, [("n", value) for value in values]) for name, values in lines]
    moved = ""
    if result.transfers:
        wait = f" after waiting {words.seconds(result.transfer_wait_s)} for the link" if result.transfer_wait_s > 1e-6 else ""
        moved = f"<p>{result.transfers:,} KV caches moved, {words.seconds(result.transfer_s)} each{wait}.</p>"
    restarted = (
        f"<p>{result.restarted:,} times a request started again, since its instance had failed.</p>" if result.restarted else ""
    )
    refused = "".join(f"<p>{n:,} requests were refused: {esc(why)}.</p>" for why, n in result.refused.items())
    return table("Over the whole run", head(("", *names), names), body, "pools") + moved + restarted + refused
