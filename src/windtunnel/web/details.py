"""The tables that are folded away: the fronts' points, and the operators of each chosen deployment."""

from __future__ import annotations

from windtunnel.plan.result import Plan
from windtunnel.sim.prediction import OperatorRow
from windtunnel.units import show_si
from windtunnel.web import answer, words
from windtunnel.web.data import phases
from windtunnel.web.markup import chip_name, esc, head, row, table


def pareto_table(plan: Plan) -> str:
    """The numbers behind the first plot."""
    rows = []
    for place, chip in enumerate(plan.chips):
        for candidate in chip.pareto:
            tpot = candidate.prediction.tpot.value
            cells = (
                ("t", esc(words.in_short(candidate))),
                ("n", f"{candidate.chips:,}"),
                ("n", words.number(1 / tpot) if tpot > 0 else words.NOT_KNOWN),
                ("n", words.number(candidate.output_tokens_per_s_per_chip)),
                ("n", words.seconds(candidate.ttft_s)),
            )
            rows.append(row(chip_name(chip.name, place), cells))
    figures = ("Chips", "Tokens/s per user", "Tokens/s per chip", "TTFT")
    return table("Pareto fronts", head(("Chip", "Deployment", *figures), figures), rows) if rows else ""


def operator_tables(plan: Plan) -> str:
    """For each chip that meets the targets, a folded table of the operators of its deployment, longest first."""
    places = {id(chip): i for i, chip in enumerate(plan.chips)}
    blocks = []
    for chip in plan.ranked:
        if chip.best is None:
            continue
        tables = "".join(_phase_table(phase, rows) for phase, rows in phases(chip.best)) or "No operator was recorded."
        title = f'{chip_name(chip.name, places[id(chip)])} <span class="sub">{esc(words.in_short(chip.best))}</span>'
        blocks.append(f'<details><summary>{title}</summary><div class="scroll" tabindex="0">{tables}</div></details>')
    return "".join(blocks)


def _phase_table(phase: str, rows: list[OperatorRow]) -> str:
    total = sum(op.time_s for op in rows)
    body = [_operator(op, op.time_s / total if total else 0.0) for op in sorted(rows, key=lambda op: -op.time_s)]
    figures = ("Launches", "Time", "Share", "Computes", "Moves")
    caption = f"One {esc(phase)} step, {words.seconds(total)} on one rank"
    return table(caption, head(("Operator", "Family", *figures, "Bound by", "Evidence"), figures), body, "ops")


def _operator(op: OperatorRow, share: float) -> str:
    cells = (
        ("", esc(op.family)),
        ("n", words.number(op.count)),
        ("n", words.seconds(op.time_s)),
        ("n", f'<meter min="0" max="1" value="{share:.4f}" aria-hidden="true"></meter> {words.percent(share, 1)}'),
        ("n", _rate(op.flops, op.time_s, "FLOP/s")),
        ("n", _rate(op.bytes, op.time_s, "B/s")),
        ("", esc(answer.bound_words(op.bound))),
        ("", esc(op.evidence.label)),
    )
    return row(esc(op.name), cells)


def _rate(amount: float, time_s: float, unit: str) -> str:
    return show_si(amount / time_s, unit) if amount and time_s else words.DASH
