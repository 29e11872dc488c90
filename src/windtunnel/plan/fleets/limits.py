"""The limits of a fleet in words, with their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from windtunnel.plan.fleets.assemble import Assembly
from windtunnel.plan.fleets.problem import Limit, LimitKind, Problem
from windtunnel.plan.fleets.quarter import Quarter
from windtunnel.plan.fleets.spec import FleetSpec, Series
from windtunnel.plan.fleets.words import money
from windtunnel.units import MEGA

Group = tuple[LimitKind, str]


def span(periods: Sequence[Quarter], quarters: Sequence[int]) -> str:
    """``2025-Q1 to 2025-Q3``, ``2025-Q1 and 2025-Q4``: quarters that follow each other are one span."""
    parts: list[list[int]] = []
    for quarter in quarters:
        if parts and quarter == parts[-1][-1] + 1:
            parts[-1].append(quarter)
        else:
            parts.append([quarter])
    named = [str(periods[p[0]]) if len(p) == 1 else f"{periods[p[0]]} to {periods[p[-1]]}" for p in parts]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _values(values: Sequence[float]) -> str:
    """``400``, ``64, 128 and 256``."""
    distinct = list(values) if len(set(values)) > 1 else list(values[:1])
    said = [f"{value:,.6g}" for value in distinct]
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def said_limits(assembly: Assembly, problem: Problem, groups: Mapping[Group, tuple[int, ...]]) -> Iterator[str]:
    """Each limit of a conflict as one sentence."""
    spec = assembly.spec
    for (kind, of), quarters in groups.items():
        when = span(spec.periods, quarters) if quarters[0] >= 0 else ""
        yield _said(assembly, problem, kind, of, quarters, f" in {when}" if when else "", spec)


def _said(
    assembly: Assembly, problem: Problem, kind: LimitKind, of: str, quarters: tuple[int, ...], when: str, spec: FleetSpec
) -> str:  # fmt: skip
    def at(series: Series | None, scale: float = 1.0) -> str:
        return _values([(series or ())[t] / scale for t in quarters])

    if kind == "demand":
        workload = next(w for w in problem.inference if w.name == of)
        lacks = "" if workload.ways else ": no chip of the file serves it within its targets"
        return f"{of}: {at(workload.demand)} requests/s{when}{lacks}"
    if kind == "deadline":
        run = next(w for w in problem.training if w.name == of)
        lacks = "" if run.ways else ": no chip of the file can do it in time"
        return f"{of}: {run.tokens:.4g} tokens by the end of {spec.periods[run.deadline]}{lacks}"
    if kind == "supply":
        stock = next(s for s in problem.stocks if s.name == of)
        return f"{of}: at most {_values([problem.lots(stock, t) * stock.lot for t in quarters])} can be had{when}"
    if kind == "rules":
        terms = next(terms for terms in assembly.terms if terms.spec.name == of)
        return f"{of}: none may be had{when}: {terms.permissions[quarters[0]].why}"
    if kind == "power":
        return f"{of}: {at(next(s for s in problem.sites if s.name == of).power_w, MEGA)} MW{when}"
    if kind == "space":
        return f"{of}: {at(next(s for s in problem.sites if s.name == of).space)} {spec.space_unit}{when}"
    if kind == "capex":
        return f"budget: {money(problem.capex or 0.0, spec)} for purchases in all"
    series = problem.capex_quarter if kind == "capex-quarter" else problem.opex_quarter
    what = "purchases" if kind == "capex-quarter" else "rent and energy"
    return f"budget: {_values([(series or ())[t] / spec.rate for t in quarters])} {spec.currency} for {what}{when}, each"


def said_cure(assembly: Assembly, group: Group, amount: float) -> str:
    """What would do in place of a limit."""
    kind, of = group
    spec = assembly.spec
    if kind == "demand":
        return f"{of}: {100 * amount:.3g} % less of its traffic"
    if kind == "deadline":
        return f"{of}: {100 * amount:.3g} % fewer tokens"
    if kind == "supply":
        return f"{of}: {amount:,.0f} more of them in every quarter"
    if kind == "rules":
        return f"{of}: {amount:,.0f} of them in every quarter in which they are kept away, were they allowed"
    if kind == "power":
        return f"{of}: {amount / MEGA:.3g} MW more in every quarter"
    if kind == "space":
        return f"{of}: {amount:,.4g} {spec.space_unit} more in every quarter"
    per = "" if kind == "capex" else " in every quarter"
    return f"budget: {money(amount, spec)} more{per}"


def shadow_words(assembly: Assembly, problem: Problem) -> dict[Limit, str]:
    """What one more of each limit is called, for the table of what binds."""
    spec, periods = assembly.spec, assembly.spec.periods
    found: dict[Limit, str] = {}
    for stock in problem.stocks:
        for t in range(problem.quarters):
            barred = not stock.allowed[t]
            found[Limit("rules" if barred else "supply", stock.name, t)] = f"{stock.name} in {periods[t]}" + (
                ", which rules keep away" if barred else ""
            )
    for site in problem.sites:
        found[Limit("power", site.name)] = f"power at {site.name}, in every quarter"
        found[Limit("space", site.name)] = f"{spec.space_unit} at {site.name}, in every quarter"
    found[Limit("capex", "budget")] = "budget for purchases, in all"
    found[Limit("capex-quarter", "budget")] = "budget for purchases, in every quarter"
    found[Limit("opex-quarter", "budget")] = "budget for rent and energy, in every quarter"
    return found


def shadow_units(spec: FleetSpec) -> dict[LimitKind, str]:
    """What each kind of limit is counted in; money in USD, whatever the file's currency."""
    unit = "rack" if spec.space_unit == "racks" else "m2"
    return {
        "supply": "chip", "rules": "chip", "power": "MW", "space": unit, "capex": "USD", "capex-quarter": "USD",
        "opex-quarter": "USD", "demand": "request/s", "deadline": "run",
    }  # fmt: skip
