"""A plan as one HTML file: no network, no server, the same file on a phone, a desk and paper."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Mapping
from pathlib import Path
from string import Template

from windtunnel.plan.result import Plan
from windtunnel.web import answer, details, tables
from windtunnel.web.data import page_data, script_json
from windtunnel.web.file import page, page_file, version, write_whole
from windtunnel.web.markup import esc
from windtunnel.web.peaks import ChipPeaks
from windtunnel.web.sources import sources

SCRIPTS = ("frame.js", "labels.js", "pareto.js", "roofline.js", "bars.js", "start.js")


def write_report(plan: Plan, path: str | Path, *, peaks: Mapping[str, ChipPeaks], date: datetime.date | None = None) -> None:
    """Writes the report of ``plan`` to ``path``, whole or not at all.

    peaks: by catalogue id of the chip, for the roofline; a chip that is missing is drawn without its roof.
    date: when the question was asked, today where it is not given. Raises InvalidInputError where the
    file cannot be written.
    """
    write_whole(render(plan, peaks=peaks, date=date), Path(path))


def render(plan: Plan, *, peaks: Mapping[str, ChipPeaks], date: datetime.date | None = None) -> str:
    """The report's HTML."""
    day = (date or datetime.date.today()).isoformat()
    body = Template(page_file("plan.html")).substitute(
        model=esc(plan.model),
        question=tables.question(plan, day, version()),
        command=esc(command(plan)),
        answer=esc(answer.answer(plan)),
        runner_up=esc(answer.runner_up(plan)),
        summary=tables.summary(plan),
        chips_table=tables.chips_table(plan),
        throughput_finding=esc(answer.throughput_finding(plan)),
        pareto_table=details.pareto_table(plan) or "<p>No front was kept.</p>",
        cost_finding=esc(answer.cost_finding(plan)),
        operator_tables=details.operator_tables(plan) or "<p>No chip meets the targets, so no deployment was chosen.</p>",
        sources=sources(plan),
    )
    return page(
        title=esc(f"{plan.model}: which accelerators, how many, at what cost"),
        body=body,
        styles=("report.css",),
        scripts=SCRIPTS,
        data=script_json(page_data(plan, peaks)),
    )


def command(plan: Plan) -> str:
    """The command line that asks the same question."""
    t = plan.targets
    parts = [
        "windtunnel",
        "plan",
        plan.model,
        "--on",
        ",".join(chip.name for chip in plan.chips),
        "--isl",
        str(t.isl),
        "--osl",
        str(t.osl),
    ]
    parts += ["--ttft", f"{t.ttft_s:g}s"] if t.ttft_s else []
    parts += ["--tpot", f"{t.tpot_s * 1e3:g}ms"] if t.tpot_s else []
    parts += ["--requests-per-s", f"{t.requests_per_s:g}"] if t.requests_per_s else []
    parts += ["--to", plan.to, "--date", plan.date] if plan.to else []
    return shlex.join(parts)
