"""A fleet as text: what to buy by quarter, what runs where, what it costs, what binds; or which limits conflict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from windtunnel.catalog import price_book
from windtunnel.cli.render import Sheet, count, number, percent
from windtunnel.plan.fleets.assemble import Assembly
from windtunnel.plan.fleets.result import Bought, Conflict, FleetPlan, Serving, Shadow, Solved, Training
from windtunnel.plan.fleets.spec import FleetSpec
from windtunnel.plan.fleets.words import money, whole_chips

MOST_REFUSED = 40


def fleet_sheet(plan: FleetPlan, *, width: int = 0, terminal: bool | None = None) -> Sheet:
    sheet = Sheet(width=width, terminal=terminal)
    spec = plan.spec
    what = f"{count(len(spec.chips), 'chip')}, {count(len(spec.inference) + len(spec.training), 'workload')}"
    sheet.line(f"{spec.name}: {count(spec.quarters, 'quarter')} from {spec.start}, {what}", style="bold")
    if plan.conflict is not None:
        _conflict(sheet, plan.conflict)
    if plan.solved is not None:
        _solved(sheet, plan, plan.solved)
    _why_not(sheet, plan)
    sheet.line()
    sheet.line("What this rests on", style="bold")
    for note in notes(spec, plan.assembly):
        sheet.bullet(note)
    return sheet


def _solved(sheet: Sheet, plan: FleetPlan, solved: Solved) -> None:
    spec = plan.spec
    for line in verdict(plan, solved):
        sheet.line(line)
    periods = spec.periods
    sheet.table(
        "What to buy",
        ["quarter", "chip", "lots", "chips", spec.currency],
        (
            [str(periods[b.quarter]), _named(b), f"{b.lots:,}", f"{b.chips:,}", money(b.usd, spec, sign=False)]
            for b in solved.bought
        ),
        left=2,
    )
    sheet.table(
        "What runs where",
        ["workload", "quarters", "on", "requests/s", "chips"],
        _serving(plan, solved.serving),
        left=3,
    )
    sheet.table(
        "What is trained where",
        ["workload", "quarters", "on", "tokens", "chips"],
        _training(plan, solved.training),
        left=3,
    )
    sheet.table(
        "How they run",
        ["workload", "on", "each instance"],
        dict.fromkeys((each.workload, each.way, each.deployed) for each in solved.serving)
        | dict.fromkeys((run.workload, run.chip, run.deployed) for run in solved.training),
        left=3,
    )
    sheet.table(
        f"Cost by part, {spec.currency}",
        ["quarter", "purchases", "rent", "energy", "not served", "in all"],
        _costs(plan, solved),
    )
    sheet.table(
        "Chips there and in use",
        ["chip", *(str(period) for period in periods)] if len(periods) <= 8 else ["chip", "first", "last"],
        _stock(plan, solved),
    )
    sheet.table(
        "What binds" if spec.goal == "cost" else "What binds, in demands of a workload in a quarter that it would serve",
        ["one more of", *(f"{'saves' if spec.goal == 'cost' else 'serves'}, {how}" for how in ("solved again", "by the dual"))],
        ([shadow.what, _again(plan, shadow), _dual(plan, shadow)] for shadow in plan.shadows),
        fold=["one more of"],
    )
    if plan.others:
        sheet.table(
            "If supply is as other sources say",
            ["sources", f"least cost, {spec.currency}"],
            (
                [name, money(cost, spec, sign=False) if cost is not None else "not all can be had"]
                for name, cost in plan.others.items()
            ),
        )


def _named(bought: Bought) -> str:
    return bought.chip + (", rented" if bought.rented else "")


def verdict(plan: FleetPlan, solved: Solved) -> Iterator[str]:
    """What it costs, and how sure that is."""
    spec = plan.spec
    paid = f"{money(solved.paid, spec)} paid"
    if solved.credit:
        paid += f", {money(solved.credit, spec)} credited at the end"
    if spec.discount:
        paid += f"; {money(solved.objective, spec)} net, discounted to the start"
    yield f"{paid}."
    took = f"{solved.seconds:.1f} s of CPU"
    if solved.proven:
        yield f"Proven optimal in {took}, within {percent(solved.gap, 3)}, of all plans in shares of whole instances."
    else:
        yield f"Not proven optimal: after {took} a plan that is better by {percent(solved.gap, 2)} may be there."
    if solved.whole_usd > 0.0:
        yield (
            f"Whole instances on every kind of chip, and whole replicas of runs, add {money(solved.whole_usd, spec)} "
            f"({percent(solved.whole_usd / abs(solved.objective), 2)})."
        )
    if not solved.whole:
        yield (
            "Where a workload is on several kinds of chips, its instances are counted in parts: "
            "no plan with whole ones was found within these limits."
        )
    for name, shares in solved.lost_share.items():
        yield f"{name}: {percent(max(shares), 1)} of its requests are not served in the worst quarter."
    for name, share in solved.undone_share.items():
        yield f"{name}: {percent(share, 1)} of its tokens are not trained."


def _spans(plan: FleetPlan, quarters: Sequence[int]) -> str:
    periods = plan.spec.periods
    parts = []
    for _, run in groupby(enumerate(quarters), key=lambda pair: pair[1] - pair[0]):
        each = [quarter for _, quarter in run]
        parts.append(str(periods[each[0]]) if len(each) == 1 else f"{periods[each[0]]} to {periods[each[-1]]}")
    return ", ".join(parts)


def _from_to(values: Sequence[float]) -> str:
    first, last = values[0], values[-1]
    if math.isclose(first, last, rel_tol=1e-4):
        return number(float(round(first)) if math.isclose(first, round(first), rel_tol=1e-4) else first)
    return number(first) if number(first) == number(last) else f"{number(first)} to {number(last)}"


def _serving(plan: FleetPlan, serving: Sequence[Serving]) -> Iterator[list[str]]:
    """One row for each workload and way; what changes over its quarters from the first to the last."""
    ways = dict.fromkeys((each.workload, each.way) for each in serving)
    for workload, way in ways:
        mine = [each for each in serving if (each.workload, each.way) == (workload, way)]
        quarters = sorted({each.quarter for each in mine})
        of = [[each for each in mine if each.quarter == quarter] for quarter in quarters]
        parts = range(len(mine[0].chips))
        chips = [[whole_chips(sum(each.chips[i][1] for each in rows)) for i in parts] for rows in of]
        per_part = [_from_to([float(each[i]) for each in chips]) for i in parts]
        yield [
            workload, _spans(plan, quarters), way,
            _from_to([sum(each.requests_per_s for each in rows) for rows in of]), " + ".join(per_part),
        ]  # fmt: skip


def _training(plan: FleetPlan, training: Sequence[Training]) -> Iterator[list[str]]:
    for workload in dict.fromkeys(each.workload for each in training):
        rows = [each for each in training if each.workload == workload]
        yield [
            workload, _spans(plan, [each.quarter for each in rows]), rows[0].chip,
            f"{sum(each.tokens for each in rows):.3g}", _from_to([float(whole_chips(each.chips)) for each in rows]),
        ]  # fmt: skip


def _costs(plan: FleetPlan, solved: Solved) -> Iterator[list[str]]:
    spec = plan.spec

    def row(name: str, parts: Sequence[float]) -> list[str]:
        return [name, *(money(part, spec, sign=False) for part in (*parts, sum(parts)))]

    for period, costs in zip(spec.periods, solved.costs, strict=True):
        yield row(str(period), (costs.purchases, costs.rent, costs.energy, costs.lost))
    whole = [sum(getattr(costs, part) for costs in solved.costs) for part in ("purchases", "rent", "energy", "lost")]
    yield row("in all", whole)


def _stock(plan: FleetPlan, solved: Solved) -> Iterator[list[str]]:
    for chip in dict.fromkeys(each.chip for each in solved.used):
        rows = [each for each in solved.used if each.chip == chip]
        if any(each.there for each in rows):
            shown = rows if len(rows) <= 8 else [rows[0], rows[-1]]
            yield [chip, *(f"{whole_chips(each.in_use):,}/{each.there:,}" for each in shown)]


def _again(plan: FleetPlan, shadow: Shadow) -> str:
    if shadow.saved is None:
        return "-"
    many = "s" if shadow.unit in ("chip", "rack") and shadow.step != 1.0 else ""
    step = f"{shadow.step:,.6g} {shadow.unit}{many}"
    if plan.spec.goal == "served":
        return f"{shadow.saved:.4f} for {step}"
    if shadow.saved_high <= 0.0 or shadow.saved <= 0.0:
        return "nothing"
    if shadow.saved_low <= 0.0:
        return f"up to {money(shadow.saved_high, plan.spec)} for {step}"
    return f"{money(shadow.saved, plan.spec)} for {step}"


def _dual(plan: FleetPlan, shadow: Shadow) -> str:
    return (
        f"{shadow.per_unit:.3g} a {shadow.unit}"
        if plan.spec.goal == "served"
        else f"{money(shadow.per_unit, plan.spec)} a {shadow.unit}"
    )


def _conflict(sheet: Sheet, conflict: Conflict) -> None:
    sheet.line()
    sheet.line("Not all can be had. These conflict; without any one of them the rest could be met", style="bold")
    for told in conflict.told:
        sheet.bullet(told)
    if conflict.cures:
        sheet.line()
        sheet.line("What would do, each alone", style="bold")
        for cure in conflict.cures:
            sheet.bullet(cure)


def _why_not(sheet: Sheet, plan: FleetPlan) -> None:
    lines = [f"{chip}: {why}" for chip, why in plan.assembly.dropped.items()]
    lines += barred(plan)
    refused = [f"{name} on {on}: {why}" for name, found in plan.assembly.found.items() for on, why in found.refused.items()]
    lines += refused[:MOST_REFUSED]
    if len(refused) > MOST_REFUSED:
        lines.append(f"and {len(refused) - MOST_REFUSED} more; --json has them all")
    if lines:
        sheet.line()
        sheet.line("Why not", style="bold")
        for line in lines:
            sheet.bullet(line)


def barred(plan: FleetPlan) -> list[str]:
    """What rules keep away, chip by chip."""
    lines = []
    for terms in plan.assembly.terms:
        for (share, why), group in groupby(enumerate(terms.permissions), key=lambda pair: (pair[1].share, pair[1].why)):
            quarters = [quarter for quarter, _ in group]
            if not any(terms.supply[quarter].high for quarter in quarters):
                continue  # none are to be had anyway
            if share < 1.0:
                part = "not to be had" if share == 0.0 else f"to be had on {percent(share)} of the days"
                lines.append(f"{terms.spec.name} in {_spans(plan, quarters)}: {part}: {why}")
            elif why:
                lines.append(f"{terms.spec.name} in {_spans(plan, quarters)}: may be had: {why}")
    return lines


def notes(spec: FleetSpec, assembly: Assembly) -> list[str]:
    """What is assumed, a line each."""
    lines = [
        *assembly.assumed,
        "instances of each workload are its own; they are found for its busiest quarter (and its quietest) and simulated there",
        "workloads may move between chips from one quarter to the next at no cost; chips that stand idle draw nothing",
        "what is not bought of a quarter's supply is gone; what is bought is there from the quarter's first day and stays",
        f"energy: {percent(price_book(spec.prices).terms.load)} of the power limit while in use",
        "limits of power hold at the meter, PUE included",
    ]
    if spec.training:
        lines.append("a run holds whole replicas for whole quarters; its rate is that of as many as it was found for")
    if any(len({part.on for part in way.parts}) > 1 for found in assembly.found.values() for way in found.ways):
        lines.append(
            "caches between two kinds of chips move at the rate of the slower network, in the wider number type; that engines of "
            "two makers hand them over is assumed"
        )
    if spec.currency != "USD":
        lines.append(f"one {spec.currency} is {spec.rate:g} USD")
    return lines
