"""A plan as text: what to run, how fast it is, what it costs, the trade-offs, and why a chip will not do."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.catalog.destination import destination
from windtunnel.cli.render import (
    UNKNOWN,
    Sheet,
    deployed_as,
    evidence,
    number,
    parallelism,
    requests,
    time_estimate,
    time_text,
)
from windtunnel.plan import words
from windtunnel.plan.result import Candidate, ChipPlan, Plan, Simulated, Targets
from windtunnel.sim.prediction import Evidence
from windtunnel.units import show_time

PARETO_POINTS = 4
"""Points of a chip's front that are printed; --json and --html have them all."""


def plan_sheet(plan: Plan, *, width: int = 0, terminal: bool | None = None) -> Sheet:
    sheet = Sheet(width=width, terminal=terminal)
    where = f", to {destination(plan.to).name} on {plan.date}" if plan.to else ""
    sheet.line(f"{plan.model}: {targets_text(plan.targets)}{where}", style="bold")
    targets = plan.targets
    best = [(chip.name, chip.best) for chip in plan.ranked if chip.best is not None]
    if not best:
        sheet.line()
        sheet.line("No chip meets the targets.")
    sheet.table(
        "Cheapest deployment on each chip, best first",
        ["chip", "chips", "deployment", "batch", "headroom", "evidence"],
        (
            [name, f"{c.chips:,}", deployment_text(c), requests(c.prediction.batch), _headroom(c), evidence(_weakest(c))]
            for name, c in best
        ),
        fold=["deployment"],
    )
    sheet.table(
        "Speed",
        ["chip", "tok/s/chip", "tok/s", "TTFT", "TPOT"],
        (
            [name, _measured(c.output_tokens_per_s_per_chip), _measured(c.output_tokens_per_s), _ttft(c), _tpot(c)]
            for name, c in best
        ),
    )
    sheet.table(
        f"Simulated at {targets.requests_per_s:g} requests/s",
        ["chip", "TTFT p50", "p90", "p99", "TPOT p50", "p90", "p99"],
        (_simulated(name, c.simulated) for name, c in best if c.simulated is not None),
    )
    sheet.table(
        "Cost",
        ["chip", "$/Mtok", "$/hour", "J/token", "kW", "price"],
        (
            [
                name,
                _measured(c.usd_per_mtok),
                _measured(c.usd_per_hour),
                _measured(c.joules_per_token),
                _measured(c.power_kw),
                c.price_basis or UNKNOWN,
            ]
            for name, c in best
        ),
        fold=["price"],
    )
    sheet.table(
        "Trade-offs: throughput against speed for one user (Pareto front)",
        ["chip", "tok/s/chip", "tok/s/user", "TTFT", "batch", "one instance"],
        (row for chip in (*plan.ranked, *(c for c in plan.chips if c.best is None)) for row in _front(chip)),
        fold=["one instance"],
    )
    failed = [chip for chip in plan.chips if chip.best is None]
    if failed:
        sheet.line()
        sheet.line("Why not", style="bold")
        for chip in failed:
            sheet.bullet(f"{chip.name}: {chip.why_not or 'nothing that was searched meets the targets'}")
    if plan.notes:
        sheet.line()
        sheet.line("Notes", style="bold")
        for note in plan.notes:
            sheet.bullet(note)
    return sheet


def targets_text(targets: Targets) -> str:
    """``4,096 tokens in, 1,024 out, TTFT <= 2 s, TPOT <= 50 ms, 20 requests/s``."""
    parts = [f"{targets.isl:,} tokens in", f"{targets.osl:,} out"]
    if targets.ttft_s:
        parts.append(f"TTFT <= {show_time(targets.ttft_s)}")
    if targets.tpot_s:
        parts.append(f"TPOT <= {show_time(targets.tpot_s)}")
    if targets.requests_per_s:
        parts.append(f"{targets.requests_per_s:,.10g} requests/s")
    return ", ".join(parts)


def deployment_text(candidate: Candidate) -> str:
    """``16 x TP8, FP8, vLLM``; prefill and decode apart where they run apart."""
    decode = candidate.prediction.deployment
    if candidate.prefill is None:
        return f"{candidate.replicas} x {deployed_as(decode)}"
    prefill = candidate.prefill.deployment
    apart = f"{candidate.prefill_replicas} x {parallelism(prefill)} prefill + {candidate.replicas} x {parallelism(decode)} decode"
    rest = deployed_as(decode).removeprefix(parallelism(decode)).removeprefix(", ")
    return f"{apart}, {rest}"


def _measured(value: float | None) -> str:
    return number(value, counted=False)


def _weakest(candidate: Candidate) -> Evidence:
    parts = [candidate.prediction.evidence] + ([candidate.prefill.evidence] if candidate.prefill else [])
    return min(parts)


def _headroom(candidate: Candidate) -> str:
    parts = [candidate.prediction.memory] + ([candidate.prefill.memory] if candidate.prefill else [])
    tightest = min(parts, key=lambda memory: memory.headroom)
    return words.memory(max(tightest.headroom, 0.0))


def _simulated(name: str, seen: Simulated) -> list[str]:
    times = (seen.ttft_p50_s, seen.ttft_p90_s, seen.ttft_p99_s, seen.tpot_p50_s, seen.tpot_p90_s, seen.tpot_p99_s)
    return [name, *(time_text(value) for value in times)]


def _ttft(candidate: Candidate) -> str:
    if candidate.prefill:
        return time_estimate(candidate.prefill.ttft, candidate.kv_transfer_s)
    return time_estimate(candidate.prediction.ttft)


def _tpot(candidate: Candidate) -> str:
    return time_estimate(candidate.prediction.tpot)


def _front(chip: ChipPlan) -> Iterator[list[str]]:
    points = list(chip.pareto)
    if len(points) > PARETO_POINTS:
        step = (len(points) - 1) / (PARETO_POINTS - 1)
        points = [points[round(i * step)] for i in range(PARETO_POINTS)]
    for point in points:
        tpot_s = point.prediction.tpot.value
        yield [
            chip.name,
            _measured(point.output_tokens_per_s_per_chip),
            _measured(1.0 / tpot_s if tpot_s else None),
            time_text(point.ttft_s),
            requests(point.prediction.batch),
            _instance(point),
        ]


def _instance(candidate: Candidate) -> str:
    decode = candidate.prediction.deployment
    precision = words.precision(decode)
    if candidate.prefill is None:
        return f"{parallelism(decode)}, {precision}"
    return f"{parallelism(candidate.prefill.deployment)} prefill, {parallelism(decode)} decode, {precision}"
