"""A training run as text: how long and how dear, the layout, the step by part, memory, failures, and why a chip will not do."""

from __future__ import annotations

from windtunnel.catalog.destination import destination
from windtunnel.cli.render import UNKNOWN, Sheet, evidence, number, percent, rate_estimate, time_text
from windtunnel.cost.evidence import Estimate
from windtunnel.plan.training.result import Training, TrainingPlan
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
                days_estimate(r.days),
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
        ["chip", "step", *(head for head, _ in step_parts(None))],
        ([name, time_text(r.step.total_s), *(_share(value, r.step) for _, value in step_parts(r.step))] for name, r in runs),
    )
    sheet.table(
        "Memory of the fullest chip, GiB",
        ["chip", *(head for head, _ in memory_parts(None)), "of", "free"],
        (
            [
                name,
                *(number(value / 2**30) for _, value in memory_parts(r)),
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


def tokens_text(tokens: float) -> str:
    """``14.8 trillion``."""
    for factor, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if tokens >= factor:
            return f"{tokens / factor:,.4g} {name}"
    return f"{tokens:,.0f}"


def days_estimate(days: Estimate) -> str:
    """``54.2 [42-70]``."""
    return rate_estimate(days)


def hours_text(seconds: float) -> str:
    """``3.1 h``, ``15 min``, ``12 days``."""
    if seconds < 90.0:
        return time_text(seconds)
    if seconds < 5_400.0:
        return f"{number(seconds / 60.0)} min"
    if seconds < 3 * 86_400.0:
        return f"{number(seconds / 3_600.0)} h"
    return f"{number(seconds / 86_400.0)} days"


def layout_text(step: Step) -> str:
    """``TP8 PP16 DP128, 16 x 1 sequence, selective recomputation, ZeRO-1, interleaved x 4``."""
    layout = step.layout
    parts = [layout.text, f"{step.micro_batches} x {layout.micro_batch} seq"]
    if layout.recompute != "none":
        parts.append(f"recompute {layout.recompute}")
    if layout.zero:
        parts.append(f"ZeRO-{layout.zero}")
    if layout.pp > 1:
        parts.append(f"{layout.schedule} x {layout.chunks}" if layout.chunks > 1 else layout.schedule)
    return ", ".join(parts)


def step_parts(step: Step | None) -> list[tuple[str, float]]:
    """What a step's seconds go to, as the table has them."""
    if step is None:
        return [(name, 0.0) for name, _ in step_parts_of(_ZERO)]
    inside = (getattr(step.inside, name) for name in _INSIDE)
    return step_parts_of((*inside, step.again_s, step.bubble_s, step.sends_s, step.replicas_s, step.optimizer_s, step.beyond_s))


_INSIDE = ("products", "attention", "passes", "slowed", "tensor", "context", "experts")
_ZERO = (0.0,) * 13


def step_parts_of(values: tuple[float, ...]) -> list[tuple[str, float]]:
    products, attention, passes, slowed, tensor, context, experts, again, bubble, sends, replicas, optimizer, beyond = values
    return [
        ("products", products),
        ("attention", attention),
        ("passes", passes),
        ("recompute", again),
        ("TP, CP", tensor + slowed + context),
        ("EP", experts),
        ("PP", bubble + sends),
        ("update", replicas + optimizer),
        ("beyond", beyond),
    ]


def memory_parts(run: Training | None) -> list[tuple[str, float]]:
    """Bytes by what they are for, as the table has them."""
    m = run.step.memory if run is not None else None
    names = ("weights", "gradients", "optimizer", "activations", "buffers", "fragmented")
    shown = ("weights", "gradients", "optimiser", "activations", "buffers", "lost")
    return [(head, getattr(m, name) if m is not None else 0.0) for head, name in zip(shown, names, strict=True)]


def _share(value: float, step: Step) -> str:
    share = 100.0 * value / step.total_s
    return "0" if share == 0.0 else f"{share:.1f}"


def _hours(value: float) -> str:
    return f"{value / 1e6:,.3g} million" if value >= 1e6 else f"{value:,.0f}"


def _in_millions(usd: Estimate) -> Estimate:
    return Estimate(usd.value / 1e6, usd.low / 1e6, usd.high / 1e6, usd.evidence)
