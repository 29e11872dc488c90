"""The ways of cutting a model over chips that are worth asking about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from windtunnel.catalog.model import ModelSpec
from windtunnel.errors import ParallelismError
from windtunnel.sim.prediction import Deployment
from windtunnel.workload.llm import parallel_plan

WIDEST_TP = 16
WIDEST_SHARED_TP = 8
"""Most ways in which attention is cut, alone and where data-parallel groups share the experts."""
DEEPEST = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """Degrees as a Deployment has them; moe_ep 0: chosen by the deployment's own rule."""

    tp: int = 1
    pp: int = 1
    dp: int = 1
    moe_tp: int = 0
    moe_ep: int = 0

    @property
    def chips(self) -> int:
        return self.tp * self.pp * self.dp

    def on(self, base: Deployment) -> Deployment:
        """``base`` cut this way."""
        return replace(base, tp=self.tp, pp=self.pp, dp=self.dp, moe_tp=self.moe_tp, moe_ep=self.moe_ep)


def shapes(spec: ModelSpec, domain: int, most: int, *, stages: bool) -> list[Shape]:
    """All shapes of up to ``most`` chips, fewest chips first.

    Tensor parallelism stays within the scale-up ``domain``. A dense model is not cut dp ways, since that is the same as
    more instances; a mixture's groups share its experts, whole, over all their chips. stages: also cut the layers, a stage
    for each domain, for models that one domain does not hold.
    """
    found: list[Shape] = []
    for pp in _powers(DEEPEST if stages else 1):
        within = most // pp if pp == 1 else min(most // pp, domain)
        whole = _powers(domain)[-1]
        found += [replace(s, pp=pp) for s in _stage(spec, domain, within) if pp == 1 or s.chips == whole]
    fits = []
    for shape in found:
        try:
            parallel_plan(spec, shape)
        except ParallelismError:
            continue
        fits.append(shape)
    return sorted(fits, key=lambda s: (s.chips, s.pp, s.dp))


def _stage(spec: ModelSpec, domain: int, most: int) -> Iterator[Shape]:
    for tp in _powers(min(domain, most, WIDEST_TP)):
        yield Shape(tp)
        if spec.is_moe and tp > 1:
            yield Shape(tp, moe_tp=1, moe_ep=tp)
        if spec.is_moe and tp <= WIDEST_SHARED_TP:
            for dp in _powers(most // tp):
                if dp > 1:
                    yield Shape(tp, dp=dp, moe_tp=1, moe_ep=tp * dp)


def _powers(most: int) -> list[int]:
    return [1 << n for n in range(max(most, 1).bit_length())] if most >= 1 else []
