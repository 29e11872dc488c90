"""The trade between throughput for each chip and speed for each user."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from windtunnel.plan.result import Candidate

if TYPE_CHECKING:
    from windtunnel.plan.services import Service

MOST_POINTS = 12
Point = TypeVar("Point")


def pareto(services: Iterable[Service]) -> list[Service]:
    """Services of which no other is better in both output tokens/s per chip and tokens/s per user; most yield first,
    thinned evenly to MOST_POINTS."""
    kept = _front(services, lambda s: (s.rate * s.option.targets.osl / s.chips, 1.0 / s.state.tpot_s))
    if len(kept) <= MOST_POINTS:
        return kept
    step = (len(kept) - 1) / (MOST_POINTS - 1)
    return [kept[round(i * step)] for i in range(MOST_POINTS)]


def predicted(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The front of services once they are predicted: prefill that is short of its decode lets it run faster than planned."""
    return tuple(_front(candidates, lambda c: (c.output_tokens_per_s_per_chip, 1.0 / c.prediction.tpot.value)))


def _front(points: Iterable[Point], axes: Callable[[Point], tuple[float, float]]) -> list[Point]:
    kept: list[Point] = []
    fastest = 0.0
    for point in sorted(points, key=axes, reverse=True):
        if axes(point)[1] > fastest:
            kept.append(point)
            fastest = axes(point)[1]
    return kept
