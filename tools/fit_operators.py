"""Fits every family on every chip of the operator tables; writes the parameters, their spread and held-out errors.

    python tools/fit_operators.py PATH/aiconfigurator_core/systems/data

Writes src/windtunnel/cost/data/{chip}.toml and prior.toml, whole: run fit_programs.py afterwards, which adds its families to
the latter. Development only.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import operator_tables
import pandas as pd  # type: ignore[import-untyped]

from windtunnel.catalog.chip import chip
from windtunnel.fit.families import FAMILIES, Family
from windtunnel.fit.operators import FittedFamily, Prior, fit_family, score

OUT = Path(__file__).parent.parent / "src" / "windtunnel" / "cost" / "data"
SAMPLE = 2000
SOURCE = (
    "aiconfigurator-core 0.12.0 operator tables (Apache-2.0), median over engines (experts and latent attention: the fastest)"
)
UNUSED = ("gemm.fp8_block", "attention_prefill.fp8")
"""Read for the benchmark or for comparison; the cost model prices these operators with other families."""
KIN = 4.0
"""Weight of chips with the same class of memory when a chip is predicted from the others."""


def memory_class(name: str) -> str:
    return "hbm" if chip(name).memory_type.upper().startswith("HBM") else "gddr"


def arrays(table: pd.DataFrame) -> dict[str, np.ndarray]:
    return {c: table[c].to_numpy(float) for c in table.columns if table[c].dtype.kind in "fi"}


def family_of(name: str) -> Family:
    return FAMILIES[name.split(".")[0]]


def pooled(family: Family, table: pd.DataFrame, kin: str) -> FittedFamily:
    """One set of parameters for all chips, those of memory class ``kin`` counting more."""
    own = np.array([memory_class(c) == kin for c in table["chip"]])
    weights = np.sqrt(np.where(own, KIN, 1.0))
    return fit_family(family, arrays(table), weights=weights / np.sqrt((weights**2).mean()))


def show(values: dict[str, float]) -> str:
    return "{ " + ", ".join(f"{k} = {v:.4g}" for k, v in values.items()) + " }"


def main(root: Path) -> None:
    chips: dict[str, list[str]] = {}
    prior_lines = [
        "# What is known of a chip that was never fitted: parameters of all fitted chips together, those of the same",
        "# class of memory counting four times. held_out: mean error (a share) on each fitted chip when it is left out.",
        f'source = "{SOURCE}"',
    ]
    for reader in operator_tables.READERS:
        for name, full in reader(root):
            if name in UNUSED:
                continue
            family = family_of(name)
            table = full.sample(frac=1, random_state=7).groupby("chip").head(SAMPLE)
            names = sorted(table["chip"].unique())
            own = {c: fit_family(family, arrays(table[table["chip"] == c])) for c in names}
            held = {}
            for c in names:
                rest = table[table["chip"] != c]
                if not rest.empty:
                    held[c] = score(family, pooled(family, rest, memory_class(c)).values, arrays(table[table["chip"] == c]))
            spread = {
                p.name: float(np.std([np.log(max(own[c].values[p.name], 1e-3)) for c in names])) or 0.5 for p in family.parameters
            }
            for kin in ("hbm", "gddr"):
                if not any(memory_class(c) == kin for c in names) and kin == "gddr":
                    continue
                fitted = pooled(family, table, kin)
                kin_held = [held[c] for c in held if memory_class(c) == kin] or list(held.values())
                half = float(np.mean([h.spread for h in kin_held])) if kin_held else 0.5
                errors = ", ".join(f'"{c}" = {h.mape:.3f}' for c, h in held.items())
                prior_lines += [
                    f"\n[{kin}.{name.replace('.', '_')}]", f"spread = {half:.3f}", f"values = {show(dict(fitted.values))}",
                    f"between_chips = {show(spread)}", f"held_out = {{ {errors} }}",
                ]  # fmt: skip
            # each chip's own parameters, held lightly to the pool so that what its points cannot tell stays sane
            for c in names:
                anchor = Prior(pooled_values(family, table, memory_class(c)), {k: max(v, 0.3) for k, v in spread.items()})
                mine = fit_family(family, arrays(table[table["chip"] == c]), anchor)
                chips.setdefault(c, []).append(
                    f"\n[{name.replace('.', '_')}]\npoints = {len(full[full['chip'] == c])}\n"
                    f"mape = {mine.mape:.3f}\nspread = {mine.spread:.3f}\nvalues = {show(dict(mine.values))}"
                )
            told = " ".join(f"{c} {h.mape:.3f}/{own[c].mape:.3f}" for c, h in held.items())
            print(
                f"{name}: held out / own: {told}; mean {np.mean([h.mape for h in held.values()]) if held else float('nan'):.3f}",
                flush=True,
            )
    for c, lines in chips.items():
        legend = "points: measured; mape: mean error of a share on them; spread: 80 % of log errors."
        head = f'# Fitted parameters of {c}. {legend}\nsource = "{SOURCE}"\n'
        (OUT / f"{c}.toml").write_text(head + "".join(line + "\n" for line in lines))
    (OUT / "prior.toml").write_text("\n".join(prior_lines) + "\n")


_POOLS: dict[tuple[int, str], dict[str, float]] = {}


def pooled_values(family: Family, table: pd.DataFrame, kin: str) -> dict[str, float]:
    key = (id(table), kin)
    if key not in _POOLS:
        _POOLS[key] = dict(pooled(family, table, kin).values)
    return _POOLS[key]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
