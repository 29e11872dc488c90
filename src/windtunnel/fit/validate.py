"""Predictions against the measurements in a file: what ``windtunnel validate`` does.

The columns of the file tell its kind (``table``); how rows are read stands in ``serving_rows``, ``operator_rows`` and
``program_rows``. Nothing here needs more than the standard library, but for programs, which PyTorch records.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from windtunnel.catalog.chip import Chip, chip
from windtunnel.cost.model import CostModel
from windtunnel.errors import (
    DoesNotFitError,
    InvalidInputError,
    ParallelismError,
    UnknownNameError,
    WindtunnelError,
)
from windtunnel.fit.operator_rows import dtype_of, operator_row
from windtunnel.fit.parameter_file import applies, device_of
from windtunnel.fit.program_rows import program_row, program_times
from windtunnel.fit.report import Compared, RowResult, ValidationReport
from windtunnel.fit.serving_rows import place, serving_row
from windtunnel.fit.table import METRICS, MeasuredTable, number, read_table
from windtunnel.sim.predict import predict

__all__ = ["Compared", "RowResult", "ValidationReport", "validate"]

MOST_REASONS = 40
"""Different reasons that a report tells apart; beyond them, a file is broken in more ways than anyone reads."""
_NAMES = ("chip", "model", "engine", "op", "dtype")
"""What a row names; a combination that is not known is looked up once, since looking for the nearest takes long."""
Row = Mapping[str, str]


def validate(path: str | Path, *, parameters: Mapping[str, Any] | None = None) -> ValidationReport:
    """The predictions for every row of the file, beside what was measured.

    parameters: tables of a parameter file that ``windtunnel fit`` wrote, used for the chip that it names in place of the
    packaged ones. Rows that cannot be predicted are counted with the reason. Raises InvalidInputError for a file that is no
    CSV of a known kind.
    """
    table = read_table(path)
    if table.kind == "serving":
        return _hold(table, _Serving(parameters).row)
    if table.kind == "operators":
        return _hold(table, _Operators(parameters).row)
    return _hold(table, _Programs(table.rows, parameters).row)


def _hold(table: MeasuredTable, predicted: Callable[[int, Row], RowResult]) -> ValidationReport:
    refused: Counter[str] = Counter()
    by_chip: Counter[str] = Counter()
    results: list[RowResult] = []
    if table.broken:
        refused["more fields than columns"] = table.broken
    unknown: dict[tuple[str, ...], UnknownNameError] = {}
    for i, row in enumerate(table.rows, 1):
        names = tuple(row.get(key, "") for key in _NAMES)
        try:
            if names in unknown:
                raise unknown[names]
            if not names[0]:
                raise InvalidInputError("chip", "missing")
            by_chip[chip(place(names[0])[0]).id] += 1
            results.append(predicted(i, row))
        except WindtunnelError as problem:
            if isinstance(problem, UnknownNameError):
                unknown[names] = problem
            reason = reason_of(problem)
            refused[reason if reason in refused or len(refused) < MOST_REASONS else "other reasons"] += 1
    notes = Counter(note for result in results for note in result.notes)
    return ValidationReport(
        table.name, table.kind, len(table.rows) + table.broken, dict(refused.most_common()), dict(notes.most_common()),
        dict(by_chip), METRICS[table.kind], tuple(results),
    )  # fmt: skip


def reason_of(problem: WindtunnelError) -> str:
    """The short form of an error under which rows are counted: without numbers or hints that differ from row to row."""
    if isinstance(problem, UnknownNameError):
        return f"unknown {problem.kind} '{' '.join(problem.name.split())[:40]}'"
    if isinstance(problem, DoesNotFitError):
        return "does not fit in memory"
    if isinstance(problem, ParallelismError):
        return f"{problem.field} does not divide the model"
    text = str(problem).split("; ")[0]
    return text if len(text) <= 120 else f"{text[:117]}..."


def _measured(row: Row, metrics: tuple[str, ...]) -> dict[str, float]:
    """What was measured, by column. Raises InvalidInputError where nothing was."""
    # no time is zero: whoever writes one beside a time that is not, measured only the other
    some = [metric for metric in metrics if row.get(metric)]
    if any(row[metric].strip("0.") for metric in some):
        some = [metric for metric in some if row[metric].strip("0.")]
    found = {metric: number(row, metric) for metric in some}
    if not found:
        raise InvalidInputError(" and ".join(metrics), "missing")
    return found


class _Serving:
    def __init__(self, parameters: Mapping[str, Any] | None) -> None:
        self.parameters = parameters

    def row(self, i: int, row: Row) -> RowResult:
        measured = _measured(row, METRICS["serving"])
        read = serving_row(row)
        where = chip(read.chip)
        own = self.parameters if applies(self.parameters, where) else None
        found = predict(read.deployment, read.load, operators=False, parameters=own)
        told = {"ttft_ms": found.ttft, "tpot_ms": found.tpot}
        if read.apart:
            told["tpot_ms"] = predict(read.deployment, read.load, role="decode", operators=False, parameters=own).tpot
        values = {
            metric: Compared(value, told[metric].value * 1e3, told[metric].low * 1e3, told[metric].high * 1e3)
            for metric, value in measured.items()
        }
        return RowResult(i, row, where.id, (read.deployment.model, where.id), values, read.deployment, read.load, read.notes)


class _Operators:
    def __init__(self, parameters: Mapping[str, Any] | None) -> None:
        self.parameters = parameters
        self.models: dict[str, CostModel] = {}

    def row(self, i: int, row: Row) -> RowResult:
        measured = _measured(row, METRICS["operators"])["latency_us"]
        op, warm = operator_row(row)
        of = chip(place(row["chip"])[0])
        cost = self._model(of).cost(op, warm=warm)
        time = cost.time_s * 1e6
        if not 0 < time < math.inf:
            raise InvalidInputError("op", "no work")
        width = math.exp(cost.spread)
        values = {"latency_us": Compared(measured, time, time / width, time * width)}
        return RowResult(i, row, of.id, (of.id, row["op"].lower(), dtype_of(row)), values)

    def _model(self, of: Chip) -> CostModel:
        """Operators run on one device of a chip that shows several."""
        if of.id not in self.models:
            device = device_of(of)
            self.models[of.id] = CostModel(device, own=self.parameters if applies(self.parameters, of) else None)
        return self.models[of.id]


class _Programs:
    """Programs are recorded and priced all at once, before the rows are gone through."""

    def __init__(self, rows: Sequence[Row], parameters: Mapping[str, Any] | None) -> None:
        own = parameters if parameters else None
        self.found = program_times(rows, lambda of: own if applies(own, of) else None)

    def row(self, i: int, row: Row) -> RowResult:
        measured = _measured(row, METRICS["programs"])["samples_per_s"]
        read = program_row(row)
        told = self.found[i - 1]
        if isinstance(told, WindtunnelError):
            raise told
        rate, width = read.batch / told.seconds, math.exp(told.spread)
        group = (read.chip.id, "compiled" if read.compiled else "eager", read.layout, row.get("torch", ""))
        values = {"samples_per_s": Compared(measured, rate, rate / width, rate * width)}
        return RowResult(i, row, read.chip.id, group, values, notes=read.notes)
