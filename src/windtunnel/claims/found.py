"""What the catalogue and the models say of one part of a claim, and which facts were used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from windtunnel.cost.evidence import Estimate, Evidence


@dataclass(frozen=True, slots=True)
class Used:
    """One fact that a check looked up. ref: where it stands (``chip h20: memory_bytes``, ``market M027``); value: as text."""

    ref: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Found:
    """A number with its range, or a name, or the reason why there is neither.

    how: the arithmetic in one line. low..high: over sources that disagree, over the bins or models that are meant, or a
    prediction's interval (``evidence`` is set then).
    """

    value: float = 0.0
    low: float = 0.0
    high: float = 0.0
    unit: str = ""
    text: str = ""
    how: str = ""
    unknown: str = ""
    evidence: Evidence | None = None


def percent(share: float, places: int = 0) -> str:
    """``33.6 %``: a share of one."""
    return f"{100.0 * share:.{places}f} %"


def number(value: float, unit: str, how: str, low: float | None = None, high: float | None = None) -> Found:
    """A number; low and high where it is a range."""
    return Found(value, value if low is None else low, value if high is None else high, unit, how=how)


def over(values: Iterable[float], unit: str, how: str) -> Found:
    """Several values of one thing, from sources or variants that differ: the middle one, from the least to the most."""
    every = sorted(values)
    return Found(every[len(every) // 2], every[0], every[-1], unit, how=how) if every else unknown("no other source gives it")


def name(text: str, how: str = "") -> Found:
    """A name."""
    return Found(text=text, how=how)


def unknown(reason: str) -> Found:
    """Nothing: which fact is missing, or why the tool has none."""
    return Found(unknown=reason)


def predicted(estimates: Sequence[Estimate], unit: str, how: str) -> Found:
    """Predictions for several models: their geometric mean, from the lowest end of an interval to the highest, the weakest
    evidence."""
    mean = 1.0
    for estimate in estimates:
        mean *= estimate.value ** (1.0 / len(estimates))
    low, high = min(e.low for e in estimates), max(e.high for e in estimates)
    return Found(mean, low, high, unit, how=how, evidence=Evidence(min(e.evidence for e in estimates)))
