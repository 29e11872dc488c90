"""From a fleet's numbers to a plan: the programme in shares, proven; then whole instances where a workload is on several."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from windtunnel.plan.fleets.milp.build import SECONDS, Built, build, instances
from windtunnel.plan.fleets.milp.programme import GAP, Solution
from windtunnel.plan.fleets.problem import Problem
from windtunnel.plan.fleets.result import Bought, Costs, Serving, Solved, Training, Used
from windtunnel.plan.fleets.spec import Scenario

WHOLE_TIME_LIMIT_S = 10.0
WHOLE_GAP = 1e-3
SLACK = 1e-6
SERVED_SLACK = 1e-3
"""Share of what is served that may be given up while the least cost of serving it is sought."""
TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Answer:
    """A programme with its solution; proof: of the programme in shares, whose gap counts."""

    built: Built
    solution: Solution
    proof: Solution
    seconds: float
    whole: bool


def best(problem: Problem, *, gap: float = GAP, whole: bool = True) -> Answer | None:
    """The best plan, None where there is none. Raises TimeoutError."""
    built = build(problem)
    found = built.programme.solve(gap=gap)
    if found is None:
        return None
    seconds, proof = found.seconds, found
    most: float | None = None
    if problem.goal == "served":
        total = sum(w.worth for w in problem.inference for wanted in w.demand if wanted > 0.0) + sum(
            r.worth for r in problem.training
        )
        most = found.objective + SERVED_SLACK * total
        built = build(problem, unserved_at_most=most)
        cheap = built.programme.solve(gap=gap)
        if cheap is None:
            return None
        seconds, found = seconds + cheap.seconds, cheap
        proof = cheap
    split = _split(problem, built, found)
    if not whole or not split:
        return Answer(built, found, proof, seconds, not split)
    return _whole(problem, built, found, proof, split, most, seconds)


def _split(problem: Problem, built: Built, found: Solution) -> frozenset[tuple[int, int]]:
    """Workloads and quarters in which a part of a workload is on one way, so that its instances may not be whole."""
    return frozenset((w, t) for (w, _, t), place in built.share.items() if TINY < found.values[place] < 1.0 - TINY)


def _whole(
    problem: Problem, built: Built, found: Solution, proof: Solution, split: frozenset[tuple[int, int]], most: float | None,
    seconds: float,
) -> Answer:  # fmt: skip
    """The same with whole instances: other workloads stay where they are, lots are chosen again."""
    anew = build(problem, unserved_at_most=most, whole=split)
    used = {(w, k) for (w, k, _), place in built.share.items() if found.values[place] > TINY}
    for freed in (False, True):
        for (w, k, t), place in anew.share.items():
            if freed:
                anew.programme.low[place], anew.programme.high[place] = 0.0, 1.0
            elif (w, t) in split:
                anew.programme.high[place] = 1.0 if (w, k) in used else 0.0
            else:
                anew.programme.low[place] = anew.programme.high[place] = _rounded(found, built.share[w, k, t])
        for key, place in anew.chosen.items():
            anew.programme.low[place] = anew.programme.high[place] = _rounded(found, built.chosen[key])
        try:
            again = anew.programme.solve(gap=WHOLE_GAP, time_limit_s=WHOLE_TIME_LIMIT_S)
        except TimeoutError:
            again = None
        if again is not None:
            return Answer(anew, again, proof, seconds + again.seconds, True)
    return Answer(built, found, proof, seconds, False)


def _rounded(found: Solution, place: int) -> float:
    return float(round(found.values[place]))


def solved(problem: Problem, answer: Answer, scenario: Scenario) -> Solved:
    """The plan that a solution says."""
    built, values = answer.built, answer.solution.values
    serving = _serving(problem, built, values)
    training = _training(problem, built, values)
    bought = tuple(
        Bought(stock.name, t, lots, lots * stock.lot, lots * stock.lot * stock.price_usd[t], stock.rented)
        for (s, t), place in sorted(built.added.items(), key=lambda item: (item[0][1], item[0][0]))
        if (lots := round(values[place])) > 0
        for stock in [problem.stocks[s]]
    )
    lost = {
        w.name: tuple(values[built.lost[i, t]] if (i, t) in built.lost else 0.0 for t in range(problem.quarters))
        for i, w in enumerate(problem.inference)
    }
    objective, proof = answer.solution.objective, answer.proof
    return Solved(
        scenario=scenario,
        bought=bought,
        used=_used(problem, built, values, serving, training),
        serving=serving,
        training=training,
        costs=_costs(problem, bought, serving, training, lost),
        credit=sum(b.usd * problem.credit[b.quarter] * problem.discount[b.quarter] for b in bought if not b.rented),
        objective=objective,
        bound=proof.bound,
        gap=proof.gap,
        proven=proof.proven,
        whole=answer.whole,
        whole_usd=max(objective - proof.objective, 0.0),
        seconds=answer.seconds,
        lost_share={name: shares for name, shares in lost.items() if any(x > TINY for x in shares)},
        undone_share={
            problem.training[i].name: values[place] for i, place in built.undone.items() if values[place] > TINY
        },
    )  # fmt: skip


def _serving(problem: Problem, built: Built, values: tuple[float, ...]) -> tuple[Serving, ...]:
    found = []
    for (w, k, t), place in sorted(built.share.items(), key=lambda item: (item[0][0], item[0][2], item[0][1])):
        share, workload = values[place], problem.inference[w]
        if share <= TINY:
            continue
        way = workload.ways[k]
        counts = tuple(
            values[built.instances[w, k, i, t]]
            if (w, k, i, t) in built.instances
            else share * instances(workload.demand[t], part)
            for i, part in enumerate(way.parts)
        )
        chips = tuple(
            (problem.stocks[part.stock].name, count * part.chips) for count, part in zip(counts, way.parts, strict=True)
        )
        rate = min(share, 1.0) * workload.demand[t]
        found.append(Serving(workload.name, t, way.label, way.deployed, rate, counts, chips))
    return tuple(found)


def _training(problem: Problem, built: Built, values: tuple[float, ...]) -> tuple[Training, ...]:
    found = []
    for (w, k, t), place in sorted(built.units.items(), key=lambda item: (item[0][0], item[0][2])):
        if values[place] > TINY:
            run = problem.training[w]
            way = run.ways[k]
            tokens = values[place] * way.tokens_per_s * problem.hours[t] * SECONDS
            name = problem.stocks[way.stock].name
            found.append(Training(run.name, t, name, way.deployed, values[place] * way.chips, tokens))
    return tuple(found)


def _used(
    problem: Problem, built: Built, values: tuple[float, ...], serving: tuple[Serving, ...], training: tuple[Training, ...]
) -> tuple[Used, ...]:
    taken: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for each in serving:
        for chip, count in each.chips:
            by = taken[chip, each.quarter]
            by[each.workload] = by.get(each.workload, 0.0) + count
    for run in training:
        taken[run.chip, run.quarter][run.workload] = run.chips
    return tuple(
        Used(stock.name, t, stock.owned + round(values[built.total[s, t]]) * stock.lot, taken.get((stock.name, t), {}))
        for s, stock in enumerate(problem.stocks)
        for t in range(problem.quarters)
    )


def _costs(
    problem: Problem, bought: tuple[Bought, ...], serving: tuple[Serving, ...], training: tuple[Training, ...],
    lost: dict[str, tuple[float, ...]],
) -> tuple[Costs, ...]:  # fmt: skip
    stocks = {stock.name: stock for stock in problem.stocks}
    found = []
    for t in range(problem.quarters):
        drawn = [pair for each in serving if each.quarter == t for pair in each.chips]
        drawn += [(run.chip, run.chips) for run in training if run.quarter == t]
        seconds = problem.hours[t] * SECONDS
        found.append(
            Costs(
                purchases=sum(b.usd for b in bought if b.quarter == t and not b.rented),
                rent=sum(b.usd for b in bought if b.quarter == t and b.rented),
                energy=sum(stocks[chip].energy_usd[t] * count for chip, count in drawn),
                lost=sum(lost[w.name][t] * w.demand[t] * seconds * (w.penalty_usd or 0.0) for w in problem.inference),
            )
        )
    return tuple(found)
