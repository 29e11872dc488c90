"""The report that ``windtunnel plan --html`` writes, with the rooflines of the chips it is about."""

from __future__ import annotations

from pathlib import Path

from windtunnel.catalog.chip import chip
from windtunnel.plan.result import Plan
from windtunnel.web.peaks import ChipPeaks
from windtunnel.web.report import write_report


def write_html(plan: Plan, path: Path) -> None:
    """Writes the report of ``plan``. Raises InvalidInputError where the file cannot be written."""
    write_report(plan, path, peaks=peaks(plan))


def peaks(plan: Plan) -> dict[str, ChipPeaks]:
    """The roofline of every chip that a candidate of ``plan`` runs on, from the catalogue."""
    candidates = [c for entry in plan.chips for c in (entry.best, *entry.pareto) if c is not None]
    predictions = [p for c in candidates for p in (c.prediction, c.prefill) if p is not None]
    return {name: _peaks(name) for name in sorted({p.deployment.chip for p in predictions})}


def _peaks(name: str) -> ChipPeaks:
    found = chip(name)
    flops = {key.partition(".")[2]: fact.value for key, fact in found.figures.items() if key.startswith("matrix_flops_per_s.")}
    memory = found.figures.get("memory_bytes_per_s")
    return ChipPeaks(found.name, flops, memory.value if memory is not None else 0.0)
