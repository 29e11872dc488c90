"""The reports of ``validate`` and ``fit`` as text, from their JSON objects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from windtunnel.cli.render import UNKNOWN, Sheet, number, percent

METRICS = {
    "ttft_ms": "TTFT",
    "tpot_ms": "TPOT",
    "samples_per_s": "samples/s",
    "latency_us": "latency",
}
FIT_COLUMNS = ("family", "points", "shapes", "before", "after", "held out", "80 % within")
FIT_KEY = (
    "before: with the parameters that are packaged. held out: shapes left out of the fit, predicted from the others.",
    "80 % within: the error that four fifths of the points stay within.",
)
ERROR_COLUMNS = ("mean error", "median", "p90", "rank correlation", "within interval")


def validation_sheet(name: str, report: Mapping[str, Any], *, width: int = 0, terminal: bool | None = None) -> Sheet:
    sheet = Sheet(width=width, terminal=terminal)
    rows, predicted = int(report.get("rows", 0)), int(report.get("predicted", 0))
    share = f" ({percent(predicted / rows, 1)})" if rows else ""
    sheet.line(f"{name}: {rows:,} rows, {predicted:,} predicted{share}", style="bold")
    found = [(METRICS[key], report[key]) for key in METRICS if isinstance(report.get(key), Mapping)]
    sheet.table("Error of the predictions", ["metric", *ERROR_COLUMNS], ([label, *_errors(values)] for label, values in found))
    by_chip = report.get("by_chip")
    if isinstance(by_chip, Mapping):
        sheet.table("By chip", ["chip", "metric", "rows", "mean error", "median", "p90"], _chips(by_chip), left=2)
    refused = report.get("refused")
    if isinstance(refused, Mapping) and refused:
        sheet.line()
        sheet.line("Refused", style="bold")
        for reason, how_many in sorted(refused.items(), key=lambda item: -int(item[1])):
            sheet.bullet(f"{int(how_many):,} x {reason}")
    notes = report.get("notes")
    if isinstance(notes, Mapping) and notes:
        sheet.line()
        sheet.line("How rows were read", style="bold")
        for note, how_many in sorted(notes.items(), key=lambda item: -int(item[1])):
            sheet.bullet(f"{int(how_many):,} x {note}")
    return sheet


def _errors(values: Mapping[str, Any]) -> list[str]:
    errors = [_percent(values.get(key)) for key in ("mape", "median", "p90")]
    rank, within = values.get("rank_correlation"), values.get("within_interval")
    return [*errors, UNKNOWN if rank is None else f"{rank:.3f}", UNKNOWN if within is None else percent(within)]


def _percent(value: Any) -> str:
    return UNKNOWN if value is None else f"{value:.1f} %"


def _chips(by_chip: Mapping[str, Any]) -> Iterator[list[str]]:
    for chip, values in sorted(by_chip.items()):
        if not isinstance(values, Mapping):
            continue
        nested = [(METRICS[key], values[key]) for key in METRICS if isinstance(values.get(key), Mapping)]
        for label, errors in nested or [("", values)]:
            rows = errors.get("predicted", errors.get("rows", values.get("predicted", values.get("rows"))))
            yield [chip, label, number(rows), *(_percent(errors.get(key)) for key in ("mape", "median", "p90"))]


def fit_sheet(name: str, report: Mapping[str, Any], *, width: int = 0, terminal: bool | None = None) -> Sheet:
    """What was fitted on how much, one table a chip: the error before, after, and on shapes that were held out."""
    sheet = Sheet(width=width, terminal=terminal)
    rows, used = int(report.get("rows", 0)), int(report.get("rows_fitted", 0))
    sheet.line(f"{name}: {rows:,} rows, {used:,} fitted", style="bold")
    families = list(report.get("families", ()))
    for chip in dict.fromkeys(family["chip"] for family in families):
        sheet.table(f"{chip}: mean error of each family of operators", FIT_COLUMNS, _families(families, chip))
    if families:
        sheet.line()
        for text in FIT_KEY:
            sheet.line(text, style="dim")
    for title in ("refused", "skipped"):
        found = report.get(title)
        if isinstance(found, Mapping) and found:
            sheet.line()
            sheet.line(title.capitalize(), style="bold")
            for reason, how_many in sorted(found.items(), key=lambda item: str(item[0])):
                sheet.bullet(f"{how_many:,} x {reason}" if isinstance(how_many, int) else f"{reason}: {how_many}")
    return sheet


def _families(families: Sequence[Mapping[str, Any]], chip: str) -> Iterator[list[str]]:
    for family in families:
        if family["chip"] == chip:
            errors = (family.get(key) for key in ("error_before", "error_after", "error_held_out"))
            spread = family.get("spread")
            yield [
                family["family"],
                number(family.get("points")),
                number(family.get("shapes")),
                *(_percent(value) for value in errors),
                UNKNOWN if spread is None else percent(math.expm1(spread)),
            ]
