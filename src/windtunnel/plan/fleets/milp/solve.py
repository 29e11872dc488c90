"""From a fleet's numbers to a plan: the programme in shares, proven; then whole instances where a workload is on several."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from windtunnel.plan.fleets.milp.build import SECONDS, Built, build, instances
from windtunnel.plan.fleets.milp.programme import GAP, Solution
from windtunnel.plan.fleets.milp.whole import TINY, is_whole, made_whole
from windtunnel.plan.fleets.problem import Problem
from windtunnel.plan.fleets.result import Bought, Costs, Serving, Solved, Training, Used
from windtunnel.plan.fleets.spec import Scenario

MUCH = 1e-2
"""Share of the cost that whole instances may add before workloads are moved to other ways for them."""
WHOLE_SLACK = 0.01
"""Share of what is served that whole instances may give up, where that is the goal."""
SERVED_SLACK = 1e-6
"""Share of what is served that may be given up while the least cost of serving it is sought."""
UNSERVED = 1e-5
"""Share of a demand below which it counts as served."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A programme with its solution. proof: of the programme in shares, whose gap counts; first: of the goal itself, which is
    another where the most is served and then the least cost of that."""

    built: Built
    solution: Solution
    proof: Solution
    first: Solution
    seconds: float
    whole: bool


def best(problem: Problem, *, gap: float = GAP, whole: bool = True) -> Answer | None:
    """The best plan, None where there is none. Raises TimeoutError."""
    built = build(problem)
    found = built.programme.solve(gap=gap)
    if found is None:
        return None
    seconds, proof, goal = found.seconds, found, found
    most: float | None = None
    total = 0.0
    if problem.goal == "served":
        total = sum(w.worth for w in problem.inference for wanted in w.demand if wanted > 0.0) + sum(
            r.worth for r in problem.training
        )
        most = found.objective + SERVED_SLACK * total
        built = build(problem, unserved_at_most=most)
        cheap = built.programme.solve(gap=gap)
        if cheap is None:
            return None
        seconds += cheap.seconds
        found, proof = cheap, replace(cheap, seconds=seconds, proven=cheap.proven and goal.proven)
    first = Answer(built, found, proof, goal, seconds, is_whole(built, found))
    if first.whole or not whole:
        return first
    answer = _whole(problem, first, most)
    if not answer.whole and most is not None:
        answer = _whole(problem, replace(first, seconds=answer.seconds), most + WHOLE_SLACK * total)
    return answer


def _whole(problem: Problem, first: Answer, most: float | None) -> Answer:
    """The same in whole instances: on the ways that are used; where that costs much, or cannot be, on any."""
    kept, seconds = first, first.seconds
    for any_way, as_bought in ((False, False), (True, True), (True, False)):
        found = made_whole(problem, first.built, first.solution, most, any_way=any_way, as_bought=as_bought)
        if found is not None:
            built, solution, spent = found
            seconds += spent
            if not kept.whole or solution.objective < kept.solution.objective:
                kept = Answer(built, solution, first.proof, first.first, seconds, True)
        if kept.whole and kept.solution.objective - first.solution.objective <= MUCH * abs(first.solution.objective):
            break
    return replace(kept, seconds=seconds)


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
        seconds=proof.seconds,
        lost_share={name: shares for name, shares in lost.items() if any(x > UNSERVED for x in shares)},
        undone_share={
            problem.training[i].name: values[place] for i, place in built.undone.items() if values[place] > UNSERVED
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
    left = [run.tokens for run in problem.training]
    for (w, k, t), place in sorted(built.units.items(), key=lambda item: (item[0][0], item[0][2])):
        if values[place] > TINY:
            run = problem.training[w]
            way = run.ways[k]
            # the last replicas of a run may be held for longer than they have to do
            tokens = min(values[place] * way.tokens_per_s * problem.hours[t] * SECONDS, left[w])
            left[w] -= tokens
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
