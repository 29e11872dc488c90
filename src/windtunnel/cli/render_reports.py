"""The reports of ``validate`` and ``fit`` as text, from their JSON objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from windtunnel.cli.render import UNKNOWN, Sheet, number, percent

METRICS = {
    "ttft_ms": "TTFT",
    "tpot_ms": "TPOT",
    "samples_per_s": "samples/s",
    "latency_us": "latency",
}
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
    """Whatever the fit says, in its own order: plain values first, then one table for each group of them."""
    sheet = Sheet(width=width, terminal=terminal)
    sheet.line(f"Fitted on {name}", style="bold")
    sheet.facts((_words(key), _value(key, value)) for key, value in report.items() if not isinstance(value, Mapping | list))
    for key, value in report.items():
        if isinstance(value, Mapping):
            _group(sheet, _words(key), value)
        elif isinstance(value, list) and value:
            sheet.line()
            sheet.line(_words(key), style="bold")
            for item in value:
                sheet.bullet(
                    ", ".join(f"{_words(k)} {_value(k, v)}" for k, v in item.items()) if isinstance(item, Mapping) else str(item)
                )
    return sheet


def _group(sheet: Sheet, title: str, values: Mapping[str, Any]) -> None:
    inner = [value for value in values.values() if isinstance(value, Mapping)]
    if len(inner) < len(values) or not inner:
        sheet.table(title, ["name", "value"], ([_words(k), _value(k, v)] for k, v in values.items()), fold=["value"])
        return
    columns = list(dict.fromkeys(key for value in inner for key in value))
    rows = ([name, *(_value(key, value.get(key)) for key in columns)] for name, value in values.items())
    sheet.table(title, ["name", *(_words(c) for c in columns)], rows)


def _words(key: str) -> str:
    return str(key).replace("_", " ")


def _value(key: str, value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(float(value))
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(k)} {_value(k, v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(key, item) for item in value)
    return str(value)
