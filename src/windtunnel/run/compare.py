"""Operators that a real device ran, beside what the cost model says of the same calls on a chip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from windtunnel.cost.evidence import Evidence
from windtunnel.cost.model import CostModel
from windtunnel.errors import WindtunnelError
from windtunnel.run.observer import Ran
from windtunnel.run.record import ComparedOperator, Share
from windtunnel.workload.program.call import Call
from windtunnel.workload.program.work import work


@dataclass(frozen=True, slots=True)
class Price:
    """What one call takes on a chip. seconds: None where it cannot be priced there, for the reason in ``why``; spread: 80 %
    of log errors lie within it; dtype: the number type of its longest part."""

    seconds: float | None
    bound: str = ""
    evidence: Evidence = Evidence.MEASURED
    spread: float = 0.0
    flops: float = 0.0
    bytes: float = 0.0
    dtype: str = ""
    why: str = ""


@dataclass
class Prices:
    """Prices of calls on one chip, each looked up once."""

    model: CostModel
    _known: dict[Call, Price] = field(default_factory=dict)

    def of(self, call: Call) -> Price:
        """The sum over the operators that the call is made of; bound and type are those of the longest."""
        found = self._known.get(call)
        if found is None:
            try:
                found = self._priced(call)
            except WindtunnelError as problem:
                found = Price(None, why=str(problem))
            self._known[call] = found
        return found

    def _priced(self, call: Call) -> Price:
        seconds = flops = moved = spread = 0.0
        longest, bound, dtype, evidence = -1.0, "start", "", Evidence.MEASURED
        for op in work(call):
            cost = self.model.cost(op)
            time = cost.time_s * op.count
            seconds, flops, moved = seconds + time, flops + op.flops * op.count, moved + op.bytes * op.count
            spread += cost.spread * time
            evidence = min(evidence, cost.evidence)
            if time > longest:
                longest, bound, dtype = time, cost.bound, str(getattr(op, "dtype", ""))
        return Price(seconds, bound, evidence, spread / seconds if seconds else 0.0, flops, moved, dtype)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A step as the chip would run its operators one after the other: no waits for the host.

    missing: reasons why operators were not priced, with their measured seconds a step, longest first.
    """

    seconds: float
    spread: float
    evidence: Evidence
    flops: float
    dtype: str
    by_operator: tuple[Share, ...]
    by_bound: tuple[Share, ...]
    missing: tuple[tuple[str, float], ...]


@dataclass
class _Sum:
    """One operator's calls over several steps, added up; measured: step by step."""

    measured: list[float]
    calls: int = 0
    predicted: float = 0.0
    unpriced: bool = False
    flops: float = 0.0
    bytes: float = 0.0
    longest: float = -1.0
    bound: str = ""
    evidence: Evidence = Evidence.MEASURED

    def add(self, step: int, seconds: float, price: Price | None) -> None:
        self.calls += 1
        self.measured[step] += seconds
        if price is None or price.seconds is None:
            self.unpriced = True
            return
        self.predicted += price.seconds
        self.flops += price.flops
        self.bytes += price.bytes
        self.evidence = min(self.evidence, price.evidence)
        if price.seconds > self.longest:
            self.longest, self.bound = price.seconds, price.bound


def compare(steps: Sequence[Sequence[Ran]], model: CostModel | None) -> tuple[tuple[ComparedOperator, ...], Prediction | None]:
    """Per operator and step, longest measured first; the prediction of a step, None without a chip.

    Measured is the median over the steps: whatever else the machine does disturbs some of them. An operator of which some
    calls cannot be priced has no prediction.
    """
    prices = None if model is None else Prices(model)
    sums: dict[str, _Sum] = {}
    for i, ran in enumerate(steps):
        for one in ran:
            price = None if prices is None else prices.of(one.call)
            sums.setdefault(one.call.op, _Sum([0.0] * len(steps))).add(i, one.seconds, price)
    compared = [
        ComparedOperator(op, s.calls / len(steps), median(s.measured), None if s.unpriced else s.predicted / len(steps))
        for op, s in sums.items()
    ]
    compared.sort(key=lambda o: -o.measured_s)
    return tuple(compared), None if prices is None else _predicted(steps, prices, sums)


def _predicted(measured: Sequence[Sequence[Ran]], prices: Prices, sums: dict[str, _Sum]) -> Prediction:
    steps = max(len(measured), 1)
    ran = [one for step in measured for one in step]
    shares = [
        Share(op, s.predicted / steps, s.calls / steps, s.flops / steps, s.bytes / steps, s.bound, s.evidence)
        for op, s in sums.items()
        if not s.unpriced
    ]
    bounds: dict[str, list[float]] = {}
    types: dict[str, float] = {}
    missing: dict[str, float] = {}
    spread = 0.0
    for one in ran:
        price = prices.of(one.call)
        if price.seconds is None:
            missing[price.why] = missing.get(price.why, 0.0) + one.seconds / steps
            continue
        bounds.setdefault(price.bound, []).append(price.seconds)
        types[price.dtype] = types.get(price.dtype, 0.0) + price.flops
        spread += price.seconds * price.spread
    total = sum(map(sum, bounds.values()))
    return Prediction(
        total / steps,
        spread / total if total else 0.0,
        min((s.evidence for s in shares if s.evidence is not None), default=Evidence.DATASHEET),
        sum(types.values()) / steps,
        max(types, key=lambda name: types[name], default=""),
        _longest(shares),
        _longest(Share(name, sum(times) / steps, len(times) / steps) for name, times in bounds.items()),
        tuple(sorted(missing.items(), key=lambda item: -item[1])),
    )


def _longest(shares: Iterable[Share]) -> tuple[Share, ...]:
    return tuple(sorted(shares, key=lambda s: -s.seconds))
