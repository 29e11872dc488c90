"""A model on a chip in the loop of a framework: the step that each layout makes of it.

Prices of layers are kept, of which layouts share many, so that a search pays for each cut once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from windtunnel.cost.evidence import Evidence
from windtunnel.cost.model import CostModel
from windtunnel.errors import InvalidInputError
from windtunnel.plan.training.beyond import beyond
from windtunnel.plan.training.framework import Framework
from windtunnel.plan.training.layout import Layout
from windtunnel.plan.training.memory import GRADIENT_BYTES, STATES, TrainingMemory, training_memory
from windtunnel.plan.training.pipeline import Stages, bubble_s, in_flight, stages
from windtunnel.plan.training.step import Step, Work
from windtunnel.plan.training.times import NONE, NOTHING, Spent, Timer, WorkTimes, domains
from windtunnel.workload.llm.parallel import draft_layer
from windtunnel.workload.llm.precision import PrecisionPlan
from windtunnel.workload.ops import Collective, Elementwise, Gemm
from windtunnel.workload.training import Cut, LayerNumbers, as_pass, embedding_work, head_work, layer_numbers, layer_work
from windtunnel.workload.training import model_flops_per_token as needed_flops

ADAM_PASSES = 30.0
"""Bytes a weight that an Adam step moves: gradient, master weight and two moments read, the last three and the 16-bit weight
written."""

MOST_ROUNDED = 1.25
"""A batch that is only about so large grows to at most so much of it where a layout needs more."""


@dataclass(frozen=True, slots=True)
class _Layers:
    """Mean layer, extra layers of multi-token prediction, head and embedding under one cut."""

    layer: WorkTimes
    head: WorkTimes
    embedding: WorkTimes
    kept: dict[str, float]
    logits: float
    numbers: LayerNumbers
    evidence: Evidence
    spread: float


class Run:
    """``work`` on a chip whose cost model (with the links of its system) is ``costs``, in the loop of a framework.

    beyond_share: instead of what published runs of that framework take beyond their operators. name: of the chip, of which
    ``devices`` ranks are one.
    """

    def __init__(
        self,
        work: Work,
        costs: CostModel,
        loop: Framework,
        beyond_share: float | None = None,
        *,
        name: str = "",
        devices: int = 1,
    ) -> None:
        self.work, self.costs, self.loop = work, costs, loop
        self.name, self.devices = name or costs.chip.id, devices
        self.beyond_share = beyond().of(loop.id) if beyond_share is None else beyond_share
        narrow = work.precision if work.precision not in ("bf16", "fp16") else costs.wide
        dispatch = "fp8" if work.precision == "fp8" and work.spec.is_moe else "bf16"
        # attention, router, embedding and head stay 16 bit (DeepSeek-V3, arXiv 2412.19437, section 3.3; Transformer Engine)
        self.precision = PrecisionPlan(narrow, narrow, narrow, dispatch=dispatch)
        self.layers = work.spec.n_layers
        self._cuts: dict[tuple[int, ...], _Layers] = {}

    def told(self, ranks: int) -> str:
        """``64 ascend-910c``: so many ranks as chips."""
        return f"{ranks // self.devices:,} {self.name}"

    def flops_per_token(self) -> float:
        """By the convention of MFU."""
        return needed_flops(self.work.spec, self.work.length)

    def micro_batches(self, layout: Layout) -> int:
        """Of a step on one replica. Raises InvalidInputError where the batch does not divide."""
        each = layout.dp * layout.micro_batch
        if not self.work.exact and each <= self.work.batch * MOST_ROUNDED:
            return max(round(self.work.batch / each), 1)
        if self.work.batch % each:
            near = max(round(self.work.batch / each), 1) * each
            raise InvalidInputError(
                "batch", f"{self.work.batch} sequences are not cut evenly over {layout.dp} replicas of {layout.micro_batch}; "
                f"nearest that would do: {near}"
            )  # fmt: skip
        return self.work.batch // each

    def step(self, layout: Layout) -> Step:
        """The step under a layout that was checked. Raises InvalidInputError, MissingFactError, UnsupportedError."""
        m, cut = self.micro_batches(layout), self._cut(layout)
        layer = cut.layer
        layer_s = layer.forward.total + layer.backward.total
        head_s = cut.head.forward.total + cut.head.backward.total
        layer_s += self._again(layer, layout).total
        stage = stages(self.layers, layout, layer_s, head_s, even=self.loop.even)
        pace, layers = self._pace(layout, cut, stage, layer_s, head_s)
        forward, backward, again = pace.forward, pace.backward, self._again(layer, layout).times(layers)
        if self._hides_experts(layout):
            forward, backward, again = (self._beside(part) for part in (forward, backward, again))
        each_s = forward.total + backward.total + again.total
        inside = (forward + backward).times(m)
        replicas_s = self._replicas_s(layout, cut, stage, m, forward.total, backward.total + again.total)
        return Step(
            layout=layout,
            micro_batches=m,
            stage=stage,
            inside=inside,
            again_s=again.total * m,
            bubble_s=bubble_s(layout, forward.total, each_s - forward.total, pace.weights),
            sends_s=self._sends_s(layout, m),
            replicas_s=replicas_s,
            optimizer_s=self._optimizer_s(layout, cut, stage),
            memory=self.memory(layout, stage, m),
            tokens=float(m) * layout.micro_batch * layout.dp * self.work.length,
            evidence=cut.evidence,
            spread=cut.spread,
            again_share=self._again_flops(layout),
            beyond_share=self.beyond_share,
        )

    def memory(self, layout: Layout, stage: Stages, micro_batches: int) -> TrainingMemory:
        """Of the fuller of the first and the last stage."""
        cut = self._cut(layout)
        table = float(self.work.spec.vocab) * self.work.spec.hidden / layout.tp
        both = []
        for layers, tables, flying, logits in (
            (stage.each, 1.0, in_flight(layout, micro_batches), 0.0),
            (stage.last, 1.0 if layout.pp > 1 or self.work.spec.tied_embeddings else 2.0, 1.0, cut.logits),
        ):
            if layout.schedule == "dualpipe" and layout.pp > 1:
                # the rank with the last stage has the first as well; its neighbours have neither embedding nor head
                flying = in_flight(layout, micro_batches)
                tables = 0.0 if logits == 0.0 else 1.0
            both.append(
                training_memory(
                    self.costs.chip,
                    layout,
                    LayerNumbers(cut.numbers.dense * layers, cut.numbers.experts * layers),
                    layers,
                    tables * table,
                    cut.kept[layout.recompute],
                    cut.kept["none"],
                    flying,
                    logits,
                    optimizer=self.work.optimizer,
                    precision=self.work.precision,
                )
            )
        return max(both, key=lambda memory: memory.total)

    def _again(self, layer: WorkTimes, layout: Layout) -> Spent:
        if layout.recompute == "none":
            return NONE
        return layer.forward if layout.recompute == "full" else layer.again

    def _again_flops(self, layout: Layout) -> float:
        return {"none": 0.0, "selective": 0.0, "full": 1.0 / 3.0}[layout.recompute]

    def _hides_experts(self, layout: Layout) -> bool:
        return layout.ep > 1 and (layout.schedule == "dualpipe" or self.loop.experts_beside)

    def _beside(self, part: Spent) -> Spent:
        """Exchanges with experts beside another micro-batch's work: what is longer is waited for; the exchange takes its share
        of the chip."""
        taken = Timer(self.costs, self.loop).taken
        hidden = min(part.experts, part.computing / (1.0 + taken))
        return replace(part, experts=part.experts - hidden, slowed=part.slowed + hidden * taken)

    def _pace(self, layout: Layout, cut: _Layers, stage: Stages, layer_s: float, head_s: float) -> tuple[WorkTimes, float]:
        """(work of the slowest stage, layers of it): the first with its embedding, or the last with its head. Under DualPipe a
        rank does half of the micro-batches for either of its stages; that of the first has the last as well."""
        if layout.pp == 1:
            return cut.layer.times(stage.last) + cut.head + cut.embedding, stage.last
        if layout.schedule == "dualpipe":
            ends = cut.layer.times(stage.last) + cut.head.times(0.5) + cut.embedding.times(0.5)
            inner = cut.layer.times(stage.each)
            return (inner, stage.each) if stage.each * layer_s >= _seconds(ends) else (ends, stage.last)
        if stage.each * layer_s >= stage.last * layer_s + head_s:
            return cut.layer.times(stage.each) + cut.embedding, stage.each
        return cut.layer.times(stage.last) + cut.head, stage.last

    def _cut(self, layout: Layout) -> _Layers:
        key = (layout.tp, layout.cp, layout.ep, layout.micro_batch, layout.pp > 1)
        found = self._cuts.get(key)
        if found is None:
            found = self._cuts[key] = self._priced(layout)
        return found

    def _priced(self, layout: Layout) -> _Layers:
        work, spec = self.work, self.work.spec
        cut = Cut(
            layout.micro_batch, work.length, layout.tp, layout.cp, layout.ep, layout.etp, self.precision,
            self.loop.split_sequence, self.loop.once, self.loop.permute,
        )  # fmt: skip
        timer = Timer(self.costs, self.loop)
        mean, dense, experts = NOTHING, 0.0, 0.0
        kept = {"none": 0.0, "selective": 0.0, "full": 0.0}
        for layer in spec.layers:
            share, told = layer.count / self.layers, layer_work(spec, layer, cut)
            mean = mean + timer.work(told, layout).times(share)
            numbers = layer_numbers(spec, layer, layout.tp, layout.ep, layout.etp)
            dense, experts = dense + numbers.dense * share, experts + numbers.experts * share
            kept = {name: kept[name] + size * share for name, size in told.kept.items()}
        head = timer.work(head_work(spec, cut), layout)
        if work.drafts and spec.mtp_layers:
            join = Gemm("mtp_join_proj", cut.tokens, spec.hidden / layout.tp, 2.0 * spec.hidden, self.precision.attention, 3.0)
            more = timer.work(layer_work(spec, draft_layer(spec), cut), layout)
            joined = WorkTimes(timer.ops([replace(join, count=1.0)]), timer.ops([replace(join, count=2.0)]), 0.0, NONE)
            head = head + (more + head + joined).times(float(spec.mtp_layers))
        embedding = timer.work(embedding_work(spec, cut), layout)
        spread = timer.spread_s / timer.seen_s if timer.seen_s else 0.0
        logits = 6.0 * cut.tokens * spec.vocab / layout.tp
        return _Layers(mean, head, embedding, kept, logits, LayerNumbers(dense, experts), timer.evidence, spread)

    def _weights(self, layout: Layout, cut: _Layers, stage: Stages) -> tuple[float, float]:
        """(dense, experts') weights on the fullest rank."""
        layers = max(stage.each, stage.last)
        table = float(self.work.spec.vocab) * self.work.spec.hidden / layout.tp
        tables = 2.0 if layout.pp == 1 and not self.work.spec.tied_embeddings else 1.0
        doubled = 2.0 if layout.schedule == "dualpipe" and layout.pp > 1 else 1.0
        return (cut.numbers.dense * layers + tables * table) * doubled, cut.numbers.experts * layers * doubled

    def _replicas_s(self, layout: Layout, cut: _Layers, stage: Stages, m: int, forward_s: float, backward_s: float) -> float:
        """Seconds of exchanges between replicas that nothing hides: gradients beside the last micro-batch's backward pass,
        weights beside the first's forward; with weights split (zero 3), of every micro-batch."""
        domain = self.costs.links.domain
        gradients = weights = 0.0
        groups = ((layout.alike, layout.tp), (layout.experts_alike, layout.ep * layout.etp))
        for numbers, (ranks, inner) in zip(self._weights(layout, cut, stage), groups, strict=True):
            if ranks > 1 and numbers:
                where = domains(ranks, inner, domain)
                if layout.zero == 0:
                    gradients += self._exchange("gradient_sum", "all_reduce", GRADIENT_BYTES * numbers, ranks, where)
                    continue
                gradients += self._exchange("gradient_scatter", "reduce_scatter", GRADIENT_BYTES * numbers, ranks, where)
                weights += self._exchange("weight_gather", "all_gather", 2.0 * numbers, ranks, where)
        if not self.loop.gradients:
            return (gradients + weights) if layout.zero < 3 else m * (gradients + 2.0 * weights)
        # where it runs beside, an exchange ends with its last bucket, a layer's
        tail = 1.0 / max(stage.each, stage.last, 1.0)
        if layout.zero >= 3:
            # gathered for the forward and for the backward pass; gradients scattered; each micro-batch
            ahead, back = max(weights - forward_s, tail * weights), max(weights + gradients - backward_s, tail * gradients)
            return m * (ahead + back)
        each = m if layout.zero == 2 else 1
        return each * max(gradients - backward_s, tail * gradients) + max(weights - forward_s, tail * weights)

    def _exchange(self, name: str, kind: str, size: float, ranks: int, where: float) -> float:
        op = Collective(name, kind, size, float(ranks), domains=where)  # type: ignore[arg-type]
        return self.costs.cost(op).time_s

    def _sends_s(self, layout: Layout, m: int) -> float:
        """A micro-batch's activations to the next stage and its gradients back, at each end of each of a rank's parts."""
        if layout.pp == 1:
            return 0.0
        tokens = layout.micro_batch * self.work.length / layout.cp
        size = 2.0 * tokens / (layout.tp if self.loop.split_sequence else 1) * self.work.spec.hidden
        inside = layout.stage_chips * 2 <= self.costs.links.domain
        op = Collective("pp_send", "p2p", size, 2.0, domains=1.0 if inside else 2.0)
        if layout.schedule in ("zero-bubble", "dualpipe"):
            return 0.0  # both send beside the other direction's work
        return 2.0 * m * layout.chunks * self.costs.cost(op).time_s

    def _optimizer_s(self, layout: Layout, cut: _Layers, stage: Stages) -> float:
        dense, experts = self._weights(layout, cut, stage)
        own = dense + experts
        if layout.zero:
            own = dense / layout.alike + experts / layout.experts_alike
        moved = own * (ADAM_PASSES * STATES[self.work.optimizer] / STATES["adam"] + GRADIENT_BYTES)
        return self.costs.cost(as_pass(Elementwise("optimizer", moved))).time_s


def _seconds(work: WorkTimes) -> float:
    return work.forward.total + work.backward.total
