"""A training plan as one HTML file: static, no scripts, the same on a phone, a desk and paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template

from windtunnel.cost.evidence import Estimate
from windtunnel.plan import words as common
from windtunnel.plan.training.parts import MEMORY, STEP, hours_text, layout_text, memory_parts, step_parts, tokens_text
from windtunnel.plan.training.result import Training, TrainingPlan
from windtunnel.units import show_time
from windtunnel.web import words
from windtunnel.web.file import page, page_file, version, write_whole
from windtunnel.web.markup import definitions, esc, head, row, table, unknown

Named = tuple[str, Training]


def write_training(plan: TrainingPlan, path: str | Path) -> None:
    """Writes the page, whole or not at all. Raises InvalidInputError where the file cannot be written."""
    write_whole(render_training(plan), Path(path))


def render_training(plan: TrainingPlan) -> str:
    """The page's HTML."""
    runs: list[Named] = [(chip.name, chip.training) for chip in plan.ranked if chip.training is not None]
    body = Template(page_file("train.html")).substitute(
        model=esc(plan.model),
        tokens=esc(tokens_text(plan.tokens)),
        question=_question(plan),
        answer=esc(_answer(plan, runs)),
        runs=_runs(runs) if runs else "",
        failed=_failed(plan),
        plots=_plots(runs) if runs else "",
        failures=_failures(runs) if runs else "",
        notes="".join(f"<li>{esc(line)}</li>" for line in (*plan.notes, *(f"{n}: {r.price_basis}." for n, r in runs))),
    )
    return page(title=esc(f"{plan.model}: training"), body=body, styles=("report.css", "train.css"))


def _question(plan: TrainingPlan) -> str:
    batch = f"about {plan.batch:,} sequences of {plan.length:,} tokens"
    items = [("A step", esc(batch)), ("Products", esc(plan.precision.upper())), ("Optimiser", esc(plan.optimizer))]
    if plan.days:
        items.append(("Done in", f"{plan.days:g} days"))
    return definitions([*items, ("Made with", f"windtunnel {esc(version())}")], "question")


def _answer(plan: TrainingPlan, runs: Sequence[Named]) -> str:
    if not runs:
        return "No chip that was asked about trains it."
    name, run = runs[0]
    chips = f"{run.chips:,} chips" if ":" not in name else name
    dear = f", for {words.number(run.usd.value / 1e6)} million dollars" if run.usd is not None else ""
    first = "The cheapest" if len(runs) > 1 and run.usd is not None else "It"
    takes = f"{_plain(run.days)} days on {chips}"
    return f"{first} takes {takes}{dear}."


def _plain(value: Estimate) -> str:
    return f"{words.number(value.value)} ({words.number(value.low, 2)}{words.DASH}{words.number(value.high, 2)})"


def _ranged(value: Estimate | None, factor: float = 1.0) -> str:
    if value is None:
        return unknown()
    low, high = words.number(value.low * factor, 2), words.number(value.high * factor, 2)
    return f"{words.number(value.value * factor)}<small>{low}{words.DASH}{high}</small>"


def _runs(runs: Sequence[Named]) -> str:
    columns = ("Chip", "Chips", "Days", "Million chip-hours", "Million $", "Tokens/s/chip", "MFU", "Layout")
    rows = (
        row(
            esc(name),
            [
                ("n", f"{r.chips:,}"),
                ("n", _ranged(r.days)),
                ("n", _ranged(r.chip_hours, 1e-6)),
                ("n", _ranged(r.usd, 1e-6)),
                ("n", _ranged(r.tokens_per_s_per_chip)),
                ("n", words.percent(r.mfu, 1)),
                ("t", esc(layout_text(r.step))),
            ],
        )
        for name, r in runs
    )
    return table("Cheapest first; small: the interval that holds in 80 % of cases", head(columns, columns[1:-1]), rows)


def _failed(plan: TrainingPlan) -> str:
    why = [f"<li><strong>{esc(c.name)}</strong>: {esc(c.why_not)}</li>" for c in plan.chips if c.training is None]
    return f"<h3>Why not</h3><ul>{''.join(why)}</ul>" if why else ""


def _plots(runs: Sequence[Named]) -> str:
    steps = [(name, [value / r.step.total_s for value in step_parts(r.step)], esc(show_time(r.step.total_s))) for name, r in runs]
    memory = [
        (
            name,
            [value / r.step.memory.capacity for value in memory_parts(r.step.memory)],
            f"{esc(common.memory(r.step.memory.total))} of {esc(common.memory(r.step.memory.capacity))}",
        )
        for name, r in runs
    ]
    return (
        f'<section aria-labelledby="step-title"><h2 id="step-title">Where a step\'s time goes</h2>{_bars(STEP, steps)}</section>'
        f'<section aria-labelledby="memory-title"><h2 id="memory-title">Memory of the fullest chip</h2>'
        f"{_bars(MEMORY, memory)}</section>"
    )


def _bars(parts: Sequence[str], bars: Sequence[tuple[str, Sequence[float], str]]) -> str:
    """Stacked bars of shares of one; parts that no bar has are left out of the legend."""
    present = [i for i in range(len(parts)) if any(shares[i] > 0 for _, shares, _ in bars)]
    legend = "".join(f'<li><i class="s{i}"></i>{esc(parts[i])}</li>' for i in present)
    rows = "".join(
        f"<div>{esc(name)}</div>"
        f'<div class="bar" role="img" aria-label="{esc(_told(parts, shares))}">'
        + "".join(
            f'<span class="s{i}" style="width:{100 * shares[i]:.2f}%" title="{esc(parts[i])} {100 * shares[i]:.1f} %"></span>'
            for i in present
        )
        + f'</div><div class="n">{value}</div>'
        for name, shares, value in bars
    )
    return f'<ul class="legend">{legend}</ul><div class="bars">{rows}</div>'


def _told(parts: Sequence[str], shares: Sequence[float]) -> str:
    return ", ".join(f"{part} {100 * share:.1f} %" for part, share in zip(parts, shares, strict=True) if share > 0)


def _failures(runs: Sequence[Named]) -> str:
    columns = ("Chip", "Between two", "In all", "A checkpoint", "Every", "A restart", "Useful time")
    rows = (
        row(
            esc(name),
            [
                ("n", esc(hours_text(r.failures.mtbf_s))),
                ("n", words.number(r.failures.expected(r.days.value * 86_400.0))),
                ("n", esc(hours_text(r.failures.checkpoint_s))),
                ("n", esc(hours_text(r.failures.interval_s))),
                ("n", esc(hours_text(r.failures.restart_s))),
                ("n", words.percent(r.failures.goodput, 1)),
            ],
        )
        for name, r in runs
    )
    return table("Of the whole run", head(columns, columns[1:]), rows)
