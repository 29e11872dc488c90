"""Times of whole PyTorch programs with families of models, and then chips, left out of the fit."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import fit_programs
import numpy as np


def held_out(path: Path) -> dict[str, float]:
    """Median errors of samples/s (shares): eager, compiled, and each chip from the other's fit; empty without PyTorch and timm.

    Programs are recorded the first time, which takes some ten minutes, and kept in .cache/programs.
    """
    if any(importlib.util.find_spec(name) is None for name in ("torch", "timm")):
        return {}
    table = fit_programs.load(path)
    chips = sorted({row.chip.id for row in table.rows})
    told = fit_programs.families_held_out(table, chips)
    fit_programs.report(table, told, "programs, model families held out")
    shares = np.abs(np.expm1(-told))
    compiled = np.array([row.compiled for row in table.rows])
    found = {"eager": float(np.median(shares[~compiled])), "compiled": float(np.median(shares[compiled]))}
    for name in chips:
        found[name] = float(np.median(np.abs(np.expm1(-fit_programs.chip_held_out(table, name, chips)))))
    return found
