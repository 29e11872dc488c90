"""A program on several chips side by side: a row a chip, then only what differs between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from windtunnel.cli.render import UNKNOWN, Sheet, number, percent, time_text
from windtunnel.cli.render_run import TOP, add_failure, program_text, run_sheet
from windtunnel.plan.words import memory as memory_text
from windtunnel.run import words
from windtunnel.run.record import RunReport

LEAST_SPREAD = 1e-3
"""Share of the longest step by which an operator's time must differ to be worth a row."""
SIDE_BY_SIDE = 4
"""Chips up to which their operators' times stand in columns beside each other."""


def runs_sheet(
    reports: Sequence[RunReport],
    refused: Mapping[str, str] | None = None,
    *,
    top: int = TOP,
    detail: bool = False,
    width: int = 0,
    terminal: bool | None = None,
) -> Sheet:
    """The chips compared; ``refused`` are those that could not be tried, with the reason; ``detail`` adds each in full."""
    sheet = Sheet(width=width, terminal=terminal)
    if reports:
        kinds = {report.step_kind for report in reports if words.has_steps(report)}
        step = kinds.pop() if len(kinds) == 1 else ""
        sheet.line(f"{program_text(reports[0])}: {len(reports)} chips side by side", style="bold")
        _compare(sheet, reports, step or "step")
        _verdicts(sheet, reports)
    if refused:
        sheet.line()
        sheet.line("Not tried", style="bold")
        for name, why in refused.items():
            sheet.bullet(f"{name}: {why}")
    timed = [report for report in reports if words.has_steps(report)]
    if not detail:
        for report in reports:
            if report.failure is not None:
                add_failure(sheet, report, f"{words.label(report)}: what stopped it")
    _support(sheet, reports, top)
    if 1 < len(timed) <= SIDE_BY_SIDE:
        _operators(sheet, timed, top)
    if detail:
        for report in reports:
            sheet.line()
            sheet.line()
            sheet.parts += run_sheet(report, top=top, width=sheet.width, terminal=sheet.terminal).parts
    elif reports:
        sheet.line()
        sheet.line("--detail shows each chip in full.", style="dim")
    return sheet


def _compare(sheet: Sheet, reports: Sequence[RunReport], step: str) -> None:
    sheet.table(
        f"Time of one {step}, and what bounds it",
        ["chip", "runs", "time", "80 %", "speed", "MFU", "bound by", "evidence"],
        (_row(report, reports[0]) for report in reports),
        left=2,
        fold=["bound by", "evidence"],
    )
    sheet.table(
        "Memory and the host",
        ["chip", "peak memory", "capacity", "used", "device busy", "on the CPU", "unknown"],
        (_memory(report) for report in reports),
    )


def _row(report: RunReport, first: RunReport) -> list[str]:
    runs = {"failed": "no", "stopped": "stopped", "finished": "yes"}[report.status]
    if not words.has_steps(report):
        return [words.label(report), runs, *[UNKNOWN] * 6]
    times = words.times_as_fast(first, report)
    low, high = report.interval_s
    used = words.mfu(report)
    return [
        words.label(report),
        runs,
        time_text(report.step_s),
        f"{time_text(low)}-{time_text(high)}" if _unit(low) != _unit(high) else f"{time_text(low).split()[0]}-{time_text(high)}",
        f"{number(times, counted=False)}x" if times is not None else UNKNOWN,
        UNKNOWN if used is None else percent(used),
        words.main_bound(report) or UNKNOWN,
        report.evidence.name.lower(),
    ]


def _unit(seconds: float) -> str:
    return time_text(seconds).split()[1]


def _memory(report: RunReport) -> list[str]:
    memory, busy = report.memory, words.busy_share(report)
    return [
        words.label(report),
        memory_text(memory.peak),
        memory_text(memory.capacity) if memory.capacity else UNKNOWN,
        percent(memory.peak / memory.capacity) if memory.capacity else UNKNOWN,
        percent(busy) if busy is not None else UNKNOWN,
        number(len(words.with_status(report, words.FALLBACK))),
        number(len(words.with_status(report, words.UNKNOWN))),
    ]


def _verdicts(sheet: Sheet, reports: Sequence[RunReport]) -> None:
    """Only where some chip does not simply run it."""
    if all(words.verdict(report) == "yes" for report in reports):
        return
    sheet.line()
    sheet.line("Does it run there?", style="bold")
    for report in reports:
        sheet.bullet(f"{words.label(report)}: {words.verdict(report)}")


def _support(sheet: Sheet, reports: Sequence[RunReport], top: int) -> None:
    """Operators that some chip lacks, with what each chip does of them."""
    found = {entry.op: entry for report in reports for entry in words.no_kernel(report)}
    told = {words.FALLBACK: "CPU", words.NO_DTYPE: "no type", words.UNKNOWN: "not known", words.COMPOSITE: "composite"}
    if not found:
        return
    by_chip = [{entry.op: entry.status for entry in report.support} for report in reports]
    ops = list(found)
    if len(reports) > SIDE_BY_SIDE:
        rows = ([words.operator(op), words.place(found[op].site) or UNKNOWN, _who(op, reports, by_chip)] for op in ops[:top])
        sheet.table("Operators without a kernel everywhere", ["operator", "called at", "on"], rows, left=3)
    else:
        sheet.table(
            "Operators without a kernel everywhere",
            ["operator", "called at", *(words.label(report) for report in reports)],
            (
                [
                    words.operator(op),
                    words.place(found[op].site) or UNKNOWN,
                    *(told.get(statuses.get(op, ""), _kernel(op, r)) for r, statuses in zip(reports, by_chip, strict=True)),
                ]
                for op in ops[:top]
            ),
            left=2,
        )  # fmt: skip
    if ops[top:]:
        sheet.line(f"and {len(ops[top:]):,} more", style="dim")


def _kernel(op: str, report: RunReport) -> str:
    """Of an operator that the report does not list: it has a kernel, unless the program may never have reached it."""
    reached = report.status == "finished" or any(share.name == op for share in report.by_operator)
    return "kernel" if reached and report.support_source else UNKNOWN


def _who(op: str, reports: Sequence[RunReport], by_chip: Sequence[Mapping[str, str]]) -> str:
    return ", ".join(f"{words.label(r)} {statuses[op]}" for r, statuses in zip(reports, by_chip, strict=True) if op in statuses)


def _operators(sheet: Sheet, reports: Sequence[RunReport], top: int) -> None:
    """Each operator's time on each chip, those first whose time differs most."""
    times: list[dict[str, float]] = [{s.name: s.seconds for s in report.by_operator} for report in reports]
    names = dict.fromkeys(name for found in times for name in found)

    def spread(name: str) -> float:
        told = [found.get(name, 0.0) for found in times]
        return max(told) - min(told)

    least = LEAST_SPREAD * max(report.step_s for report in reports)
    ordered = sorted((name for name in names if spread(name) > least), key=lambda name: -spread(name))

    def rows() -> Iterator[list[str]]:
        for name in ordered[:top]:
            yield [words.operator(name), *(time_text(found[name]) if name in found else UNKNOWN for found in times)]

    sheet.table("Operators whose time differs most", ["operator", *(words.label(report) for report in reports)], rows())
    if ordered[top:]:
        sheet.line(f"and {len(ordered[top:]):,} more", style="dim")
