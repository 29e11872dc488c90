"""A prediction as text: what runs where, how fast, the memory, the operators, what bounds it, what was assumed."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.cli.render import (
    Sheet,
    count,
    deployed_as,
    evidence,
    number,
    percent,
    rate_estimate,
    requests,
    time_estimate,
    time_text,
)
from windtunnel.plan import words
from windtunnel.sim.prediction import OperatorRow, Prediction
from windtunnel.units import show_si

SMALL_SHARE = 0.005
"""Operators below this share of their phase are shown as one line."""
SHOWN_AT_LEAST = 3
BOUND_BY = {
    "matrix unit": "the matrix units",
    "memory": "memory bandwidth",
    "host": "the host",
    "link": "the links between chips",
}


def prediction_sheet(prediction: Prediction, *, width: int = 0, terminal: bool | None = None) -> Sheet:
    sheet = Sheet(width=width, terminal=terminal)
    deployment, load = prediction.deployment, prediction.load
    place = f"{deployment.chip} of {deployment.system}" if deployment.system else deployment.chip
    sheet.line(f"{deployment.model} on {deployment.chips} x {place}: {deployed_as(deployment)}", style="bold")
    told = f"{load.isl:,.10g} tokens in, {load.osl:,.10g} out, {count(load.concurrency, 'request')} in flight"
    if load.prefix_hit:
        told += f", {percent(load.prefix_hit)} of the input from the prefix cache"
    if load.mtp_accept:
        told += f", {load.mtp_accept:.3g} more tokens a step by multi-token prediction"
    sheet.line(told)
    sheet.line()
    sheet.facts(_facts(prediction))
    sheet.table(
        "Operators of a step, on one chip",
        ["phase", "operator", "count", "time", "share", "bound by", "evidence"],
        _operators(prediction.operators),
        left=2,
        fold=["operator", "bound by", "evidence"],
    )
    if prediction.notes:
        sheet.line()
        for note in prediction.notes:
            sheet.bullet(note)
    return sheet


def _facts(prediction: Prediction) -> Iterator[tuple[str, str]]:
    yield "time to first token", f"{time_estimate(prediction.ttft)}, {prediction.ttft.evidence.label}"
    yield "time per output token", f"{time_estimate(prediction.tpot)}, {prediction.tpot.evidence.label}"
    chips = prediction.deployment.chips
    each = f", {number(prediction.output_tokens_per_s_per_chip)} per chip" if chips > 1 else ""
    yield "output tokens/s", f"{rate_estimate(prediction.output_tokens_per_s)}{each}"
    batch = f"decode batch {requests(prediction.batch)}"
    yield "at work", batch + (f", {requests(prediction.queued)} queued" if prediction.queued >= 0.5 else "")
    yield "steps", f"decode {time_text(prediction.decode_step_s)}, prefill of one request {time_text(prediction.prefill_s)}"
    yield "bound by", BOUND_BY.get(prediction.bound, prediction.bound)
    yield "memory per chip", _memory(prediction)
    if prediction.power_w is not None:
        energy = prediction.energy_j_per_token
        yield (
            "power",
            f"{show_si(prediction.power_w, 'W')}"
            + (f", {number(energy, counted=False)} J per output token" if energy is not None else ""),
        )
    yield "interval", "the brackets hold the value in 80 % of cases"


def _memory(prediction: Prediction) -> str:
    memory = prediction.memory
    parts = (
        ("weights", memory.weights),
        ("KV cache", memory.kv_cache),
        ("activations", memory.activations),
        ("reserved", memory.reserved),
    )
    told = ", ".join(f"{name} {words.memory(value)}" for name, value in parts)
    free = words.memory(max(memory.headroom, 0.0))
    return f"{words.memory(memory.used)} of {words.memory(memory.capacity)}: {told}; {free} free"


def _operators(rows: tuple[OperatorRow, ...]) -> Iterator[list[str]]:
    for phase in dict.fromkeys(row.phase for row in rows):
        mine = sorted((row for row in rows if row.phase == phase), key=lambda row: -row.time_s)
        total = sum(row.time_s for row in mine)
        shown = [row for i, row in enumerate(mine) if i < SHOWN_AT_LEAST or row.time_s >= SMALL_SHARE * total]
        rest = mine[len(shown) :]
        for row in shown:
            yield [
                phase,
                row.name,
                number(row.count),
                time_text(row.time_s),
                _share(row.time_s, total),
                row.bound,
                evidence(row.evidence),
            ]
        if rest:
            time_s = sum(row.time_s for row in rest)
            launches = number(sum(row.count for row in rest))
            weakest = evidence(min(row.evidence for row in rest))
            yield [phase, count(len(rest), "smaller one"), launches, time_text(time_s), _share(time_s, total), "", weakest]


def _share(part: float, total: float) -> str:
    return percent(part / total if total else 0.0, 1)
