"""A simulation as one HTML file: no network, no server, the same file on a phone, a desk and paper."""

from __future__ import annotations

import datetime
from pathlib import Path
from string import Template

from windtunnel.sim.serving.result import Result
from windtunnel.web import simulate_answer as answers
from windtunnel.web import simulate_tables as tables
from windtunnel.web.data import script_json
from windtunnel.web.file import page, page_file, version, write_whole
from windtunnel.web.markup import definitions, esc
from windtunnel.web.simulate_data import Asked, metrics, page_data
from windtunnel.web.sources import MEANING

SCRIPTS = (
    "frame.js",
    "labels.js",
    "stacked.js",
    "simulate_curves.js",
    "simulate_phases.js",
    "simulate_time.js",
    "simulate_start.js",
)


def write_simulation_report(asked: Asked, result: Result, path: str | Path, *, date: datetime.date | None = None) -> None:
    """Writes the report of a simulation to ``path``, whole or not at all.

    date: when it was simulated, today where it is not given. Raises InvalidInputError where the file cannot be written.
    """
    write_whole(render_simulation(asked, result, date=date), Path(path))


def render_simulation(asked: Asked, result: Result, *, date: datetime.date | None = None) -> str:
    """The report's HTML."""
    day = (date or datetime.date.today()).isoformat()
    model = asked.fleet.deployment.model
    body = Template(page_file("simulate.html")).substitute(
        model=esc(model),
        where=answers.where(asked.fleet),
        question=tables.question(asked, result, day, version()),
        lead="lead bad" if result.saturated else "lead",
        answer=esc(answers.answer(asked, result)),
        runner=esc(answers.runner(asked, result)),
        summary=tables.summary(asked.fleet, result),
        quantiles=tables.quantile_table(asked, result),
        latency="" if result.saturated or not metrics(result) else _latency(result),
        time_finding=esc(answers.time_finding(result)),
        moments_table=tables.moments_table(result.history),
        phases="" if result.saturated or not result.answered else _phases(result),
        pools=tables.pools_table(result),
        sources=_sources(result),
        command=esc(asked.command),
    )
    return page(
        title=esc(f"{model}, simulated: latency, queues, caches"),
        body=body,
        styles=("report.css", "simulate.css"),
        scripts=SCRIPTS,
        data=script_json(page_data(asked, result)),
    )


def _latency(result: Result) -> str:
    return Template(page_file("simulate_latency.html")).substitute(
        finding=esc(answers.latency_finding(result)), table=tables.detailed_quantiles(result)
    )


def _phases(result: Result) -> str:
    return Template(page_file("simulate_phases.html")).substitute(finding=esc(answers.phases_finding(result)))


def _sources(result: Result) -> str:
    meaning = definitions([(result.evidence.label.capitalize(), f"{MEANING[result.evidence]}.")], "terms")
    parts = [f"<h3>Evidence</h3><p>Step times rest on the weakest evidence of their operators.</p>{meaning}"]
    if result.notes:
        parts.append(f"<h3>Notes</h3><ul>{''.join(f'<li>{esc(note)}</li>' for note in result.notes)}</ul>")
    return "".join(parts)
