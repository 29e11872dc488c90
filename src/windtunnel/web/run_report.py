"""A run as one HTML file: no network, no server, one chip or several on the same page."""

from __future__ import annotations

import datetime
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from windtunnel.cost.evidence import Evidence
from windtunnel.run import words as run_words
from windtunnel.run.record import RunReport
from windtunnel.web import run_answer, run_tables
from windtunnel.web.data import script_json
from windtunnel.web.file import page, page_file, version, write_whole
from windtunnel.web.markup import chip_name, definitions, esc
from windtunnel.web.run_data import page_data
from windtunnel.web.sources import MEANING

SCRIPTS = (
    "frame.js", "labels.js", "stacked.js", "run_bars.js", "run_modules.js", "run_memory.js", "run_timeline.js", "run_start.js",
)  # fmt: skip

MOST_UNBROKEN = 20
"""Letters of a chip's name up to which it fits a line of the headline on a phone."""


def write_run_report(
    reports: Sequence[RunReport],
    path: str | Path,
    *,
    refused: Mapping[str, str] | None = None,
    date: datetime.date | None = None,
) -> None:
    """Writes the report of a program on one or several chips to ``path``, whole or not at all.

    refused: chips that could not be tried -> why. Raises InvalidInputError where the file cannot be written.
    """
    write_whole(render_run(reports, refused=refused, date=date), Path(path))


def render_run(
    reports: Sequence[RunReport], *, refused: Mapping[str, str] | None = None, date: datetime.date | None = None
) -> str:
    """The report's HTML."""
    day = (date or datetime.date.today()).isoformat()
    program = program_name(reports[0])
    best = min(reports, key=lambda report: report.step_s if run_words.has_steps(report) else float("inf"))
    compared = "".join(run_tables.measured(report) for report in reports)
    stops = "".join(_stop(report, place, len(reports) > 1) for place, report in enumerate(reports) if report.failure)
    body = Template(page_file("run.html")).substitute(
        program=esc(program),
        question=_question(reports, day),
        answer=_unbroken(run_answer.answer(reports), reports),
        runner=esc(run_answer.runner(reports)),
        summary=run_tables.summary(best),
        stops=stops,
        chips=_chips(reports, refused or {}),
        measured=_section("measured", esc(run_answer.measured_finding(reports)), compared) if compared else "",
        source=run_tables.each(reports, run_tables.source),
        holders=run_tables.each(reports, run_tables.holders),
        support=run_tables.each(reports, run_tables.support),
        sources=_sources(reports),
        command=esc(command(reports, tuple(refused or ()))),
    )
    return page(
        title=esc(f"{program}: does it run there, and how fast?"),
        body=body,
        styles=("report.css", "run.css"),
        scripts=SCRIPTS,
        data=script_json(page_data(reports)),
    )


def _unbroken(text: str, reports: Sequence[RunReport]) -> str:
    """``text`` as HTML in which no line ends within the name of a chip."""
    told = esc(text)
    for name in sorted({esc(run_words.label(report)) for report in reports}, key=len, reverse=True):
        if len(name) <= MOST_UNBROKEN:
            told = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", lambda found: f'<span class="nowrap">{found[0]}</span>', told)
    return told


def program_name(report: RunReport) -> str:
    """The script as one would name it, and its arguments."""
    script, _, rest = report.program.partition(" ")
    return f"{run_words.short_path(script)} {rest}".strip()


def command(reports: Sequence[RunReport], refused: Sequence[str] = ()) -> str:
    """The command line that asks the same question."""
    names = [report.device if report.measured is not None else run_words.label(report) for report in reports]
    return f"windtunnel run --on {shlex.quote(','.join([*names, *refused]))} {program_name(reports[0])}"


def _section(name: str, title: str, inner: str) -> str:
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{inner}</section>'


def _chips(reports: Sequence[RunReport], refused: Mapping[str, str]) -> str:
    """The table of the chips; of one alone the answer says all of it."""
    if len(reports) + len(refused) < 2:
        return ""
    table = run_tables.chips_table(reports, refused.items())
    inner = f'<div class="scroll" role="region" aria-labelledby="chips" tabindex="0">{table}</div>'
    return _section("chips", "Every chip that was asked about", inner)


def _question(reports: Sequence[RunReport], day: str) -> str:
    first = reports[0]
    items = [("Chips" if len(reports) > 1 else "Chip", esc(", ".join(run_words.label(report) for report in reports)))]
    items += [("Recorded", f"{first.operators:,} operator calls")] if first.operators else []
    items += [(esc(key.capitalize()), esc(value)) for key, value in first.settings.items()]
    return definitions([*items, ("Run on", f"{esc(day)}, with windtunnel {esc(version())}")])


def _stop(report: RunReport, place: int, several: bool) -> str:
    name = f"<h3>{chip_name(run_words.label(report), place)}</h3>" if several else ""
    return name + run_tables.failure(report)


def _sources(reports: Sequence[RunReport]) -> str:
    used: set[Evidence] = {share.evidence for report in reports for share in report.by_operator if share.evidence is not None}
    parts = []
    if used:
        meaning = definitions(((e.label.capitalize(), f"{MEANING[e]}.") for e in sorted(used, reverse=True)), "terms")
        parts.append(
            "<h3>Evidence</h3><p>A step's time is the sum of its operators' times and of the waits for the host; a sum keeps the "
            f"weakest evidence of its parts. The intervals hold the true value in 80&nbsp;% of cases.</p>{meaning}"
        )
    stand_ins = {(s.what, s.given, run_words.place(s.site)): s.calls for report in reports for s in report.stand_ins}
    if stand_ins:
        items = "".join(
            f"<li>{esc(what)}: {esc(given)}, {calls:,} time{'s' * (calls != 1)}{esc(f', first at {at}') if at else ''}</li>"
            for (what, given, at), calls in stand_ins.items()
        )
        parts.append(f"<h3>Values that nothing computed, and what the program was given instead</h3><ul>{items}</ul>")
    notes = dict.fromkeys(note for report in reports for note in report.notes)
    if notes:
        parts.append(f"<h3>Notes</h3><ul>{''.join(f'<li>{esc(note)}</li>' for note in notes)}</ul>")
    return "".join(parts)
