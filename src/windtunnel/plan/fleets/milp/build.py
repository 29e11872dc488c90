"""From a fleet's numbers to its programme.

Variables: the lots of each stock that are there in each quarter (whole), the share of each workload that each way serves, the
share that is not served, the units of each training run, and on which stock a run is (whole).

A way that serves all of a workload takes whole instances for it; a share of the workload takes the same share of them. With
``whole`` the instances of each share are whole as well.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

from windtunnel.plan.fleets.milp.programme import Programme
from windtunnel.plan.fleets.problem import Inference, Limit, Part, Problem, Training, Way

SECONDS = 3600.0
"""Of an hour."""
Term = tuple[int, float]


@dataclass
class Built:
    """The programme, and where its variables are: by the indices of stock, workload, way, part and quarter.

    total: lots that are there; added: lots that were bought in the quarter (rented for it); share: of a workload's demand;
    instances: where they are whole; lost: share that is not served; units: of a run; chosen: whether a run is there; undone:
    share of a run's tokens.
    """

    programme: Programme = field(default_factory=Programme)
    total: dict[tuple[int, int], int] = field(default_factory=dict)
    added: dict[tuple[int, int], int] = field(default_factory=dict)
    share: dict[tuple[int, int, int], int] = field(default_factory=dict)
    instances: dict[tuple[int, int, int, int], int] = field(default_factory=dict)
    lost: dict[tuple[int, int], int] = field(default_factory=dict)
    units: dict[tuple[int, int, int], int] = field(default_factory=dict)
    chosen: dict[tuple[int, int], int] = field(default_factory=dict)
    undone: dict[int, int] = field(default_factory=dict)


def build(problem: Problem, *, unserved_at_most: float | None = None, whole: frozenset[tuple[int, int]] | None = None) -> Built:
    """The programme for the problem's goal.

    unserved_at_most: for the goal of serving: the least cost at which no more than this is left. whole: workloads and quarters
    in which every instance is whole; then every replica of a run is, too.
    """
    maker = _Builder(problem, unserved_at_most, whole or frozenset(), whole is not None)
    maker.purchases()
    for place, workload in enumerate(problem.inference):
        maker.inference(place, workload)
    for place, run in enumerate(problem.training):
        maker.training(place, run)
    maker.capacity()
    maker.most()
    maker.money()
    maker.sites()
    maker.goal()
    return maker.built


def instances(wanted: float, part: Part) -> int:
    """Whole instances that carry so many requests/s."""
    return max(math.ceil(wanted / part.rate - 1e-9), 1)


@dataclass
class _Builder:
    problem: Problem
    unserved_at_most: float | None
    whole: frozenset[tuple[int, int]]
    whole_units: bool
    built: Built = field(default_factory=Built)
    used: dict[tuple[int, int], list[Term]] = field(default_factory=lambda: defaultdict(list))
    """(stock, quarter) -> the chips that variables take."""
    unserved: list[Term] = field(default_factory=list)

    def _usd(self, amount: float, quarter: int) -> float:
        """What an amount counts in the objective."""
        counts = self.problem.goal == "cost" or self.unserved_at_most is not None
        return amount * self.problem.discount[quarter] if counts else 0.0

    def purchases(self) -> None:
        p, add, built = self.problem, self.built.programme, self.built
        for s, stock in enumerate(p.stocks):
            for t in range(p.quarters):
                kept = 0.0 if stock.rented else p.credit[t]
                cost = self._usd(stock.price_usd[t] * stock.lot, t) - kept * self._usd(stock.price_usd[t] * stock.lot, t)
                # what there is in all is whole: to branch on it settles more than to branch on one quarter's purchase
                total = built.total[s, t] = add.variable(whole=True)
                added = built.added[s, t] = add.variable(cost)
                before = [] if stock.rented or not t else [(built.total[s, t - 1], -1.0)]
                add.row(Limit("link", stock.name, t), [(total, 1.0), (added, -1.0), *before], 0.0, 0.0)
                most = p.lots(stock, t)
                if not stock.allowed[t]:
                    add.row(Limit("rules", stock.name, t), [(added, float(stock.lot))], high=0.0)
                elif math.isfinite(most):
                    add.row(Limit("supply", stock.name, t), [(added, float(stock.lot))], high=most * stock.lot)

    def inference(self, w: int, workload: Inference) -> None:
        p, add = self.problem, self.built.programme
        for t, wanted in enumerate(workload.demand):
            if wanted <= 0.0:
                continue
            carried: list[Term] = []
            for k, way in enumerate(workload.ways):
                whole = (w, t) in self.whole
                cost = 0.0 if whole else sum(self._running(part, instances(wanted, part), t) for part in way.parts)
                share = self.built.share[w, k, t] = add.variable(cost, high=1.0)
                carried.append((share, wanted))
                if whole:
                    self._whole(w, k, t, wanted, way)
                    continue
                for part in way.parts:
                    self.used[part.stock, t].append((share, float(part.chips * instances(wanted, part))))
            if workload.penalty_usd is not None or p.goal == "served":
                penalty = self._usd((workload.penalty_usd or 0.0) * p.hours[t] * SECONDS * wanted, t)
                lost = self.built.lost[w, t] = add.variable(penalty, high=1.0)
                self.unserved.append((lost, workload.worth))
                carried.append((lost, wanted))
            add.row(Limit("demand", workload.name, t), carried, low=wanted)

    def _running(self, part: Part, count: float, t: int) -> float:
        return self._usd(self.problem.stocks[part.stock].energy_usd[t] * part.chips * count, t)

    def _whole(self, w: int, k: int, t: int, wanted: float, way: Way) -> None:
        add, share = self.built.programme, self.built.share[w, k, t]
        for i, part in enumerate(way.parts):
            count = add.variable(self._running(part, 1, t), high=instances(wanted, part), whole=True)
            self.built.instances[w, k, i, t] = count
            self.used[part.stock, t].append((count, float(part.chips)))
            add.row(Limit("link", way.label, t), [(share, wanted), (count, -min(part.rate, wanted))], high=0.0)

    def training(self, w: int, run: Training) -> None:
        p, add = self.problem, self.built.programme
        done: list[Term] = []
        choices: list[Term] = []
        for k, way in enumerate(run.ways):
            choice = self.built.chosen[w, k] = add.variable(high=1.0, whole=True)
            choices.append((choice, 1.0))
            for t in range(run.first, run.deadline + 1):
                tokens = way.tokens_per_s * p.hours[t] * SECONDS
                most = run.tokens / tokens
                most = min(float(way.most), float(math.ceil(most - 1e-9)) if self.whole_units else most)
                cost = self._usd(p.stocks[way.stock].energy_usd[t] * way.chips, t)
                units = self.built.units[w, k, t] = add.variable(cost, high=most, whole=self.whole_units)
                self.used[way.stock, t].append((units, float(way.chips)))
                done.append((units, tokens / run.tokens))
                add.row(Limit("link", run.name, t), [(units, 1.0), (choice, -most)], high=0.0)
        add.row(Limit("one-chip", run.name), choices, high=1.0)
        if p.goal == "served":
            undone = self.built.undone[w] = add.variable(high=1.0)
            self.unserved.append((undone, run.worth))
            done.append((undone, 1.0))
        add.row(Limit("deadline", run.name), done, low=1.0)

    def capacity(self) -> None:
        for (s, t), taken in sorted(self.used.items()):
            stock = self.problem.stocks[s]
            terms = [*taken, (self.built.total[s, t], -float(stock.lot))]
            self.built.programme.row(Limit("capacity", stock.name, t), terms, high=float(stock.owned))

    def most(self) -> None:
        """No more lots than all workloads could use at once: nothing is gained by more, and a search that ends needs an end."""
        add, quarters = self.built.programme, range(self.problem.quarters)
        for s, stock in enumerate(self.problem.stocks):
            chips = max(sum(count * add.high[place] for place, count in self.used.get((s, t), [])) for t in quarters)
            for t in quarters:
                add.high[self.built.total[s, t]] = float(math.ceil(chips / stock.lot - 1e-9))

    def money(self) -> None:
        p, add = self.problem, self.built.programme
        spent: dict[int, list[Term]] = defaultdict(list)
        running: dict[int, list[Term]] = defaultdict(list)
        for (s, t), place in self.built.added.items():
            stock = p.stocks[s]
            (running if stock.rented else spent)[t].append((place, stock.price_usd[t] * stock.lot))
        for (s, t), taken in self.used.items():
            energy = p.stocks[s].energy_usd[t]
            running[t] += [(place, energy * chips) for place, chips in taken if energy]
        if p.capex is not None:
            add.row(Limit("capex", "budget"), [term for terms in spent.values() for term in terms], high=p.capex)
        for t in range(p.quarters):
            if p.capex_quarter is not None:
                add.row(Limit("capex-quarter", "budget", t), spent[t], high=p.capex_quarter[t])
            if p.opex_quarter is not None:
                add.row(Limit("opex-quarter", "budget", t), running[t], high=p.opex_quarter[t])

    def sites(self) -> None:
        p, add = self.problem, self.built.programme
        for site in p.sites:
            here = [(s, stock) for s, stock in enumerate(p.stocks) if stock.site == site.name and not stock.rented]
            for t in range(p.quarters):
                if site.power_w is not None:
                    drawn = [(place, stock.power_w * chips) for s, stock in here for place, chips in self.used.get((s, t), [])]
                    add.row(Limit("power", site.name, t), drawn, high=site.power_w[t])
                if site.space is not None:
                    filled = [(self.built.total[s, t], stock.space) for s, stock in here if stock.space]
                    taken = sum(math.ceil(stock.owned / stock.lot) * stock.space for _, stock in here)
                    add.row(Limit("space", site.name, t), filled, high=site.space[t] - taken)

    def goal(self) -> None:
        p, add = self.problem, self.built.programme
        if p.goal != "served":
            return
        if self.unserved_at_most is not None:
            add.row(Limit("demand", "all workloads"), self.unserved, high=self.unserved_at_most)
            return
        for place, worth in self.unserved:
            add.cost[place] += worth
