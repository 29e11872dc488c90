"""How far predictions are from measurements, in the numbers that the documentation names: errors, ranks, intervals."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windtunnel.sim.prediction import Deployment, Load


@dataclass(frozen=True, slots=True)
class Compared:
    """One measured value beside its prediction and the interval that was stated for it, all in the column's unit."""

    measured: float
    predicted: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """How far the prediction is off, as a share of what was measured; positive where it is too large."""
        return self.predicted / self.measured - 1.0

    @property
    def held(self) -> bool:
        """Whether the measurement lies in the interval."""
        return self.low <= self.measured <= self.high


@dataclass(frozen=True, slots=True)
class RowResult:
    """A row that was predicted. number: counted from 1 below the header; group: what ranks are compared within;
    values: by the metric's column; deployment and load: as the row was read (None of operators); notes: how it was read."""

    number: int
    row: Mapping[str, str]
    chip: str
    group: tuple[str, ...]
    values: Mapping[str, Compared]
    deployment: Deployment | None = None
    load: Load | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """Predictions held against the measurements of one file.

    kind: serving, operators or programs; refused: reason -> rows; notes: how rows were read where not literally -> rows;
    rows_by_chip: rows whose chip is known, by its id; metrics: the columns that are compared.
    """

    file: str
    kind: str
    rows: int
    refused: Mapping[str, int]
    notes: Mapping[str, int]
    rows_by_chip: Mapping[str, int]
    metrics: tuple[str, ...]
    results: tuple[RowResult, ...]

    @property
    def predicted(self) -> int:
        return len(self.results)

    def errors(self, metric: str, results: Iterable[RowResult] | None = None) -> dict[str, float | None]:
        """``mape``, ``median`` and ``p90`` in percent, ``rank_correlation``, and ``within_interval`` as a share of one.

        None where there is nothing to tell it from. rank_correlation: Spearman's within each group of model and chip
        (of operators: chip, operator and type), averaged over groups weighted by their rows.
        """
        chosen = [r for r in (self.results if results is None else results) if metric in r.values]
        values = [r.values[metric] for r in chosen]
        shares = sorted(100.0 * abs(v.error) for v in values)
        return {
            "mape": statistics.fmean(shares) if shares else None,
            "median": statistics.median(shares) if shares else None,
            "p90": quantile(shares, 0.9) if shares else None,
            "rank_correlation": _ranks_within_groups(chosen, metric),
            "within_interval": statistics.fmean(float(v.held) for v in values) if values else None,
        }

    def to_json(self) -> dict[str, Any]:
        """The report as one object of plain values."""
        by_chip: dict[str, Any] = {}
        for chip in sorted(self.rows_by_chip):
            own = [r for r in self.results if r.chip == chip]
            by_chip[chip] = {
                "rows": self.rows_by_chip[chip],
                "predicted": len(own),
                **{metric: self.errors(metric, own) for metric in self.metrics},
            }
        return {
            "kind": self.kind,
            "rows": self.rows,
            "predicted": self.predicted,
            "refused": dict(self.refused),
            "notes": dict(self.notes),
            **{metric: self.errors(metric) for metric in self.metrics},
            "by_chip": by_chip,
        }


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``ordered`` lies, linear between neighbours."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Rank correlation, equal values sharing their mean rank; None for fewer than two values or where ``b`` is constant.

    A constant ``a`` (the predictions) against a ``b`` that varies tells nothing: 0.
    """
    if len(a) < 2 or len(set(b)) == 1:
        return None
    return statistics.correlation(_ranks(a), _ranks(b)) if len(set(a)) > 1 else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=lambda i: values[i])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for i in order[start : end + 1]:
            ranks[i] = (start + end) / 2.0
        start = end + 1
    return ranks


def _ranks_within_groups(results: Iterable[RowResult], metric: str) -> float | None:
    groups: dict[tuple[str, ...], list[Compared]] = defaultdict(list)
    for result in results:
        groups[result.group].append(result.values[metric])
    total = weighted = 0.0
    for values in groups.values():
        found = spearman([v.predicted for v in values], [v.measured for v in values])
        if found is not None:
            total += len(values)
            weighted += found * len(values)
    return weighted / total if total else None
