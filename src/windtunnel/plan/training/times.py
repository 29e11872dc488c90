"""Seconds of a layer's work on a chip, forward and backward, by what they go to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from windtunnel.cost.evidence import Evidence
from windtunnel.cost.model import CostModel
from windtunnel.plan.training.framework import Framework
from windtunnel.plan.training.layout import Layout
from windtunnel.workload.ops import Attention, AttentionBackward, Collective, Elementwise, Gemm, Op
from windtunnel.workload.training import LayerWork, as_pass, quantises

UNFUSED = 3.0
"""Bytes of norms, rotary positions and gated activations in plain PyTorch over those of fused kernels. Counted on an RMS norm
with its residual (widened to FP32, squared, averaged, multiplied, narrowed, weighted: 30 bytes an element against 8) and SwiGLU
(10 against 6)."""

COMMUNICATING = {"Nvidia": 20.0 / 132.0, "Huawei": 0.24}
OTHERS_COMMUNICATING = 20.0 / 132.0
"""Share of a chip's compute that an exchange beside it takes. **Source:** DeepSeek-V3 (arXiv 2412.19437, section 3.2.2): 20 of an
H800's 132 multiprocessors; 910B: 48 communicating cores slow the matrix unit by 24 % (published measurement of PTO-ISA)."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds. products, attention, passes (memory-bound), and the exchanges that are waited for: tensor, context, experts.
    beside: seconds of exchanges that run beside products, slowed: what they take from those."""

    products: float = 0.0
    attention: float = 0.0
    passes: float = 0.0
    tensor: float = 0.0
    context: float = 0.0
    experts: float = 0.0
    slowed: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.products + other.products, self.attention + other.attention, self.passes + other.passes,
            self.tensor + other.tensor, self.context + other.context, self.experts + other.experts,
            self.slowed + other.slowed,
        )  # fmt: skip

    def times(self, factor: float) -> Spent:
        return Spent(
            self.products * factor, self.attention * factor, self.passes * factor, self.tensor * factor,
            self.context * factor, self.experts * factor, self.slowed * factor,
        )  # fmt: skip

    @property
    def computing(self) -> float:
        return self.products + self.attention + self.passes + self.slowed

    @property
    def total(self) -> float:
        return self.products + self.attention + self.passes + self.tensor + self.context + self.experts + self.slowed


PARTS = tuple(f.name for f in fields(Spent))
NONE = Spent()


@dataclass(frozen=True, slots=True)
class WorkTimes:
    """Seconds of one layer and micro-batch. backward includes the weights' gradients, which ``weights`` tells apart; again:
    what selective recomputation adds."""

    forward: Spent
    backward: Spent
    weights: float
    again: Spent

    def __add__(self, other: WorkTimes) -> WorkTimes:
        return WorkTimes(
            self.forward + other.forward, self.backward + other.backward, self.weights + other.weights, self.again + other.again
        )

    def times(self, factor: float) -> WorkTimes:
        return WorkTimes(self.forward.times(factor), self.backward.times(factor), self.weights * factor, self.again.times(factor))


NOTHING = WorkTimes(NONE, NONE, 0.0, NONE)


class Timer:
    """Prices a layer's work for one layout's groups; remembers how far its operators are to be trusted."""

    def __init__(self, costs: CostModel, loop: Framework) -> None:
        self.costs, self.loop = costs, loop
        self.evidence = Evidence.MEASURED
        self.spread_s = self.seen_s = 0.0
        taken = COMMUNICATING.get(costs.chip.vendor, OTHERS_COMMUNICATING)
        self.taken = taken / (1.0 - taken)

    def work(self, work: LayerWork, layout: Layout) -> WorkTimes:
        forward, weights = self.ops(work.forward), self.ops(work.weights)
        backward = self.ops(work.backward) + weights
        ahead, back = self._exchanges(work, layout, True, forward), self._exchanges(work, layout, False, backward)
        return WorkTimes(forward + ahead, backward + back, weights.total, self.ops(work.again))

    def ops(self, ops: Iterable[Op]) -> Spent:
        products = attention = passes = 0.0
        for each in ops:
            op: Op = each
            if isinstance(each, Elementwise):
                if quantises(each):
                    continue
                op = as_pass(each, unfused=1.0 if self.loop.fused else UNFUSED)
            cost = self.costs.cost(op)
            seconds = cost.time_s * op.count
            if isinstance(op, Gemm):
                products += seconds
            elif isinstance(op, Attention | AttentionBackward):
                attention += seconds
            else:
                passes += seconds
            self._trust(cost.evidence, cost.spread, seconds)
        return Spent(products, attention, passes)

    def exchange(self, op: Collective) -> float:
        """Seconds of a collective, whoever waits for it."""
        cost = self.costs.cost(op)
        self._trust(cost.evidence, cost.spread, cost.time_s)
        return cost.time_s * op.count

    def _trust(self, evidence: Evidence, spread: float, seconds: float) -> None:
        if seconds > 0.0:
            self.evidence = min(self.evidence, evidence)
            self.spread_s += spread * seconds
            self.seen_s += seconds

    def _exchanges(self, work: LayerWork, layout: Layout, forward: bool, computing: Spent) -> Spent:
        """What is waited for, and what exchanges beside products take from them. Experts' exchanges are told whole: whether
        another micro-batch hides them is the schedule's matter."""
        waited = {"tp": 0.0, "cp": 0.0, "ep": 0.0}
        beside = 0.0
        for each in work.exchanges:
            if each.forward != forward:
                continue
            seconds = self.exchange(placed(each.op, each.group, layout, self.costs.links.domain))
            if each.group == "tp" and self.loop.tensor != "none":
                if each.beside:
                    beside += seconds
                    seconds = 0.0
                elif self.loop.tensor == "pieces":
                    first = seconds / layout.tp
                    beside += seconds - first
                    seconds = first
            waited[each.group] += seconds
        hidden = min(beside, computing.products)
        return Spent(
            tensor=waited["tp"] + beside - hidden, context=waited["cp"], experts=waited["ep"], slowed=hidden * self.taken
        )


def placed(op: Collective, group: str, layout: Layout, domain: int) -> Collective:
    """The collective with the scale-up domains that its ranks lie in: tensor-parallel ranks are neighbours, then those of
    a context-parallel group; experts lie on neighbours."""
    inner = {"tp": 1, "ep": 1, "cp": layout.tp}[group]
    return Collective(op.name, op.kind, op.bytes, op.ranks, op.count, domains(int(op.ranks), inner, domain))


def domains(ranks: int, inner: int, domain: int) -> float:
    """Scale-up domains of ``domain`` chips in which ``ranks`` lie, of which every ``inner``-th chip is one."""
    local = max(domain // inner, 1)
    return float(-(-ranks // local))
