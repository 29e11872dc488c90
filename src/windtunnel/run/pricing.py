"""The time of operator calls on one chip, and what it is spent on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from windtunnel.catalog.chip import Chip
from windtunnel.cost.evidence import Evidence
from windtunnel.cost.links import Links
from windtunnel.cost.model import CostModel
from windtunnel.cost.program_ops import convolution_dtype
from windtunnel.errors import MissingFactError, UnsupportedError
from windtunnel.workload.ops import Convolution, Gemm, Op
from windtunnel.workload.program.call import Call, Step
from windtunnel.workload.program.fusion import fuse
from windtunnel.workload.program.work import work


@dataclass(slots=True)
class Price:
    """Seconds, FLOPs and bytes of one kernel (or of the few that one call is); spread: 80 % of log errors. where: "cpu" for a
    call that the chip's plugin sends back to its host."""

    seconds: float
    bound: str
    family: str
    flops: float
    bytes: float
    evidence: Evidence
    spread: float
    where: Literal["chip", "cpu"] = "chip"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of a fused region: which calls of the region it does, under the name of the weightiest."""

    name: str
    calls: tuple[int, ...]
    price: Price


class Pricing:
    """Prices calls on ``chip``; unpriced counts operators for which a figure of the chip is missing, by that figure.

    allow_tf32: whether the program lets FP32 matrix products run in TF32, allow_tf32_convolutions the same for convolutions
    (PyTorch's defaults).
    """

    def __init__(self, chip: Chip, links: Links | None = None, parameters: Mapping[str, Any] | None = None) -> None:
        self.costs = CostModel(chip, links, parameters)
        self.unpriced: Counter[str] = Counter()
        self.flops_by_dtype: Counter[str] = Counter()
        self.allow_tf32 = False
        self._spreads: dict[str, float] = {}

    @property
    def allow_tf32_convolutions(self) -> bool:
        return self.costs.tf32_convolutions

    @allow_tf32_convolutions.setter
    def allow_tf32_convolutions(self, allowed: bool) -> None:
        self.costs.tf32_convolutions = allowed

    def spread(self, family: str) -> float:
        """80 % of the log errors of a family's times, as far as one was priced; of the host's and of copies half."""
        return self._spreads.get(family, 0.5)

    def call(self, call: Call) -> Price:
        """What one call costs when each operator is a kernel of its own."""
        return self.ops(work(call))

    def ops(self, ops: Sequence[Op]) -> Price:
        """The kernels of ``ops`` one after the other."""
        total = Price(0.0, "start", "", 0.0, 0.0, Evidence.MEASURED, 0.0)
        longest = -1.0
        for op in ops:
            if self.allow_tf32 and isinstance(op, Gemm) and op.dtype == "fp32" and "tf32" in self.costs.chip.dtypes:
                op = replace(op, dtype="tf32")
            try:
                cost = self.costs.cost(op)
            except (MissingFactError, UnsupportedError) as problem:
                self.unpriced[str(problem)] += 1
                continue
            seconds = cost.time_s * op.count
            self._spreads[op.family] = cost.spread
            if isinstance(op, Gemm | Convolution):
                runs_in = convolution_dtype(self.costs, op.dtype) if isinstance(op, Convolution) else op.dtype
                self.flops_by_dtype[runs_in] += int(op.flops * op.count)
            total.seconds += seconds
            total.flops += op.flops * op.count
            total.bytes += op.bytes * op.count
            total.evidence = min(total.evidence, cost.evidence)
            if seconds > longest:
                longest, total.bound, total.family, total.spread = seconds, cost.bound, op.family, cost.spread
        return total

    def region(self, steps: Sequence[Step]) -> list[Kernel]:
        """The kernels of a compiled region, in order."""
        return [Kernel(fused.name, fused.calls, self.ops(fused.ops)) for fused in fuse(steps)]
