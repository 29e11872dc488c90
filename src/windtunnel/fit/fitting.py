"""Parameters of a chip from measured operators: what ``windtunnel fit`` does.

Each operator family that has points for the chip is fitted by least squares of log errors, drawn towards what
predictions use today: the chip's packaged parameters, its kin's, or those of all fitted chips. How strongly is told by how
far fitted chips stray from one another; a chip of another maker may stray further. So ten points move what they can tell
and leave the rest sane.
"""

from __future__ import annotations

import importlib.util
import math
import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.chip import chip as chip_named
from windtunnel.catalog.store import name_key
from windtunnel.cost.model import CostModel
from windtunnel.cost.parameters import FamilyParameters, memory_group
from windtunnel.errors import InvalidInputError, UnknownNameError, UnsupportedError, WindtunnelError
from windtunnel.fit.operator_rows import operator_row
from windtunnel.fit.parameter_file import device_of, family_of, write_parameters
from windtunnel.fit.points import Point, point_of
from windtunnel.fit.report import quantile
from windtunnel.fit.serving_rows import place
from windtunnel.fit.table import MeasuredTable, number, read_table
from windtunnel.fit.validate import reason_of

if TYPE_CHECKING:
    from windtunnel.fit.operators import Prior

LEAST_POINTS = 3
"""Of one chip, all families together. Within a family even one point counts: it moves what is certain least."""
FOLDS = 5
LEAST_STRAY, STRANGER = 0.1, 0.5
"""The least that a parameter may stray from the prior, in log units, however alike the fitted chips are: of a chip of
Nvidia's, whose chips the prior was learned on, and of another maker's. A choice, not a measurement."""
PRIOR_POINTS = 5.0
"""How many points the prior's interval is worth beside the fit's own."""


@dataclass(frozen=True, slots=True)
class FamilyFit:
    """One family of one chip. Errors are means of absolute percentage errors: ``before`` with the parameters that predictions
    used so far, ``after`` on the points that were fitted, ``held_out`` on shapes left out of the fit in turn (None where there
    are too few). spread: 80 % of log errors lie within it."""

    chip: str
    family: str
    points: int
    groups: int
    before: float
    after: float
    held_out: float | None
    spread: float
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FitReport:
    """What was fitted, on what, and how well. skipped: what had too few points; toml: the parameter file of each chip."""

    file: str
    rows: int
    used: int
    refused: Mapping[str, int]
    skipped: Mapping[str, str]
    families: tuple[FamilyFit, ...]
    toml: Mapping[str, str]

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """By chip, what ``CostModel(chip, own=...)`` and ``predict(..., parameters=...)`` take."""
        return {chip: tomllib.loads(text) for chip, text in self.toml.items()}

    def to_json(self) -> dict[str, Any]:
        """The report as one object of plain values; errors in percent."""
        return {
            "file": self.file,
            "chips": list(self.toml),
            "rows": self.rows,
            "rows_fitted": self.used,
            "families": [
                {
                    "chip": f.chip,
                    "family": f.family,
                    "points": f.points,
                    "shapes": f.groups,
                    "error_before": f.before,
                    "error_after": f.after,
                    "error_held_out": f.held_out,
                    "spread": f.spread,
                }
                for f in self.families
            ],
            "skipped": dict(self.skipped),
            "refused": dict(self.refused),
        }


def fit(path: str | Path, *, chip: str | Path | None = None, output: str | Path | None = None) -> FitReport:
    """Parameters of the operator families from the operators that a CSV holds.

    chip: a name of the catalogue, or a TOML file that describes a new chip; rows that name it (or no chip) are fitted. Without
    it, every chip of the file is. output: where to write the parameters of the one chip, for ``predict`` and ``validate``.
    Raises InvalidInputError for a file of another kind, or without enough points; UnsupportedError without SciPy.
    """
    table = read_table(path)
    if table.kind != "operators":
        raise InvalidInputError(
            table.name, f"holds {table.kind}; parameters are fitted on operators (columns op, latency_us ...)"
        )
    if importlib.util.find_spec("scipy") is None:
        raise UnsupportedError("fit needs numpy and scipy; install them with: pip install 'windtunnel[fit]'")
    one = chip_named(str(chip)) if chip is not None else None
    refused: Counter[str] = Counter()
    if table.broken:
        refused["more fields than columns"] = table.broken
    points = _points(table, one, refused)
    if one is not None and not points and not refused:
        there = sorted({row.get("chip", "") for row in table.rows})[:5]
        raise InvalidInputError(table.name, f"no row names {one.id}; it holds {', '.join(there) or 'no rows'}")
    each = Counter({where.id: 0 for where, _ in points})
    for (where, _), found in points.items():
        each[where.id] += len(found)
    skipped = {name: f"{n} points, of at least {LEAST_POINTS}" for name, n in each.items() if n < LEAST_POINTS}
    fits = [_fit(where, family, found) for (where, family), found in points.items() if where.id not in skipped]
    if not fits:
        why = [*(f"{name}: {told}" for name, told in skipped.items()), *(f"{n} rows: {r}" for r, n in refused.items())]
        raise InvalidInputError(table.name, f"too few points to fit ({'; '.join(why[:3]) or 'no rows'})")
    toml = {name: _toml([f for f in fits if f.chip == name], table) for name in dict.fromkeys(f.chip for f in fits)}
    if output is not None:
        if len(toml) > 1:
            raise InvalidInputError(table.name, f"holds {', '.join(toml)}; choose whose parameters to write with chip")
        write_parameters(Path(output), next(iter(toml.values())))
    used = sum(f.points for f in fits)
    return FitReport(
        table.name, len(table.rows) + table.broken, used, dict(refused.most_common()), skipped, tuple(fits), toml
    )  # fmt: skip


_Found = list[tuple[Point, FamilyParameters]]


def _points(table: MeasuredTable, one: Chip | None, refused: Counter[str]) -> dict[tuple[Chip, str], _Found]:
    """The points of each chip and family; rows that make none are counted in ``refused``."""
    found: dict[tuple[Chip, str], _Found] = defaultdict(list)
    models: dict[str, CostModel | UnknownNameError] = {}
    for row in table.rows:
        try:
            name = row.get("chip", "")
            if name not in models:
                try:
                    models[name] = _model(name, one)
                except UnknownNameError as problem:
                    models[name] = problem
            costs = models[name]
            if isinstance(costs, UnknownNameError):
                raise costs
            if one is not None and costs.chip.id != device_of(one).id:
                continue
            op, warm = operator_row(row)
            point, today = point_of(costs, op, warm, number(row, "latency_us") * 1e-6)
            if not all(math.isfinite(v) for v in point.values.values()) or point.size <= 0:
                raise InvalidInputError("op", "no work")
            found[costs.chip, point.family].append((point, today))
        except WindtunnelError as problem:
            refused[reason_of(problem)] += 1
    return found


def _model(name: str, one: Chip | None) -> CostModel:
    """The cost model of the chip that a row names, or of ``one`` where it is meant. Raises UnknownNameError."""
    if one is not None and (not name or name_key(name) in {name_key(n) for n in (one.id, one.name, *one.aliases)}):
        return CostModel(device_of(one))
    if not name:
        raise InvalidInputError("chip", "missing")
    return CostModel(device_of(chip_named(place(name)[0])))


def _fit(where: Chip, table: str, found: _Found) -> FamilyFit:
    import numpy as np

    from windtunnel.fit.operators import fit_family, score

    family = family_of(table)
    assert family is not None
    today = found[0][1]
    prior = _prior(where, table, today)

    def arrays(chosen: Sequence[Point]) -> dict[str, Any]:
        return {key: np.array([p.values[key] for p in chosen]) for key in chosen[0].values}

    points = [point for point, _ in found]
    before = score(family, today.values, arrays(points))
    mine = fit_family(family, arrays(points), prior)
    groups = sorted({p.group for p in points})
    held: list[float] = []
    for left_out in _folds(points):
        inside = [p for i, p in enumerate(points) if i not in left_out]
        outside = [p for i, p in enumerate(points) if i in left_out]
        fitted = fit_family(family, arrays(inside), prior)
        held += [float(e) for e in np.log(family.time(np, fitted.values, arrays(outside)) / arrays(outside)["time"])]
    half = quantile(sorted(abs(e) for e in held), 0.8) if held else mine.spread
    spread = (half * len(points) + today.spread * PRIOR_POINTS) / (len(points) + PRIOR_POINTS)
    return FamilyFit(
        where.id, table, len(points), len(groups), 100.0 * before.mape, 100.0 * mine.mape,
        100.0 * sum(abs(math.expm1(e)) for e in held) / len(held) if held else None, spread, mine.values,
    )  # fmt: skip


def _folds(points: Sequence[Point]) -> list[set[int]]:
    """Which points are left out together: those of one shape; where there are fewer than three shapes, neighbours in size."""
    keys = [(*p.group,) for p in points]
    if len(points) < 3:
        return []
    if len(set(keys)) < 3:
        order = sorted(range(len(points)), key=lambda i: points[i].size)
        count = min(FOLDS, len(points))
        return [set(order[len(order) * k // count : len(order) * (k + 1) // count]) for k in range(count)]
    shapes = sorted(set(keys))
    count = min(FOLDS, len(shapes))
    fold = {shape: i % count for i, shape in enumerate(shapes)}
    return [{i for i, key in enumerate(keys) if fold[key] == k} for k in range(count)]


def _prior(where: Chip, table: str, today: FamilyParameters) -> Prior:
    """Drawn to what predictions use today, as strongly as fitted chips agree."""
    from windtunnel.fit.operators import Prior

    text = (files("windtunnel.cost") / "data" / "prior.toml").read_text(encoding="utf-8")
    packaged = tomllib.loads(text)
    groups = [packaged[memory_group(where)], packaged["hbm"]]
    names = (table, *(f"{stem}_wide" for stem in ("gemm", "moe") if table.startswith(f"{stem}_")))
    kin: Mapping[str, float] = next((g[n].get("between_chips", {}) for n in names for g in groups if n in g), {})
    least = LEAST_STRAY if where.vendor == "Nvidia" else STRANGER
    return Prior(today.values, {name: max(kin.get(name, 0.5), least) for name in today.values})


def _toml(fits: Sequence[FamilyFit], table: MeasuredTable) -> str:
    """The parameter file of one chip."""
    sources = list(dict.fromkeys(source for row in table.rows if (source := row.get("source", ""))))
    told = f"{table.name}: {sum(f.points for f in fits)} measured operators"
    if sources:
        told += f" ({'; '.join(sources[:3])})"
    lines = [
        f"# Fitted parameters of {fits[0].chip}. points: measured; mape: mean error of a share on them; held_out: the same on",
        "# shapes left out of the fit; spread: 80 % of log errors.",
        f"chip = {_quoted(fits[0].chip)}",
        f"source = {_quoted(told)}",
    ]
    for f in fits:
        lines += ["", f"[{f.family}]", f"points = {f.points}", f"mape = {f.after / 100:.3f}"]
        if f.held_out is not None:
            lines.append(f"held_out = {f.held_out / 100:.3f}")
        values = ", ".join(f"{name} = {value:.4g}" for name, value in f.values.items())
        lines += [f"spread = {max(f.spread, 0.001):.3f}", f"values = {{ {values} }}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    flat = "".join(c if c.isprintable() else " " for c in text)[:400]
    return '"' + flat.replace("\\", "\\\\").replace('"', '\\"') + '"'
