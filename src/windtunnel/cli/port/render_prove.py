"""The verdict on a rewritten program, and the evidence for it, as a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel.cli.render import UNKNOWN, Sheet, count, number

if TYPE_CHECKING:
    from windtunnel.port.evidence import Item
    from windtunnel.port.prove import ProveReport

STATUS = {"same": "same", "different": "different", "varies": "cannot be told", "none": "has none"}
MOST_FILES = 5


def prove_sheet(path: Path, report: ProveReport, *, width: int = 0, terminal: bool | None = None) -> Sheet:
    """The verdict first, then what was compared, then the targets."""
    sheet = Sheet(width=width, terminal=terminal)
    sheet.line(f"{path}: {report.program}: {verdict(report)}", style="bold")
    sheet.facts(_facts(report))
    for one in report.obstacles:
        sheet.bullet(one)
    _items(sheet, "On the CPU, before and after", report.items)
    _items(sheet, f"On CUDA ({report.cuda_where}), before and after", report.cuda_items)
    sheet.table(
        "On the targets, after",
        ("target", "where", "runs", "what"),
        ((t.target, t.where, {True: "yes", False: "no", None: UNKNOWN}[t.ran], t.detail) for t in report.targets),
        left=4,
    )
    if report.notes:
        sheet.line()
        for note in report.notes:
            sheet.bullet(note)
    return sheet


def verdict(report: ProveReport) -> str:
    """The verdict in a few words."""
    if report.proven:
        return "proven: it computes the same, and runs on the targets"
    differing = [item for item in (*report.items, *report.cuda_items) if item.status == "different"]
    if differing:
        return f"not proven: {differing[0].name} {'differs' if differing[0].count == 1 else 'differ'}"
    if report.obstacles:
        return "not proven: see below"
    stopped = [one for one in report.targets if not one.ran]
    if report.identical and stopped:
        return f"it computes the same, but is not shown to run on {', '.join(one.target for one in stopped)}"
    varying = [item for item in (*report.items, *report.cuda_items) if item.status == "varies"]
    return f"not proven: of {varying[0].name} nothing can be told" if varying else "not proven: there was nothing to compare"


def _facts(report: ProveReport) -> list[tuple[str, str]]:
    changed = count(len(report.changed), "file")
    if report.changed:
        unrun = [name for name in report.changed if name not in report.run_changed]
        told = f"{changed}, of which the program ran {len(report.run_changed)}"
        if unrun:
            more = f" and {len(unrun) - MOST_FILES} more" if len(unrun) > MOST_FILES else ""
            told += f"; nothing is shown of {', '.join(unrun[:MOST_FILES])}{more}"
    else:
        told = "nothing, so the same program ran twice"
    facts = [("the fix changed", told)]
    if report.left:
        facts.append(("and left", f"{count(report.left, 'place')}; windtunnel port scan lists them"))
    if report.needs_cuda:
        facts.append(("on the CPU", f"it does nothing without CUDA: {report.needs_cuda}"))
    facts.append(("took", f"{number(report.seconds)} s"))
    return facts


def _items(sheet: Sheet, title: str, items: Sequence[Item]) -> None:
    rows = ((item.name, f"{item.count:,}", STATUS[item.status], item.detail) for item in items)
    sheet.table(title, ("what", "number", "is", "detail"), rows, fold=("is", "detail"))
