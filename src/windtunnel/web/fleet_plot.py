"""A fleet as SVG: for each kind of chip the chips of every quarter by workload, then the cost of every quarter by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from windtunnel.plan.fleets.result import FleetPlan, Solved, Used
from windtunnel.plan.fleets.words import money, whole_chips
from windtunnel.web.markup import esc
from windtunnel.web.svg import LETTER, WIDE, heading, legend, svg, text, ticks, wrapped
from windtunnel.web.svg import page as page_of

STYLE = """
text{font:13px ui-sans-serif,system-ui,-apple-system,"Segoe UI","Noto Sans","Liberation Sans",sans-serif;fill:#1b1d21}
.soft{fill:#5a606b;font-size:12px}.b{font-weight:600}.grid{stroke:#dcdfe3}.paper{fill:#fdfdfb}
.idle{fill:#e9ebee;stroke:#b4bac2;stroke-dasharray:3 2}
@media (prefers-color-scheme:dark){text{fill:#e9ebee}.soft{fill:#a3abb6}.grid{stroke:#343941}.paper{fill:#14161a}
.idle{fill:#23272e;stroke:#5a606b}}
"""
PALETTE = (
    "#3d7fc1", "#e08a3c", "#4fa36b", "#c2556b", "#8a6bbd", "#9c8347", "#3aa3a8", "#d277b0", "#7d8896", "#b5b53d",
    "#8fb8e0", "#f2bd8c", "#97cfaa", "#e39dac", "#bfaade", "#cdb985", "#8bd0d3", "#ebb4d6", "#b3bbc5", "#d9d98a",
)  # fmt: skip
"""Colours of workloads, in the order of the file; the second half are the first ones' lighter sisters."""
PARTS = (("purchases", "#3d7fc1"), ("rent", "#8a6bbd"), ("energy", "#e08a3c"), ("lost", "#c2556b"))
PART_NAMES = {"purchases": "purchases", "rent": "rent", "energy": "energy", "lost": "not served"}
IDLE = "#b4bac2"


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where one panel's bars stand."""

    left: float
    right: float
    top: float
    bottom: float
    columns: int
    ceiling: float

    def x(self, column: int) -> float:
        return self.left + (self.right - self.left) * (column + 0.14) / self.columns

    @property
    def wide(self) -> float:
        return (self.right - self.left) / self.columns * 0.72

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * value / self.ceiling


def fleet_svg(plan: FleetPlan, width: int = WIDE) -> str:
    """The plan as one picture; where limits conflict, those in words."""
    spec = plan.spec
    parts, top = heading(f"{spec.name}: which workload on which chips", width)
    if plan.solved is None:
        assert plan.conflict is not None
        for told in ("Not all can be had; these limits conflict:", *plan.conflict.told):
            for line in wrapped(told, width - 24):
                parts.append(text(12, top + 8, line))
                top += 18
        return svg(width, top + 8, spec.name, parts, STYLE)
    colours = _colours(plan)
    there = {each.chip for each in plan.solved.used if each.there}
    chips = [name for name in dict.fromkeys(each.chip for each in plan.solved.used) if name in there]
    across = 1 if width < 600 else 2
    high = 112.0
    for start in range(0, len(chips), across):
        for column, chip in enumerate(chips[start : start + across]):
            rows = [each for each in plan.solved.used if each.chip == chip]
            share = width / across
            parts += _chip(plan, chip, rows, colours, (share * column, top, share, high))
        top += high + 50
    keys, top = legend([*((colour, name) for name, colour in colours.items()), (IDLE, "idle")], top + 14, width)
    parts += keys
    panel, top = _cost(plan, plan.solved, width, top + 4)
    parts += panel
    for line in wrapped("Dashed: chips that stand idle. What is paid in a quarter is not discounted.", width - 24):
        parts.append(text(12, top, line, "soft"))
        top += 16
    return svg(width, top + 2, f"{spec.name}: chips and cost by quarter", parts, STYLE)


def page(plan: FleetPlan, table: str) -> str:
    """The picture for a desk or for a phone, then the plan as text. Without scripts."""
    return page_of(f"Fleet: {plan.spec.name}", lambda width: fleet_svg(plan, width), table)


def _colours(plan: FleetPlan) -> dict[str, str]:
    names = [each.name for each in (*plan.spec.inference, *plan.spec.training)]
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(names)}


def _chip(
    plan: FleetPlan, chip: str, rows: Sequence[Used], colours: dict[str, str], box: tuple[float, float, float, float]
) -> list[str]:  # fmt: skip
    """One kind of chip: bars by quarter, a block for each workload, the idle ones dashed."""
    left, top, width, high = box
    marks, ceiling = ticks(max(each.there for each in rows))
    frame = _Frame(left + 66, left + width - 14, top + 26, top + 26 + high, len(rows), ceiling)
    parts = [text(left + 12, top + 14, f"{chip}, chips", "b"), *_axis(frame, marks, [str(q) for q in plan.spec.periods])]
    for column, each in enumerate(rows):
        at = 0.0
        period = plan.spec.periods[each.quarter]
        if each.there:
            tip = f"{period}: {whole_chips(each.in_use):,} of {each.there:,} {chip} in use"
            parts.append(_block(frame, column, 0.0, float(each.there), 'class="idle"', tip))
        for name, count in each.by_workload.items():
            parts.append(
                _block(
                    frame, column, at, at + count, f'fill="{colours[name]}"', f"{period}, {name}: {whole_chips(count):,} {chip}"
                )
            )
            at += count
    return parts


def _axis(frame: _Frame, marks: Sequence[float], names: Sequence[str], labels: Sequence[str] = ()) -> list[str]:
    parts = []
    for mark, label in zip(marks, labels or [f"{mark:,.6g}" for mark in marks], strict=True):
        y = frame.y(mark)
        parts.append(f'<line class="grid" x1="{frame.left:.1f}" x2="{frame.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(text(frame.left - 6, y + 4, label, "soft", "end"))
    room = (frame.right - frame.left) / frame.columns
    step = next(n for n in (1, 2, 4, 8, 40) if n * room >= (max(len(name) for name in names) + 1) * LETTER or n == 40)
    shown = range(0, frame.columns, step)
    return parts + [text(frame.x(each) + frame.wide / 2, frame.bottom + 16, names[each], "soft", "middle") for each in shown]


def _block(frame: _Frame, column: int, low: float, high: float, paint: str, tip: str) -> str:
    y, tall = frame.y(high), max(frame.y(low) - frame.y(high), 0.4)
    return (
        f'<rect x="{frame.x(column):.1f}" y="{y:.1f}" width="{frame.wide:.1f}" height="{tall:.1f}" {paint}>'
        f"<title>{esc(tip)}</title></rect>"
    )


def _cost(plan: FleetPlan, solved: Solved, width: int, top: float) -> tuple[list[str], float]:
    """What is paid in each quarter, by part."""
    spec = plan.spec
    totals = [costs.total / spec.rate for costs in solved.costs]
    scale, word = next(
        ((s, w) for s, w in ((1e9, "billion "), (1e6, "million "), (1e3, "thousand ")) if max(totals) >= s), (1.0, "")
    )
    marks, ceiling = ticks(max(max(totals) / scale, 1e-9))
    frame = _Frame(66, width - 14.0, top + 30, top + 170, spec.quarters, ceiling)
    parts = [text(12, top + 14, f"Paid, {word}{spec.currency}", "b"), *_axis(frame, marks, [str(q) for q in spec.periods])]
    for column, costs in enumerate(solved.costs):
        at = 0.0
        for part, colour in PARTS:
            usd = getattr(costs, part)
            value = usd / spec.rate / scale
            if value > 0:
                tip = f"{spec.periods[column]}, {PART_NAMES[part]}: {money(usd, spec)}"
                parts.append(_block(frame, column, at, at + value, f'fill="{colour}"', tip))
                at += value
    used = [(colour, PART_NAMES[part]) for part, colour in PARTS if any(getattr(costs, part) for costs in solved.costs)]
    keys, top = legend(used, frame.bottom + 40, width)
    return parts + keys, top
