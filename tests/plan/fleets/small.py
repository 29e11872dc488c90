"""Fleets small enough to be solved by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from windtunnel.plan.fleets.problem import Inference, Part, Problem, Site, Stock, Training, TrainingWay, Way

HOURS = 2000.0


def stock(name: str = "a", **changes: Any) -> Stock:
    """100 chips a quarter at USD 10,000, one by one, free to run."""
    plain = Stock(name, "here", 1, (100.0,), (1.0,), (10_000.0,), (0.0,))
    return replace(plain, **changes)


def workload(name: str = "w", demand: tuple[float, ...] = (10.0,), **rates: float) -> Inference:
    """Served by single chips: rates a=1.0, b=2.0 are requests/s of a chip of stock 0 and 1."""
    ways = tuple(Way(each, (Part("ab".index(each), 1, rate),)) for each, rate in rates.items())
    return Inference(name, demand, ways or (Way("a", (Part(0, 1, 1.0),)),))


def run(tokens: float = HOURS * 3600.0 * 100.0, *ways: TrainingWay, first: int = 0, deadline: int = 0) -> Training:
    """By default as many tokens as 100 chips of stock 0 make in a quarter."""
    return Training("run", tokens, first, deadline, ways or (TrainingWay("a", 0, 1, 1.0),))


def problem(
    *stocks: Stock, inference: tuple[Inference, ...] = (), training: tuple[Training, ...] = (), **changes: Any
) -> Problem:
    """As many quarters as the stocks have supply for; nothing is discounted or credited."""
    quarters = len(stocks[0].supply)
    plain = Problem((HOURS,) * quarters, stocks, (Site("here"),), inference, training, (1.0,) * quarters, (0.0,) * quarters)
    return replace(plain, **changes)
