"""The trade between throughput for each chip and speed for each user."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel.plan.services import Service

MOST_POINTS = 12


def pareto(services: Iterable[Service]) -> list[Service]:
    """Services of which no other is better in both output tokens/s per chip and tokens/s per user; most yield first,
    thinned evenly to MOST_POINTS."""
    kept: list[Service] = []
    fastest = 0.0
    for service in sorted(services, key=lambda s: (-_yield(s), -_speed(s))):
        if _speed(service) > fastest:
            kept.append(service)
            fastest = _speed(service)
    if len(kept) <= MOST_POINTS:
        return kept
    step = (len(kept) - 1) / (MOST_POINTS - 1)
    return [kept[round(i * step)] for i in range(MOST_POINTS)]


def _yield(service: Service) -> float:
    return service.rate * service.option.targets.osl / service.chips


def _speed(service: Service) -> float:
    return 1.0 / service.state.tpot_s
