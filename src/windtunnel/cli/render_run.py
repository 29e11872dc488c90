"""A run as text: whether it runs there and which line stops it, how fast, what bounds it, what holds the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from windtunnel.cli.render import UNKNOWN, Sheet, count, evidence, number, percent, time_estimate, time_text
from windtunnel.cli.render_served import add_served
from windtunnel.cost.evidence import Estimate
from windtunnel.plan.words import memory as memory_text
from windtunnel.run import words
from windtunnel.run.record import Holder, Measured, RunReport, Share, Support
from windtunnel.units import show_si

TOP = 8
"""Rows of a table unless --top says otherwise; --json and --html have them all."""
HERE = "(the program itself)"
"""What runs in no module: the loss, the optimizer."""
CODE_WIDTH = 100
"""Columns of the reader's window from which on source lines show their text; letters of the line that stopped a program."""


def run_sheet(report: RunReport, *, top: int = TOP, width: int = 0, terminal: bool | None = None) -> Sheet:
    """Everything about a program on one chip."""
    sheet = Sheet(width=width, terminal=terminal)
    sheet.line(f"{program_text(report)} on {_device(report)}", style="bold")
    sheet.line()
    sheet.facts(_facts(report))
    add_failure(sheet, report)
    add_support(sheet, report, top)
    add_measured(sheet, report, top)
    add_served(sheet, report, top)
    add_times(sheet, report, top)
    add_memory(sheet, report, top)
    add_rest(sheet, report, top)
    return sheet


def program_text(report: RunReport) -> str:
    """The program's own name and arguments, its path cut short."""
    script, _, rest = report.program.partition(" ")
    return f"{words.short_path(script)} {rest}".strip()


def _device(report: RunReport) -> str:
    if report.measured is not None:
        return f"{report.device}: {report.measured.device}" + (f" ({report.chip})" if report.chip else "")
    ranks = f", {report.ranks:,} ranks" if report.ranks > 1 else ""
    return report.chip + (f" (device {report.device}{ranks})" if report.device else "")


def _facts(report: RunReport) -> Iterator[tuple[str, str]]:
    measured = report.measured
    yield "runs there", words.verdict(report)
    step = report.step_kind or "step"
    if measured is not None:
        yield f"time per {step}", f"{time_text(measured.step_s)}, measured over {count(measured.steps, 'step')}"
        yield "predicted", step_text(report)
    else:
        yield f"time per {step}", step_text(report)
        share = words.busy_share(report)
        if words.has_steps(report) and share is not None:
            yield "device busy", f"{percent(share)} of the time, over {count(len(report.steps), 'step')}"
    yield "MFU", _mfu(report)
    yield "peak memory", _peak(report)
    if report.operators:
        yield "recorded", f"{count(report.operators, 'operator call')}" + (" on one of the ranks" if report.ranks > 1 else "")
    if report.settings:
        yield "settings", ", ".join(f"{key} {value}" for key, value in report.settings.items())


def step_text(report: RunReport) -> str:
    """``77.1 ms [66-90], fitted on this chip``."""
    if not words.has_steps(report):
        return f"{UNKNOWN} (no step was finished)" if report.measured is None else UNKNOWN
    estimate = Estimate(report.step_s, *report.interval_s, report.evidence)
    return f"{time_estimate(estimate)}, {words.evidence_text(report)}"


def _mfu(report: RunReport) -> str:
    share = words.mfu(report)
    return UNKNOWN if share is None else f"{percent(share)} of {show_si(report.peak_flops_per_s, 'FLOP/s')} in {report.dtype}"


def _peak(report: RunReport) -> str:
    memory = report.memory
    if not memory.peak and not memory.capacity:
        return UNKNOWN
    reserved = f", {memory_text(memory.reserved_peak)} reserved" if memory.reserved_peak > memory.peak else ""
    if not memory.capacity:
        return memory_text(memory.peak) + reserved
    return f"{memory_text(memory.peak)} of {memory_text(memory.capacity)} ({percent(memory.peak / memory.capacity)}){reserved}"


def add_failure(sheet: Sheet, report: RunReport, title: str = "What stopped it") -> None:
    """Why it ended before its end, and the user's own line."""
    failure = report.failure
    if failure is None:
        return
    sheet.line()
    sheet.line(title, style="bold")
    sheet.bullet(f"{failure.error}: {failure.message}" if failure.message else failure.error)
    if failure.site is not None:
        text = _cut(words.code(failure.site), CODE_WIDTH)
        sheet.bullet(f"{words.place(failure.site)}, in {failure.site.function}" + (f": {text}" if text else ""))


def add_times(sheet: Sheet, report: RunReport, top: int) -> None:
    """What a step's time is spent on: by bound, operator, module and source line."""
    if not words.has_steps(report):
        return
    if report.measured is not None:
        sheet.line()
        sheet.line("What follows is the prediction's.", style="dim")
    sheet.table(
        f"What bounds it: time of one {report.step_kind or 'step'}",
        ["bound by", "time", "share", "launches"],
        (
            [share.name, time_text(share.seconds), _share(share, report), number(share.calls) if share.calls else UNKNOWN]
            for share in report.by_bound
        ),
    )
    sheet.table(
        "Operators",
        ["operator", "calls", "time", "share", "bound by", "evidence"],
        (
            [words.operator(s.name), number(s.calls), time_text(s.seconds), _share(s, report), s.bound, _evidence(s)]
            for s in report.by_operator[:top]
        ),
        fold=["bound by", "evidence"],
    )
    more(sheet, report.by_operator, top, "operator", report.step_s)
    modules = words.fold_modules(report.by_module)
    sheet.table(
        "Modules (* stands for every layer of that place)",
        ["module", "launches", "time", "share", "bound by"],
        ([s.name or HERE, number(s.calls), time_text(s.seconds), _share(s, report), s.bound] for s in modules[:top]),
        fold=["bound by"],
    )
    more(sheet, modules, top, "module", report.step_s)
    _add_lines(sheet, report, top)


def _add_lines(sheet: Sheet, report: RunReport, top: int) -> None:
    room = sheet.window - CODE_WIDTH + 46 if sheet.window >= CODE_WIDTH else 0
    shown = [(share, words.line_of(share.name)) for share in report.by_line[:top]]
    rows = [
        [words.place(site) or share.name or UNKNOWN, number(share.calls), time_text(share.seconds), _share(share, report)]
        + ([_cut(words.code(site), room)] if room else [])
        for share, site in shown
    ]
    columns = ["line", "launches", "time", "share"] + (["code"] if room else [])
    sheet.table("Source lines", columns, rows, fold=["code"])
    more(sheet, report.by_line, top, "line", report.step_s)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 3]}..."


def more(sheet: Sheet, rows: Sequence[Share], top: int, what: str, whole_s: float) -> None:
    """How many rows were left out, and what they come to."""
    rest = rows[top:]
    if rest:
        share = sum(row.seconds for row in rest) / whole_s if whole_s else 0.0
        sheet.line(f"and {count(len(rest), 'more ' + what)}, {percent(share, 1)} of the time", style="dim")


def _share(share: Share, report: RunReport) -> str:
    return percent(share.seconds / report.step_s, 1)


def _evidence(share: Share) -> str:
    return evidence(share.evidence) if share.evidence is not None else UNKNOWN


def add_memory(sheet: Sheet, report: RunReport, top: int) -> None:
    holders = words.fold_holders(report.memory.holders)
    sheet.table(
        f"What holds the memory at its peak of {memory_text(report.memory.peak)}",
        ["kind", "made by", "at", "count", "size", "share"],
        (_holder(holder, report.memory.peak) for holder in holders[:top]),
        left=2,
        fold=["at"],
    )
    rest = holders[top:]
    if rest:
        sheet.line(f"and {len(rest):,} more, {memory_text(sum(holder.bytes for holder in rest))}", style="dim")


def _holder(holder: Holder, peak: int) -> list[str]:
    share = percent(holder.bytes / peak, 1) if peak else UNKNOWN
    name = words.operator(holder.name) or UNKNOWN
    return [holder.kind, name, words.place(holder.site) or UNKNOWN, f"{holder.count:,}", memory_text(holder.bytes), share]


def add_support(sheet: Sheet, report: RunReport, top: int) -> None:
    """Operators that do not run as a kernel of the chip, and those of which it is not known."""
    found = words.no_kernel(report)
    sheet.table(
        "Operators without a kernel on the chip, or of which it is not known",
        ["operator", "what happens", "called at", "calls", "time in all"],
        (_support(entry) for entry in found[:top]),
        left=3,
    )
    if found[top:]:
        sheet.line(f"and {count(len(found[top:]), 'more operator')}", style="dim")
    composite = len(words.with_status(report, words.COMPOSITE))
    if not found and (composite or report.support_source):
        sheet.line()
    if composite:
        made = "is made" if composite == 1 else "are made"
        sheet.line(f"{count(composite, 'further operator')} {made} of others that the chip runs.", style="dim")
    if report.support_source:
        sheet.line(f"Kernels: {report.support_source}.", style="dim")


def _support(entry: Support) -> list[str]:
    what = {words.FALLBACK: "runs on the CPU", words.NO_DTYPE: "type is missing", words.UNKNOWN: "not known"}.get(
        entry.status, entry.status
    )
    if entry.via:
        what += ", through " + " > ".join(words.operator(op) for op in entry.via)
    if entry.note:
        what += f" ({entry.note})"
    return [words.operator(entry.op), what, words.place(entry.site) or UNKNOWN, f"{entry.calls:,}", time_text(entry.seconds)]


def add_measured(sheet: Sheet, report: RunReport, top: int) -> None:
    """The prediction beside what a real device took."""
    measured = report.measured
    if measured is None:
        return
    sheet.table(
        f"Prediction beside measurement: {measured.device}" + (f", {measured.software}" if measured.software else ""),
        [f"per {report.step_kind or 'step'}", "measured", "predicted", "error"],
        _compared(report, measured, top),
    )
    if measured.operators[top:]:
        sheet.line(f"and {count(len(measured.operators[top:]), 'more operator')}", style="dim")
    for note in measured.notes:
        sheet.bullet(note)


def _compared(report: RunReport, measured: Measured, top: int) -> Iterator[list[str]]:
    told = words.has_steps(report) and bool(measured.chip)
    yield ["the whole", *_pair(measured.step_s, report.step_s if told else None)]
    if measured.busy_s is not None:
        busy = words.busy_share(report)
        yield ["device busy", *_pair(measured.busy_s, report.step_s * busy if told and busy is not None else None)]
    for row in measured.operators[:top]:
        yield [words.operator(row.op), *_pair(row.measured_s, row.predicted_s)]


def _pair(measured_s: float, predicted_s: float | None) -> list[str]:
    if predicted_s is None or not words.known(predicted_s):
        return [time_text(measured_s), UNKNOWN, UNKNOWN]
    error = f"{100 * (predicted_s / measured_s - 1.0):+.0f} %" if measured_s > 0 else UNKNOWN
    return [time_text(measured_s), time_text(predicted_s), error]


def add_rest(sheet: Sheet, report: RunReport, top: int) -> None:
    """What was assumed: values that stood in, notes."""
    if report.stand_ins:
        sheet.line()
        sheet.line("Values that nothing computed, and what the program was given instead", style="bold")
        for entry in report.stand_ins[:top]:
            at = words.place(entry.site)
            sheet.bullet(f"{entry.what}: {entry.given}, {count(entry.calls, 'time')}" + (f", first at {at}" if at else ""))
        if report.stand_ins[top:]:
            sheet.line(f"and {len(report.stand_ins[top:]):,} more", style="dim")
    if report.notes:
        sheet.line()
        sheet.line("Notes", style="bold")
        for note in report.notes:
            sheet.bullet(note)
