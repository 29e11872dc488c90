"""A plan as one HTML file: no network, no server, the same file on a phone, a desk and paper."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import shlex
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

from windtunnel.errors import InvalidInputError
from windtunnel.plan.result import Plan
from windtunnel.web import answer, details, tables
from windtunnel.web.data import page_data, script_json
from windtunnel.web.markup import esc
from windtunnel.web.peaks import ChipPeaks
from windtunnel.web.sources import sources

SCRIPTS = ("frame.js", "labels.js", "pareto.js", "roofline.js", "bars.js", "start.js")
VENDORED = ("d3.min.js", "plot.umd.min.js")


def write_report(plan: Plan, path: str | Path, *, peaks: Mapping[str, ChipPeaks], date: datetime.date | None = None) -> None:
    """Writes the report of ``plan`` to ``path``, whole or not at all.

    peaks: by catalogue id of the chip, for the roofline; a chip that is missing is drawn without its roof.
    date: when the question was asked, today where it is not given. Raises InvalidInputError where the
    file cannot be written.
    """
    text = render(plan, peaks=peaks, date=date)
    target = Path(path)
    if target.exists() and not target.is_file():
        raise InvalidInputError("report", f"{target} is no ordinary file, so it is not replaced")
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            os.chmod(name, 0o666 & ~_umask())  # noqa: PTH101
            Path(name).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as problem:
        raise InvalidInputError("report", f"cannot write '{target}': {problem.strerror or problem}")


def render(plan: Plan, *, peaks: Mapping[str, ChipPeaks], date: datetime.date | None = None) -> str:
    """The report's HTML."""
    day = (date or datetime.date.today()).isoformat()
    page = resources.files("windtunnel.web") / "page"
    vendor = resources.files("windtunnel.web") / "vendor"
    return Template((page / "template.html").read_text("utf-8")).substitute(
        title=esc(f"{plan.model}: which accelerators, how many, at what cost"),
        style=(page / "report.css").read_text("utf-8"),
        model=esc(plan.model),
        question=tables.question(plan, day, _version()),
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
        data=script_json(page_data(plan, peaks)),
        vendored="\n".join(f"<script>{(vendor / name).read_text('utf-8')}</script>" for name in VENDORED),
        script="\n".join((page / name).read_text("utf-8") for name in SCRIPTS),
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
    return shlex.join(parts)


def _version() -> str:
    try:
        return importlib.metadata.version("windtunnel")
    except importlib.metadata.PackageNotFoundError:
        return "from a source tree"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
