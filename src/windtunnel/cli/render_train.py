"""A training run as text: how long and how dear, the layout, the step by part, memory, failures, and why a chip will not do."""

from __future__ import annotations

from windtunnel.catalog.destination import destination
from windtunnel.cli.render import UNKNOWN, Sheet, evidence, number, percent, rate_estimate, time_text
from windtunnel.cost.evidence import Estimate
from windtunnel.plan.training.parts import MEMORY, STEP, hours_text, layout_text, memory_parts, step_parts, tokens_text
from windtunnel.plan.training.result import TrainingPlan
from windtunnel.plan.training.step import Step


def training_sheet(plan: TrainingPlan, *, width: int = 0, terminal: bool | None = None) -> Sheet:
    sheet = Sheet(width=width, terminal=terminal)
    where = f", to {destination(plan.to).name} on {plan.date}" if plan.to else ""
    within = f", in {plan.days:g} days" if plan.days else ""
    sheet.line(f"{plan.model}: {tokens_text(plan.tokens)} tokens{within}{where}", style="bold")
    runs = [(chip.name, chip.training) for chip in plan.ranked if chip.training is not None]
    if not runs:
        sheet.line()
        sheet.line("No chip trains it.")
    sheet.table(
        "How long, and how dear",
        ["chip", "chips", "days", "chip-hours", "million $", "MWh"],
        (
            [
                name,
                f"{r.chips:,}",
                rate_estimate(r.days),
                _hours(r.chip_hours.value),
                rate_estimate(_in_millions(r.usd)) if r.usd else UNKNOWN,
                number(r.energy_kwh / 1e3) if r.energy_kwh is not None else UNKNOWN,
            ]
            for name, r in runs
        ),
    )
    sheet.table(
        "Speed",
        ["chip", "tokens/s/chip", "MFU", "HFU", "layout", "evidence"],
        (
            [
                name,
                rate_estimate(r.tokens_per_s_per_chip),
                percent(r.mfu, 1),
                percent(r.hfu, 1),
                layout_text(r.step),
                evidence(r.tokens_per_s_per_chip.evidence),
            ]
            for name, r in runs
        ),
        fold=["layout", "evidence"],
    )
    sheet.table(
        "One optimiser step, in % of its time",
        ["chip", "step", *STEP],
        ([name, time_text(r.step.total_s), *(_share(value, r.step) for value in step_parts(r.step))] for name, r in runs),
    )
    sheet.table(
        "Memory of the fullest chip, GiB",
        ["chip", *MEMORY, "of", "free"],
        (
            [
                name,
                *(number(value / 2**30) for value in memory_parts(r.step.memory)),
                number(r.step.memory.capacity / 2**30),
                percent(r.step.memory.headroom),
            ]
            for name, r in runs
        ),
    )
    sheet.table(
        "Failures",
        ["chip", "between two", "in all", "checkpoint", "every", "restart", "useful time"],
        (
            [
                name,
                hours_text(r.failures.mtbf_s),
                f"{number(r.failures.expected(r.days.value * 86_400.0), counted=False)}",
                time_text(r.failures.checkpoint_s),
                hours_text(r.failures.interval_s),
                hours_text(r.failures.restart_s),
                f"{percent(r.failures.goodput, 1)} [{100 * r.failures.goodput_low:.1f}-{100 * r.failures.goodput_high:.1f}]",
            ]
            for name, r in runs
        ),
    )
    failed = [chip for chip in plan.chips if chip.training is None]
    if failed:
        sheet.line()
        sheet.line("Why not", style="bold")
        for chip in failed:
            sheet.bullet(f"{chip.name}: {chip.why_not}")
    sheet.line()
    sheet.line("Notes", style="bold")
    for note in plan.notes:
        sheet.bullet(note)
    for name, r in runs:
        sheet.bullet(f"{name}: {r.price_basis}.")
    return sheet


def _share(value: float, step: Step) -> str:
    share = 100.0 * value / step.total_s
    return "0" if share == 0.0 else f"{share:.1f}"


def _hours(value: float) -> str:
    return f"{value / 1e6:,.3g} million" if value >= 1e6 else f"{value:,.0f}"


def _in_millions(usd: Estimate) -> Estimate:
    return Estimate(usd.value / 1e6, usd.low / 1e6, usd.high / 1e6, usd.evidence)
