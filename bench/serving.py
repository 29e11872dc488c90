"""Serving errors with groups of model and chip held out in turn, and whether the stated interval holds."""

from __future__ import annotations

import math
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import fit_engines

from windtunnel.fit.report import spearman
from windtunnel.fit.table import read_table

Errors = list[tuple[float, float]]


@dataclass(frozen=True)
class HeldOut:
    """median, mean (shares), held (share of rows within the interval) and rank of each metric; predicted: share of rows."""

    tpot: dict[str, float]
    ttft: dict[str, float]
    predicted: float
    by_group: str


def held_out(path: Path) -> HeldOut:
    """Fits once for every group that is left out; the interval of a group comes from the errors on the other groups."""
    data = fit_engines.rows(path)
    groups = sorted({row.group for row in data})
    with ProcessPoolExecutor(2) as pool:
        errors = dict(zip(groups, pool.map(fit_engines.held_out, [path] * len(groups), groups), strict=True))
    ranks, along = _ranks(data, errors)
    tpot, ttft = (_metric(errors, i) for i in (0, 1))
    lines = [f"{'held out':62} {'rows':>5} {'TPOT':>7} {'TTFT':>7}   (median error, %)"]
    for group in groups:
        shares = [100 * median(abs(math.expm1(pair[i])) for pair in errors[group]) for i in (0, 1)]
        lines.append(f"{group:62} {len(errors[group]):5d} {shares[0]:7.1f} {shares[1]:7.1f}")
    rows = len(read_table(path).rows)
    return HeldOut({**tpot, "rank": ranks, "rank_along_load": along}, ttft, len(data) / rows, "\n".join(lines) + "\n")


def _metric(errors: dict[str, Errors], i: int) -> dict[str, float]:
    flat = [pair[i] for e in errors.values() for pair in e]
    shares = [abs(math.expm1(e)) for e in flat]
    held = 0
    for group, own in errors.items():
        others = sorted(pair[i] for other, e in errors.items() if other != group for pair in e)
        low, high = others[int(0.1 * len(others))], others[int(0.9 * len(others))]
        held += sum(low <= pair[i] <= high for pair in own)
    return {"median": median(shares), "mean": mean(shares), "held": held / len(flat)}


def _ranks(data: list[fit_engines.Row], errors: dict[str, Errors]) -> tuple[float, float]:
    """Spearman of predicted and measured TPOT, averaged over rows: within (model, chip), and along the load of one
    configuration (same engine, version, precision, parallelism and lengths)."""
    seen: dict[str, int] = defaultdict(int)
    coarse: dict[object, list[tuple[float, float]]] = defaultdict(list)
    fine: dict[object, list[tuple[float, float]]] = defaultdict(list)
    for row in data:
        error = errors[row.group][seen[row.group]][0]
        seen[row.group] += 1
        pair = (row.tpot_s * math.exp(error), row.tpot_s)
        coarse[row.group].append(pair)
        fine[(row.instance.deployment, row.load.isl, row.load.osl)].append(pair)
    return _mean_rank(coarse), _mean_rank(fine)


def _mean_rank(groups: dict[object, list[tuple[float, float]]]) -> float:
    weighted = total = 0.0
    for pairs in groups.values():
        rank = spearman([p for p, _ in pairs], [m for _, m in pairs]) if len(pairs) > 2 else None
        if rank is not None:
            weighted, total = weighted + rank * len(pairs), total + len(pairs)
    return weighted / total if total else math.nan
