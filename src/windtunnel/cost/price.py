"""What an operator costs: its time, what bounds it, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.cost.evidence import Evidence
from windtunnel.cost.formulas import Machine, Times
from windtunnel.cost.parameters import FamilyParameters


@dataclass(frozen=True, slots=True)
class OpCost:
    """Seconds of one launch, without ``count``. bound: matrix unit, memory, link or start."""

    time_s: float
    bound: str
    evidence: Evidence
    spread: float


NOTHING = OpCost(0.0, "start", Evidence.MEASURED, 0.0)


def roofline(machine: Machine, flops: float, moved: float) -> float:
    """The roofline, in seconds: what no estimate goes below."""
    floor: float = max(moved / machine.bytes_per_s, flops / machine.flops_per_s)
    return floor


def priced(times: Times, p: FamilyParameters, floor: float) -> OpCost:
    """The estimate, never below the roofline, with what takes most of it."""
    total, compute, memory = times
    total = max(total, floor)
    largest = max(compute, memory)
    bound = "start" if largest < 0.5 * total else ("matrix unit" if compute >= memory else "memory")
    return OpCost(total, bound, p.evidence, p.spread)
