"""One optimiser step of a training run: what is trained, its time by part, its memory."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.catalog.model import ModelSpec
from windtunnel.cost.evidence import Evidence
from windtunnel.plan.training.layout import Layout
from windtunnel.plan.training.memory import TrainingMemory
from windtunnel.plan.training.pipeline import Stages
from windtunnel.plan.training.times import Spent


@dataclass(frozen=True, slots=True)
class Work:
    """What is trained: sequences of ``length`` tokens, ``batch`` of them a step, in ``precision``; drafts: with the model's
    layers of multi-token prediction; exact: the batch is to be so large, not about."""

    spec: ModelSpec
    length: int
    batch: int
    precision: str = "bf16"
    optimizer: str = "adam"
    drafts: bool = False
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step. Seconds by part: compute and the exchanges inside layers (``inside``, of all micro-batches on the
    fullest stage), recomputation, the pipeline's bubble and its sends, the exchange of gradients and weights that
    nothing hides, the optimiser. beyond_share: of the accounted time, what published runs take beyond it. again_share: FLOPs
    that recomputation adds, over those that are needed."""

    layout: Layout
    micro_batches: int
    stage: Stages
    inside: Spent
    again_s: float
    bubble_s: float
    sends_s: float
    replicas_s: float
    optimizer_s: float
    memory: TrainingMemory
    tokens: float
    evidence: Evidence
    spread: float
    again_share: float = 0.0
    beyond_share: float = 0.0

    @property
    def accounted_s(self) -> float:
        return self.inside.total + self.again_s + self.bubble_s + self.sends_s + self.replicas_s + self.optimizer_s

    @property
    def beyond_s(self) -> float:
        """What published runs of the framework take beyond all that is accounted for."""
        return self.accounted_s * self.beyond_share

    @property
    def total_s(self) -> float:
        return self.accounted_s + self.beyond_s

    @property
    def tokens_per_s(self) -> float:
        """Of all chips."""
        return self.tokens / self.total_s

    @property
    def tokens_per_s_per_chip(self) -> float:
        return self.tokens_per_s / self.layout.chips
