"""Fits a family's parameters to measured operators, drawn towards what is known of other chips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from windtunnel.fit.families import Family, Points

NOISE = 0.1
"""Log-error below which a point counts as well described; beyond it the loss grows linearly, not squared."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Where parameters lie on other chips: the value to be drawn to, and how far chips stray from it (log units)."""

    values: Mapping[str, float]
    spread: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FittedFamily:
    """Parameters and how well they describe the points they were fitted on.

    mape: mean absolute percentage error as a share; bias: median of log(predicted / measured); spread: the
    80th percentile of |log error|, the half-width of an interval that holds four points in five.
    """

    values: Mapping[str, float]
    points: int
    mape: float
    bias: float
    spread: float


def _errors(family: Family, values: Mapping[str, float], points: Points) -> Any:
    return np.log(family.time(np, values, points)) - np.log(points["time"])


def score(family: Family, values: Mapping[str, float], points: Points) -> FittedFamily:
    """How ``values`` describe ``points``, none of which need have been fitted on."""
    errors = _errors(family, values, points)
    share = np.abs(np.expm1(errors))
    return FittedFamily(
        values, len(errors), float(share.mean()), float(np.median(errors)), float(np.quantile(np.abs(errors), 0.8))
    )


def fit_family(family: Family, points: Points, prior: Prior | None = None, weights: Any = None) -> FittedFamily:
    """The parameters that describe ``points`` best; with few points they stay near the prior.

    Least squares of log errors with a soft L1 loss; a parameter's distance to the prior counts as one more
    error, in units of the spread between chips.
    """
    low = np.array([p.low for p in family.parameters])
    high = np.array([p.high for p in family.parameters])
    start = np.array([prior.values[p.name] if prior else p.start for p in family.parameters])
    start = np.clip(start, low + 1e-6 * (high - low), high - 1e-6 * (high - low))
    scale = (
        np.array(
            [max(prior.spread[p.name], 0.02) * max(abs(prior.values[p.name]), 0.02 * (p.high - p.low)) for p in family.parameters]
        )
        if prior
        else None
    )

    def residuals(vector: Any) -> Any:
        values = dict(zip((p.name for p in family.parameters), vector, strict=True))
        data = _errors(family, values, points)
        data = np.sqrt(2.0 * (np.sqrt(1.0 + (data / NOISE) ** 2) - 1.0)) * np.sign(data)
        if weights is not None:
            data = data * weights
        return data if scale is None else np.concatenate([data, (vector - start) / scale])

    found = least_squares(residuals, start, bounds=(low, high), x_scale=np.maximum(np.abs(start), 0.05 * (high - low)))
    values = {p.name: float(v) for p, v in zip(family.parameters, found.x, strict=True)}
    return score(family, values, points)
