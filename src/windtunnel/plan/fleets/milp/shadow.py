"""What a little more of each limit is worth: by the duals of the programme with parts of lots, and by solving it again.

The duals hold while the choice of chips for each training run stays and lots may be cut; they rank the limits. Those that are
worth most are then eased by one step, and the whole programme is solved again.
"""

from __future__ import annotations

import math
from dataclasses import replace

from windtunnel.plan.fleets.milp.build import build
from windtunnel.plan.fleets.milp.programme import Solution
from windtunnel.plan.fleets.milp.solve import Answer
from windtunnel.plan.fleets.problem import Limit, LimitKind, Problem, Stock
from windtunnel.plan.fleets.result import Shadow
from windtunnel.units import MEGA

MOST = 12
"""Limits that are told, those that are worth most."""
AGAIN = 4
"""Of these, how many are solved again."""
SLOW_S = 20.0
"""CPU that solving again may take in all, by what the first time took."""
STEP_SHARE = 0.01
"""Of a budget, as one step."""
_PER: dict[LimitKind, float] = {"power": MEGA}
_ALL_QUARTERS: tuple[LimitKind, ...] = ("power", "space", "demand", "opex-quarter", "capex-quarter")


def shadows(problem: Problem, answer: Answer, words: dict[Limit, str], units: dict[LimitKind, str]) -> tuple[Shadow, ...]:
    """Limits by what one step more of them is worth, most first. words: what each is called; units: of each kind."""
    base = build(problem)
    fixed = {place: float(round(answer.first.values[base.chosen[key]])) for key, place in base.chosen.items()}
    duals = base.programme.prices(fixed)
    if duals is None:
        return ()
    worth: dict[Limit, float] = {}
    for limit, dual in duals.items():
        named = Limit(limit.kind, limit.of) if limit.kind in _ALL_QUARTERS else limit
        if named in words:
            # what is demanded costs, what is allowed saves
            worth[named] = worth.get(named, 0.0) + (dual if limit.kind in ("demand", "deadline") else -dual)
    steps = {limit: _step(problem, limit) for limit in worth}
    ranked = sorted((limit for limit in worth if _worth(worth, steps, limit) > _least(problem, answer)),
                    key=lambda limit: -_worth(worth, steps, limit))[:MOST]  # fmt: skip
    again = min(AGAIN, math.floor(SLOW_S / max(answer.first.seconds, 0.1)))
    told = []
    for place, limit in enumerate(ranked):
        per_unit = worth[limit] * _PER.get(limit.kind, 1.0)
        shadow = Shadow(limit, words[limit], units[limit.kind], per_unit, steps[limit] / _PER.get(limit.kind, 1.0))
        told.append(_again(problem, answer.first, shadow, steps[limit]) if place < again else shadow)
    return tuple(told)


def _worth(worth: dict[Limit, float], steps: dict[Limit, float], limit: Limit) -> float:
    return worth[limit] * steps[limit]


def _least(problem: Problem, answer: Answer) -> float:
    """What counts as worth nothing."""
    return 1e-6 if problem.goal == "served" else max(1e-7 * abs(answer.proof.objective), 0.5)


def _step(problem: Problem, limit: Limit) -> float:
    """One step of a limit: a lot, a MW, a unit of space, a request/s, a hundredth of a budget or of a run's tokens."""
    if limit.kind in ("supply", "rules"):
        return float(next(stock.lot for stock in problem.stocks if stock.name == limit.of))
    if limit.kind == "power":
        return MEGA
    if limit.kind == "capex":
        return STEP_SHARE * (problem.capex or 0.0)
    if limit.kind == "deadline":
        return STEP_SHARE
    if limit.kind in ("capex-quarter", "opex-quarter"):
        series = problem.capex_quarter if limit.kind == "capex-quarter" else problem.opex_quarter
        return STEP_SHARE * max(series or (0.0,))
    return 1.0


def _again(problem: Problem, before: Solution, shadow: Shadow, step: float) -> Shadow:
    """With what solving it again says."""
    eased = build(_eased(problem, shadow.limit, step)).programme
    try:
        found = eased.solve()
    except TimeoutError:
        return shadow
    if found is None:
        return shadow
    return replace(
        shadow,
        saved=before.objective - found.objective,
        saved_low=before.bound - found.objective,
        saved_high=before.objective - found.bound,
    )


def _eased(problem: Problem, limit: Limit, step: float) -> Problem:
    """The same fleet with one step more of a limit, or one step less that is demanded."""

    def more(series: tuple[float, ...] | None) -> tuple[float, ...] | None:
        return tuple(value + step for value in series) if series is not None else None

    if limit.kind in ("supply", "rules"):
        stocks = tuple(_one_lot_more(problem, s, limit.quarter) if s.name == limit.of else s for s in problem.stocks)
        return replace(problem, stocks=stocks)
    if limit.kind in ("power", "space"):
        named = next(site for site in problem.sites if site.name == limit.of)
        eased = replace(named, power_w=more(named.power_w)) if limit.kind == "power" else replace(named, space=more(named.space))
        return replace(problem, sites=tuple(eased if site is named else site for site in problem.sites))
    if limit.kind == "demand":
        return replace(problem, inference=tuple(
            replace(w, demand=tuple(max(x - step, 0.0) for x in w.demand)) if w.name == limit.of else w for w in problem.inference
        ))  # fmt: skip
    if limit.kind == "deadline":
        return replace(problem, training=tuple(
            replace(w, tokens=w.tokens * (1.0 - step)) if w.name == limit.of else w for w in problem.training
        ))  # fmt: skip
    if limit.kind == "capex":
        return replace(problem, capex=(problem.capex or 0.0) + step)
    if limit.kind == "capex-quarter":
        return replace(problem, capex_quarter=more(problem.capex_quarter))
    return replace(problem, opex_quarter=more(problem.opex_quarter))


def _one_lot_more(problem: Problem, stock: Stock, quarter: int) -> Stock:
    lots = problem.lots(stock, quarter) + 1.0
    supply = tuple(lots * stock.lot if t == quarter else x for t, x in enumerate(stock.supply))
    allowed = tuple(1.0 if t == quarter else x for t, x in enumerate(stock.allowed))
    return replace(stock, supply=supply, allowed=allowed)
