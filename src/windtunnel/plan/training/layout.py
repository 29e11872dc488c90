"""How a training run is cut over its chips, checked against the model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from windtunnel.catalog.model import ModelSpec
from windtunnel.errors import ParallelismError
from windtunnel.plan.training.framework import Schedule
from windtunnel.workload.llm.parallel import parallel_plan

Recompute = Literal["none", "selective", "full"]
RECOMPUTE: tuple[Recompute, ...] = ("none", "selective", "full")
ZERO = (0, 1, 2, 3)


@dataclass(frozen=True, slots=True)
class Layout:
    """Degrees of one run: tp x cp x dp x pp chips.

    ep: ranks over which the experts lie, out of the tp x cp x dp of a stage; experts are cut tp ways where it is 1. dp:
    replicas. micro_batch: sequences. chunks: parts of a stage under an interleaved schedule. zero: 0 nothing is split
    over replicas, 1 the optimiser's states, 2 gradients too, 3 weights too (FSDP).
    """

    tp: int = 1
    cp: int = 1
    pp: int = 1
    ep: int = 1
    dp: int = 1
    micro_batch: int = 1
    recompute: Recompute = "none"
    zero: int = 1
    schedule: Schedule = "1f1b"
    chunks: int = 1

    @property
    def chips(self) -> int:
        return self.tp * self.cp * self.pp * self.dp

    @property
    def stage_chips(self) -> int:
        return self.tp * self.cp * self.dp

    @property
    def etp(self) -> int:
        """Ways that each expert is cut."""
        return self.tp if self.ep == 1 else 1

    @property
    def alike(self) -> int:
        """Ranks that hold the same of a stage's dense weights."""
        return self.cp * self.dp

    @property
    def experts_alike(self) -> int:
        """Ranks that hold the same experts."""
        return max(self.stage_chips // (self.ep * self.etp), 1)

    @property
    def text(self) -> str:
        """``TP8 PP16 DP128, 1 sequence, recompute full, ZeRO-1, interleaved x 8``."""
        pairs = (("TP", self.tp), ("CP", self.cp), ("PP", self.pp), ("EP", self.ep), ("DP", self.dp))
        return " ".join(f"{kind}{n}" for kind, n in pairs if n > 1) or "DP1"


@dataclass(frozen=True, slots=True)
class _Degrees:
    """What ``workload.llm.parallel`` checks of attention and dense layers."""

    tp: int
    pp: int
    dp: int = 1
    moe_tp: int = 0
    moe_ep: int = 0


def check(spec: ModelSpec, layout: Layout) -> None:
    """Raises ParallelismError, naming the degree and the nearest that would do."""
    dense = ModelSpec(spec.id, spec.architecture, spec.hidden, spec.vocab, spec.layers, spec.precision, spec.source)
    experts = {layer.ffn.experts: layer.ffn for layer in spec.layers if layer.ffn is not None and layer.ffn.experts}
    parallel_plan(dense, _Degrees(layout.tp, layout.pp, moe_tp=layout.tp if experts else 0, moe_ep=1 if experts else 0))
    if layout.ep > 1 and not experts:
        raise ParallelismError("ep", f"{spec.id} has no experts; nearest that would do: 1")
    for count in experts:
        if count % layout.ep:
            raise ParallelismError(
                "ep", f"{layout.ep} does not divide {count} experts; nearest that would do: {below(count, layout.ep)}"
            )
    if layout.stage_chips % layout.ep:
        near = below(math.gcd(layout.stage_chips, *experts), layout.ep)
        raise ParallelismError(
            "ep", f"{layout.ep} does not divide tp x cp x dp = {layout.stage_chips}; nearest that would do: {near}"
        )
    if layout.pp * layout.chunks > spec.n_layers:
        raise ParallelismError(
            "pp", f"{layout.pp} stages of {layout.chunks} for {spec.n_layers} layers of {spec.id}; "
            f"nearest that would do: {max(spec.n_layers // layout.chunks, 1)}"
        )  # fmt: skip


def below(whole: int, most: int) -> int:
    """The largest divisor of ``whole`` up to ``most``."""
    return next(n for n in range(min(whole, most), 0, -1) if whole % n == 0)
