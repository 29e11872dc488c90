"""Matrix products on a chip that was never fitted: parameters of the other chips, this chip's datasheet."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = "aiconfigurator-core==0.12.0"


def tables(cache: Path) -> Path | None:
    """The operator tables, fetched once; None where they cannot be had."""
    root = cache / "tables" / "aiconfigurator_core" / "systems" / "data"
    if not root.is_dir():
        cache.mkdir(exist_ok=True)
        fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(cache), PACKAGE]
        got = subprocess.run(fetch, check=False, capture_output=True)
        wheels = sorted(cache.glob("aiconfigurator_core-*.whl"))
        if got.returncode or not wheels:
            return None
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(cache / "tables", [n for n in wheel.namelist() if "/systems/data/" in n and "/gemm/" in n])
    return root


def held_out(cache: Path) -> dict[str, float]:
    """Mean error (a share) for each number type, averaged over the chips left out in turn; empty without the tables."""
    root = tables(cache)
    if root is None:
        return {}
    import fit_operators
    import operator_tables

    from windtunnel.fit.families import GEMM
    from windtunnel.fit.operators import score

    out: dict[str, float] = {}
    for name, full in operator_tables.gemm(root):
        table = full.sample(frac=1, random_state=7).groupby("chip").head(fit_operators.SAMPLE)
        chips = sorted(table["chip"].unique())
        if len(chips) < 3:
            continue
        errors = []
        for chip in chips:
            others = fit_operators.pooled(GEMM, table[table["chip"] != chip], fit_operators.memory_class(chip))
            errors.append(score(GEMM, others.values, fit_operators.arrays(table[table["chip"] == chip])).mape)
        out[name.removeprefix("gemm.")] = sum(errors) / len(errors)
    return out
