"""How long a fleet takes to be proven optimal: 12 chips, 20 workloads, 8 quarters, under supply, rules, budget, power and space.

Chips have the prices, powers and lots of real ones. What a workload takes of each follows from the chips' compute (prefill) and
memory bandwidth (decode), with a spread by chance for engines and shapes; four in five may run on each chip, and the three pairs
of chips that save most serve it with prefill and decode apart. Power, space and budget are set below what the cheapest plan
without them would take, so that they bind.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass, replace

from windtunnel.catalog import chip
from windtunnel.plan.fleets.milp.solve import Answer, best, solved
from windtunnel.plan.fleets.problem import Inference, Part, Problem, Site, Stock, Training, TrainingWay, Way

HOURS = 2190.0
QUARTERS = 8
WORKLOADS = 20
RUNS = 5
"""Of the workloads, those that are trained."""
CHIPS = {
    "h20": (21_000, 875, 8), "h800-sxm": (35_000, 1275, 8), "h100-sxm": (47_000, 1275, 8), "h200-sxm": (52_000, 1275, 8),
    "b200-sxm": (60_000, 1790, 8), "gb200": (46_000, 1830, 72), "mi300x": (28_000, 1250, 8), "mi308x": (18_000, 1100, 8),
    "ascend-910b2": (17_000, 700, 8), "ascend-910c": (21_400, 1457, 16), "l40s": (14_000, 480, 8), "mtt-s5000": (15_000, 900, 8),
}  # fmt: skip
"""Chip -> USD and W with its server, and chips of a lot."""
BARRED_FROM = {"h20": 2, "h800-sxm": 0, "h100-sxm": 0, "b200-sxm": 0, "mi308x": 2}
"""Quarter from which rules keep a chip away."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One instance: CPU seconds until it is proven, and the gap that is. whole: the share that whole instances on every kind of
    chip add to the cost; None where no plan with them was found within the limits."""

    seed: int
    seconds: float
    gap: float
    proven: bool
    variables: int
    whole: float | None


def _stocks(chance: random.Random) -> tuple[Stock, ...]:
    found = []
    for name, (usd, watts, lot) in CHIPS.items():
        price = usd * chance.uniform(0.85, 1.2)
        supply = tuple(lot * float(round(chance.uniform(300, 3000) / lot)) for _ in range(QUARTERS))
        barred = BARRED_FROM.get(name, QUARTERS)
        owned = 256 if name in ("h800-sxm", "h100-sxm") else 0
        found.append(
            Stock(
                name, "here", lot, supply, tuple(float(t < barred) for t in range(QUARTERS)), (price,) * QUARTERS,
                (watts / 1e3 * 0.8 * 1.3 * 0.08 * HOURS,) * QUARTERS, watts * 1.3, lot / 32.0, owned,
            )
        )  # fmt: skip
    return tuple(found)


def _speeds(name: str) -> tuple[float, float]:
    """Prefill by compute and decode by bandwidth, over an H100's."""
    own, of = chip(name), chip("h100-sxm")
    dtype = "bf16"
    flops = own.value(f"matrix_flops_per_s.{dtype}") / of.value(f"matrix_flops_per_s.{dtype}")
    return flops, own.value("memory_bytes_per_s") / of.value("memory_bytes_per_s")


def _inference(chance: random.Random, name: str, speeds: list[tuple[float, float]]) -> Inference:
    peak = math.exp(chance.uniform(math.log(10.0), math.log(600.0)))
    growth = chance.uniform(1.0, 1.35)
    demand = tuple(peak * growth ** (t - QUARTERS + 1) for t in range(QUARTERS))
    each = math.exp(chance.uniform(math.log(0.05), math.log(2.0)))  # requests/s of one H100
    prefill_share = chance.uniform(0.2, 0.6)
    size = chance.choice([1, 2, 4, 8, 16])
    ways: list[Way] = []
    halves: dict[int, tuple[float, float]] = {}
    for place, (flops, memory) in enumerate(speeds):
        if chance.random() > 0.8:
            continue
        prompts, answers = (
            each * speed * chance.uniform(0.75, 1.2) / share
            for speed, share in ((flops, prefill_share), (memory, 1.0 - prefill_share))
        )
        halves[place] = prompts, answers
        rate = 1.0 / (1.0 / prompts + 1.0 / answers)
        ways.append(Way(f"{place}", (Part(place, size, rate * size),)))
        if size < 16 and chance.random() < 0.5:
            ways.append(Way(f"{place} wide", (Part(place, 2 * size, rate * 2 * size * 1.06),)))
    pairs = []
    for a, (prompts, own) in halves.items():
        for b, (other, answers) in halves.items():
            taken = (1.0 / prompts) / (1.0 / prompts + 1.0 / own) + (1.0 / answers) / (1.0 / other + 1.0 / answers)
            if a != b and taken < 0.97:
                pairs.append((taken, Way(f"{a} and {b}", (Part(a, size, prompts * size), Part(b, size, answers * size)))))
    ways += [way for _, way in sorted(pairs, key=lambda pair: pair[0])[:3]]
    return Inference(name, demand, tuple(ways))


def _training(chance: random.Random, name: str, speeds: list[tuple[float, float]]) -> Training:
    first = chance.randrange(3)
    last = chance.randrange(first + 1, QUARTERS)
    chips = chance.choice([128, 256, 512, 1024])
    unit = chance.choice([16, 32, 64])
    tokens = chips * 700.0 * 3600.0 * HOURS * (last - first + 1) * 0.7
    ways = tuple(
        TrainingWay(f"{place}", place, unit, unit * 700.0 * flops * chance.uniform(0.7, 1.1))
        for place, (flops, _) in enumerate(speeds)
        if chance.random() < 0.6
    )
    return Training(name, tokens, first, last, ways or (TrainingWay("0", 0, unit, unit * 100.0),))


def instance(seed: int) -> Problem:
    """A fleet that is made up by chance, without limits of power, space and budget."""
    chance = random.Random(seed)
    stocks = _stocks(chance)
    speeds = [_speeds(stock.name) for stock in stocks]
    inference = tuple(_inference(chance, f"serve-{i}", speeds) for i in range(WORKLOADS - RUNS))
    training = tuple(_training(chance, f"train-{i}", speeds) for i in range(RUNS))
    return Problem(
        (HOURS,) * QUARTERS, stocks, (Site("here"),), inference, training,
        tuple(1.08 ** (-t / 4) for t in range(QUARTERS)), tuple(1.0 - (QUARTERS - t) / 16 for t in range(QUARTERS)),
    )  # fmt: skip


def limited(problem: Problem, share: float = 0.97) -> tuple[Problem, Answer] | None:
    """The same with so large a share of the power, the space and the budget that the cheapest plan takes; and its answer."""
    free = best(problem, whole=False)
    if free is None:
        return None
    plan = solved(problem, free, "mid")
    by_name = {stock.name: stock for stock in problem.stocks}
    watts = [sum(by_name[u.chip].power_w * u.in_use for u in plan.used if u.quarter == t) for t in range(problem.quarters)]
    filled = {(u.chip, u.quarter): u.there / by_name[u.chip].lot * by_name[u.chip].space for u in plan.used}
    space = [sum(value for (_, quarter), value in filled.items() if quarter == t) for t in range(problem.quarters)]
    capex = sum(costs.purchases for costs in plan.costs)
    site = Site("here", (share * max(watts),) * problem.quarters, (share * max(space),) * problem.quarters)
    tight = replace(problem, sites=(site,), capex=1.01 * capex)
    answer = best(tight, whole=False)
    return (tight, answer) if answer is not None else limited(problem, share + 0.02)


def timed(seeds: int = 5) -> list[Timed]:
    """Instances with limits that bind."""
    found = []
    for seed in range(seeds):
        made = limited(instance(seed))
        if made is None:
            continue
        tight, _ = made
        begun = time.process_time()
        answer = best(tight, whole=False)
        spent = time.process_time() - begun
        whole = best(tight)
        assert answer is not None
        assert whole is not None
        proof = answer.proof
        beyond = whole.solution.objective / proof.objective - 1.0 if whole.whole else None
        found.append(Timed(seed, spent, proof.gap, proof.proven, len(answer.built.programme.cost), beyond))
    return found


if __name__ == "__main__":
    for each in timed():
        print(each)
