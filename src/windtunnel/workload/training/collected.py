"""What the parts of a model share: operators with their gradients, what is kept between the two, exchanges of a tensor-parallel
group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from windtunnel.workload.ops import Collective, Elementwise, Gemm, Op, activation_bytes
from windtunnel.workload.training.cut import Cut

Group = Literal["tp", "cp", "ep"]

GRADIENT_PASSES = 1.5
"""Bytes of an element-wise operator's gradient over its own: a gated activation reads three tensors and writes two where it
reads two and writes one, a norm with its residual reads three and writes two where it reads two and writes two."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A collective of a layer. beside: whether a product of the same layer can run at the same time (a gradient of weights
    beside the sum of the input's, a product of inputs beside the gathering of what the weights' gradient needs)."""

    op: Collective
    group: Group
    forward: bool
    beside: bool = False


@dataclass(frozen=True, slots=True)
class LayerWork:
    """What one layer does with one micro-batch.

    forward; backward: gradients of inputs, with attention's and the element-wise; weights: gradients of weights, which a
    zero-bubble schedule may put off; again: what selective recomputation runs a second time. kept: bytes that the backward
    pass needs of the forward, by recomputation: none, selective (norms, activation functions and latent
    attention's up-projections are run again), full (the layer's input alone is kept).
    """

    forward: Sequence[Op]
    backward: Sequence[Op]
    weights: Sequence[Op]
    again: Sequence[Op]
    exchanges: Sequence[Exchange]
    kept: dict[str, float] = field(default_factory=dict)


class Collected:
    """Collects a layer's operators, their gradients, and what is kept between the two."""

    def __init__(self, hidden: float, cut: Cut) -> None:
        self.hidden, self.cut = hidden, cut
        self.forward: list[Op] = []
        self.backward: list[Op] = []
        self.weights: list[Op] = []
        self.again: list[Op] = []
        self.exchanges: list[Exchange] = []
        self.kept = self.spared = 0.0

    def done(self) -> LayerWork:
        kept = {"none": self.kept, "selective": self.kept - self.spared, "full": 2.0 * self.cut.own * self.hidden}
        return LayerWork(self.forward, self.backward, self.weights, self.again, self.exchanges, kept)

    def keep(self, size: float, spared: float = 0.0) -> None:
        """``size`` bytes wait for the backward pass; selective recomputation makes ``spared`` of them anew."""
        self.kept += size
        self.spared += spared

    def norm(self, name: str) -> None:
        """Residual added, normalised: two tensors read, two written; its input is kept."""
        size = 2.0 * self.cut.own * self.hidden
        self.pointwise(Elementwise(name, 4.0 * size), size, again=True)

    def pointwise(self, op: Elementwise, kept: float, *, again: bool = False) -> None:
        self.forward.append(op)
        self.backward.append(replace(op, name=f"{op.name}_backward", bytes=GRADIENT_PASSES * op.bytes))
        self.keep(kept)
        if again:
            self.again.append(op)

    def product(self, op: Gemm, *, keep: bool = True, spared: bool = False, own: bool = False) -> None:
        """A product with weights, and its two gradients; own: its input is held 1/tp on each rank. The weights' gradient is
        added to an FP32 sum."""
        self.forward.append(op)
        self.backward.append(Gemm(f"{op.name}_dgrad", op.m, op.k, op.n, op.dtype, op.count, op.batch))
        self.weights.append(Gemm(f"{op.name}_wgrad", op.k, op.n, op.m, op.dtype, op.count, op.batch))
        self.weights.append(Elementwise(f"{op.name}_sum", 6.0 * op.batch * op.k * op.n, count=op.count))
        if keep:
            share = self.cut.own / self.cut.tokens if own else 1.0
            size = op.batch * op.m * op.k * activation_bytes(op.dtype) * op.count * share
            self.keep(size, size if spared else 0.0)

    def enter(self) -> None:
        """What every rank of a tensor-parallel group needs of the others, before products cut by columns. Backward, it is
        gathered anew beside the input's gradient, and that gradient is summed beside the weights'."""
        cut = self.cut
        if cut.tp == 1:
            return
        size, ranks = 2.0 * cut.tokens * self.hidden, float(cut.tp)
        if cut.split_sequence:
            self._exchange("gather", "all_gather", size, True)
            self._exchange("gather_again", "all_gather", size, False, beside=True)
            self._exchange("gradient_scatter", "reduce_scatter", size, False, beside=True)
        else:
            self.exchanges.append(Exchange(Collective("gradient_sum", "all_reduce", size, ranks), "tp", False, True))

    def leave(self) -> None:
        """Sums over the group, after products cut by rows (and the embedding)."""
        cut = self.cut
        if cut.tp == 1:
            return
        size = 2.0 * cut.tokens * self.hidden
        if cut.split_sequence:
            self._exchange("scatter", "reduce_scatter", size, True)
            self._exchange("gradient_gather", "all_gather", size, False)
        else:
            self._exchange("sum", "all_reduce", size, True)
        if cut.dropout:
            self.keep(cut.own * self.hidden)

    def _exchange(
        self, name: str, kind: Literal["all_gather", "reduce_scatter", "all_reduce"], size: float, forward: bool, *,
        beside: bool = False,
    ) -> None:  # fmt: skip
        self.exchanges.append(Exchange(Collective(f"tp_{name}", kind, size, float(self.cut.tp)), "tp", forward, beside))
