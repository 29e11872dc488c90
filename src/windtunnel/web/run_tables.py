"""A run's tables and its source with the time beside each line: readable without scripts."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable, Iterator, Sequence

from windtunnel.run import words as run_words
from windtunnel.run.record import RunReport, Share
from windtunnel.web import words
from windtunnel.web.markup import chip_name, definitions, esc, head, row, table, unknown

NOTHING = f'<span class="unknown">{words.DASH}</span>'
HOLDERS = 24
"""Rows of the table of what holds the memory."""
AROUND = 2
"""Lines shown above and below one that takes time."""
HOT_LINES, FILES, ROWS = 24, 4, 60
"""Lines that are shown with their time, files that they are shown in, and lines of one file, at most."""


def summary(report: RunReport) -> str:
    """The key figures of the first answer."""
    busy = run_words.busy_share(report)
    figures = [
        (f"Time per {esc(report.step_kind or 'step')}", _time(report)),
        ("MFU", _mfu(report)),
        ("Peak memory", f"{words.memory(report.memory.peak)} <small>{_of_capacity(report)}</small>"),
        ("Device busy", unknown() if busy is None else words.percent(busy)),
        ("On the CPU", _on_cpu(report)),
        ("Evidence", esc(run_words.evidence_text(report)) if run_words.has_steps(report) else unknown()),
    ]
    return definitions(figures, "key")


def _mfu(report: RunReport) -> str:
    used = run_words.mfu(report)
    if used is None:
        return unknown()
    peak = f"{words.number(report.peak_flops_per_s / 1e12)} TFLOP/s, {esc(report.dtype)}"
    return f"{words.percent(used)} <small>of {peak}</small>"


def _on_cpu(report: RunReport) -> str:
    fallbacks, silent = (len(run_words.with_status(report, s)) for s in (run_words.FALLBACK, run_words.UNKNOWN))
    operators = f"{fallbacks:,} operator{'s' * (fallbacks != 1)}"
    return f"{operators} <small>and {silent:,} of unknown support</small>" if silent else operators


def _time(report: RunReport) -> str:
    if not run_words.has_steps(report):
        return unknown("no step was finished")
    told = f"80&nbsp;%: {interval(report)}"
    if report.measured is None:
        return f"{words.seconds(report.step_s)} <small>{told}</small>"
    predicted = f"measured; predicted {words.seconds(report.step_s)}, {told}"
    return f"{words.seconds(report.measured.step_s)} <small>{predicted}</small>"


def interval(report: RunReport) -> str:
    low, high = (words.seconds(value) for value in report.interval_s)
    first, unit = low.split("\N{NO-BREAK SPACE}") if "\N{NO-BREAK SPACE}" in low else (low, "")
    return f"{first if high.endswith(unit) and high.split(chr(0xA0))[-1] == unit else low}{words.DASH}{high}"


def _of_capacity(report: RunReport) -> str:
    capacity = report.memory.capacity
    return f"{words.percent(report.memory.peak / capacity)} of {words.memory(capacity)}" if capacity else "of an unknown capacity"


COLUMNS = {
    "Chip": "",
    "Does it run there?": "t",
    "Time per step": "n",
    "Speed": "n",
    "MFU": "n",
    "Peak memory": "n",
    "Bound by": "t",
    "On the CPU": "n",
    "Unknown": "n",
    "Evidence": "t",
}
"""Column heads, and ``n`` where figures stand below."""


def chips_table(reports: Sequence[RunReport], refused: Iterable[tuple[str, str]] = ()) -> str:
    heads = "".join(f'<th scope="col" role="columnheader" class="{kind}">{name}</th>' for name, kind in COLUMNS.items())
    body = [_chip_row(report, place, reports[0]) for place, report in enumerate(reports)]
    body += [_refused_row(name, why, len(reports) + i) for i, (name, why) in enumerate(refused)]
    caption = "Small print: the 80&nbsp;% interval, and the share of the memory. Speed is relative to the first chip."
    return (
        f'<table role="table" class="chips runs"><caption>{caption}</caption>'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead><tbody role="rowgroup">{"".join(body)}</tbody></table>'
    )


def _refused_row(name: str, why: str, place: int) -> str:
    return (
        f'<tr role="row" class="failed"><th scope="row" role="rowheader">{chip_name(name, place)}</th>'
        f'<td role="cell" colspan="{len(COLUMNS) - 1}" class="t"><strong>Not tried.</strong> {esc(why)}</td></tr>'
    )


def _cell(label: str, value: str, small: str = "") -> str:
    under = f"<small>{small}</small>" if small else ""
    return f'<td role="cell" class="{COLUMNS[label]}" data-label="{label}"><span>{value}{under}</span></td>'


def _chip_row(report: RunReport, place: int, first: RunReport) -> str:
    verdict = esc(run_words.verdict(report))
    timed = run_words.has_steps(report)
    times, used = run_words.times_as_fast(first, report), run_words.mfu(report)
    cells = (
        f'<th scope="row" role="rowheader">{chip_name(run_words.label(report), place)}</th>',
        _cell("Does it run there?", f"<strong>{verdict}</strong>" if report.status == "failed" else verdict),
        _cell("Time per step", words.seconds(report.step_s) if timed else NOTHING, interval(report) if timed else ""),
        _cell("Speed", NOTHING if times is None else f"{words.number(times)}{words.TIMES}"),
        _cell("MFU", NOTHING if used is None else words.percent(used)),
        _cell("Peak memory", words.memory(report.memory.peak), _of_capacity(report)),
        _cell("Bound by", esc(run_words.main_bound(report)) or NOTHING),
        _cell("On the CPU", f"{len(run_words.with_status(report, run_words.FALLBACK)):,}"),
        _cell("Unknown", f"{len(run_words.with_status(report, run_words.UNKNOWN)):,}"),
        _cell("Evidence", esc(run_words.evidence_text(report)) if timed else NOTHING),
    )
    return f'<tr role="row"{" class=failed" if report.status == "failed" else ""}>{"".join(cells)}</tr>'


def each(reports: Sequence[RunReport], block: Callable[[RunReport], str]) -> str:
    """A block for each chip, of which the page shows that of the chosen chip."""
    several = len(reports) > 1
    parts = []
    for place, report in enumerate(reports):
        name = f'<h3 class="of-name">{chip_name(run_words.label(report), place)}</h3>' if several else ""
        parts.append(f'<div class="of" data-of="{place}">{name}{block(report)}</div>')
    return "".join(parts)


def source(report: RunReport) -> str:
    """The program's text around the lines that take time, with the time beside each."""
    if not run_words.has_steps(report) or not report.by_line:
        return "<p>No step was finished, so no line's share can be told.</p>"
    files: dict[str, dict[int, Share]] = {}
    bare: list[Share] = []
    for share in report.by_line[:HOT_LINES]:
        site = run_words.line_of(share.name)
        if site is None or not linecache.getline(site.file, site.line):
            bare.append(share)
        elif site.file in files or len(files) < FILES:
            files.setdefault(site.file, {})[site.line] = share
        else:
            bare.append(share)
    parts = [_listing(file, lines, report) for file, lines in files.items()]
    if bare:
        rows = (row(_line_name(s), _line_cells(s, report)) for s in bare)
        caption = "Lines of files that cannot be read from here, or of further files"
        header = head(("Line", "Time", "Share", "Launches", "Bound by"), ("Time", "Share", "Launches"))
        parts.append(f'<div class="scroll" tabindex="0">{table(caption, header, rows, "plain")}</div>')
    rest = report.by_line[HOT_LINES:]
    if rest:
        part = words.percent(sum(s.seconds for s in rest) / report.step_s, 1)
        parts.append(f'<p class="small">{len(rest):,} more lines take {part} of the time.</p>')
    return "".join(parts)


def _line_name(share: Share) -> str:
    return esc(run_words.place(run_words.line_of(share.name)) or share.name or "not known")


def _line_cells(share: Share, report: RunReport) -> tuple[tuple[str, str], ...]:
    part = words.percent(share.seconds / report.step_s, 1)
    return (("n", words.seconds(share.seconds)), ("n", part), ("n", words.number(share.calls)), ("t", esc(share.bound)))


def _listing(file: str, lines: dict[int, Share], report: RunReport) -> str:
    text = [line.rstrip("\n") for line in linecache.getlines(file)]
    most = max(share.seconds for share in lines.values())
    shown = list(_windows(sorted(lines), len(text)))[:ROWS]
    rows, last = [], 0
    for number in shown:
        if number != last + 1 and last:
            rows.append('<div class="gap" aria-hidden="true"></div>')
        last = number
        rows.append(_code_line(number, text[number - 1], lines.get(number), most, report.step_s))
    name = f'<p class="file">{esc(run_words.short_path(file))}</p>'
    return f'{name}<div class="listing scroll" tabindex="0"><div>{"".join(rows)}</div></div>'


def _code_line(number: int, text: str, share: Share | None, most_s: float, step_s: float) -> str:
    """One line of source: its share of the step, its time, its number, its text."""
    code = f"<i>{number}</i><code>{esc(text) or '&nbsp;'}</code>"
    if share is None:
        return f'<div class="cold"><span class="pc"></span><b></b>{code}</div>'
    time = words.seconds(share.seconds)
    title = f"{time} in {words.number(share.calls)} launches, bound by {share.bound}"
    heat = f"--heat:{share.seconds / most_s if most_s else 0:.3f}"
    part = words.percent(share.seconds / step_s, 1)
    return f'<div class="hot" style="{heat}" title="{esc(title)}"><span class="pc">{part}</span><b>{time}</b>{code}</div>'


def _windows(numbers: Sequence[int], length: int) -> Iterator[int]:
    """The lines and those around them, each once."""
    last = 0
    for number in numbers:
        for near in range(max(number - AROUND, last + 1), min(number + AROUND, length) + 1):
            yield near
            last = near


def holders(report: RunReport) -> str:
    """Who holds the memory at the peak."""
    found = run_words.fold_holders(report.memory.holders)
    if not found:
        return ""
    peak = report.memory.peak or 1
    rest = found[HOLDERS:]
    more = f'<p class="small">{len(rest):,} more hold {words.memory(sum(h.bytes for h in rest))}.</p>' if rest else ""
    rows = (
        row(esc(h.kind), (
            ("t", esc(run_words.operator(h.name)) or NOTHING),
            ("t", esc(run_words.place(h.site)) or NOTHING),
            ("n", f"{h.count:,}"), ("n", words.memory(h.bytes)), ("n", words.percent(h.bytes / peak, 1)),
        ))
        for h in found[:HOLDERS]
    )  # fmt: skip
    header = head(("Kind", "What", "Made at", "Count", "Size", "Share"), ("Count", "Size", "Share"))
    return (
        f'<div class="scroll" tabindex="0">{table("A * stands for every layer of that place", header, rows, "plain")}</div>{more}'
    )


TOLD = {
    run_words.FALLBACK: "runs on the CPU",
    run_words.NO_DTYPE: "the chip lacks the type",
    run_words.UNKNOWN: "not known",
    run_words.COMPOSITE: "made of others",
}


def support(report: RunReport) -> str:
    """Operators without a kernel of their own, what happens to them, and where they are called."""
    found = run_words.no_kernel(report) + run_words.with_status(report, run_words.COMPOSITE)
    source_of = f'<p class="small">Told by: {esc(report.support_source)}.</p>' if report.support_source else ""
    if not found:
        said = (
            "Every operator that was called has a kernel there."
            if report.support_source
            else "Nothing says which operators have a kernel there."
        )
        return f"<p>{said}</p>{source_of}"
    rows = []
    for entry in found:
        via = f"<small>through {esc(' > '.join(run_words.operator(op) for op in entry.via))}</small>" if entry.via else ""
        note = f"<small>{esc(entry.note)}</small>" if entry.note else ""
        code = esc(run_words.code(entry.site))
        where = (esc(run_words.place(entry.site)) or NOTHING) + (f"<small><code>{code}</code></small>" if code else "")
        cells = (
            ("t", esc(TOLD.get(entry.status, entry.status)) + via + note),
            ("t", where),
            ("n", f"{entry.calls:,}"),
            ("n", words.seconds(entry.seconds)),
        )
        rows.append(row(esc(run_words.operator(entry.op)), cells))
    header = head(("Operator", "What happens", "Called at", "Calls", "Time in all"), ("Calls", "Time in all"))
    return f'<div class="scroll" tabindex="0">{table("Over the whole run", header, rows, "plain")}</div>{source_of}'


def failure(report: RunReport) -> str:
    """The error, and the program's own line."""
    if report.failure is None:
        return ""
    said, site = report.failure, report.failure.site
    code = esc(run_words.code(site))
    at = f'<p class="file">{esc(run_words.place(site))}, in {esc(site.function)}</p>' if site else ""
    line = f'<pre class="scroll" tabindex="0"><code>{code}</code></pre>' if code else ""
    return f'<div class="stop"><p><strong>{esc(said.error)}</strong> {esc(said.message)}</p>{at}{line}</div>'


def measured(report: RunReport) -> str:
    """Prediction beside measurement."""
    found = report.measured
    if found is None:
        return ""
    whole = row("the whole step", _pair(found.step_s, report.step_s if run_words.has_steps(report) and found.chip else None))
    rows = [whole, *(row(esc(run_words.operator(op.op)), _pair(op.measured_s, op.predicted_s)) for op in found.operators[:30])]
    header = head(("Operator", "Measured", "Predicted", "Error"), ("Measured", "Predicted", "Error"))
    caption = f"{esc(found.device)}, {esc(found.software)}; per {esc(report.step_kind or 'step')}"
    notes = "".join(f"<li>{esc(note)}</li>" for note in found.notes)
    return f'<div class="scroll" tabindex="0">{table(caption, header, rows, "plain")}</div>' + (
        f"<ul>{notes}</ul>" if notes else ""
    )


def _pair(measured_s: float, predicted_s: float | None) -> tuple[tuple[str, str], ...]:
    if predicted_s is None or not run_words.known(predicted_s):
        return ("n", words.seconds(measured_s)), ("n", NOTHING), ("n", NOTHING)
    error = f"{100 * (predicted_s / measured_s - 1):+.0f}&nbsp;%" if measured_s > 0 else NOTHING
    return ("n", words.seconds(measured_s)), ("n", words.seconds(predicted_s)), ("n", error)
