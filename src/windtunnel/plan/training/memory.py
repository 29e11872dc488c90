"""Bytes that the fullest rank of a training run holds, by what they are for."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.catalog.chip import Chip
from windtunnel.plan.training.layout import Layout
from windtunnel.plan.training.pipeline import copies
from windtunnel.units import GIBI
from windtunnel.workload.training import LayerNumbers

CONTEXT_BYTES = 2.0 * GIBI
"""The driver's context, the libraries' work spaces and the buffers of collectives: of the order of what an idle process with a
few communicators holds. An assumption."""
FRAGMENTED = 0.06
"""Share of the memory that a caching allocator cannot give. An assumption; PyTorch's expandable segments leave a few percent."""

STATES = {"adam": 12.0, "adam-bf16": 8.0, "sgd": 8.0}
"""Bytes a weight of the optimiser: FP32 master weights with two FP32 moments, two BF16 moments (DeepSeek-V3, arXiv 2412.19437,
section 3.3.3), or one FP32 momentum. **Source:** Rajbhandari et al. 2020 (ZeRO, arXiv 1910.02054, section 3.1)."""
GRADIENT_BYTES = 4.0
"""Gradients are summed in FP32 over micro-batches."""
WEIGHT_BYTES = {"bf16": 2.0, "fp8": 3.0, "fp4": 3.0}
"""16-bit weights for the products; with narrow products a narrow copy beside them that a step's micro-batches share."""


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes on the fullest rank. buffers: the context, the layer that is gathered or run again, logits; fragmented: what the
    allocator cannot give; capacity: of the chip."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    buffers: float
    fragmented: float
    capacity: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations + self.buffers + self.fragmented

    @property
    def fits(self) -> bool:
        return self.total <= self.capacity

    @property
    def headroom(self) -> float:
        """Share of the memory that stays free."""
        return 1.0 - self.total / self.capacity


def training_memory(
    on: Chip,
    layout: Layout,
    held: LayerNumbers,
    layers: float,
    table: float,
    kept: float,
    whole: float,
    flying: float,
    logits: float,
    *,
    optimizer: str = "adam",
    precision: str = "bf16",
) -> TrainingMemory:
    """The first or the last stage.

    held: weights of a rank's ``layers`` layers, ``table`` of its embedding or head. kept: bytes of activations of one layer
    and micro-batch that wait for the backward pass, whole: of one layer with everything kept (what full recomputation
    brings back, one layer at a time). flying: micro-batches in flight. logits: bytes of the head's.
    """
    numbers = (held.dense + table) * copies(layout), held.experts * copies(layout)
    groups = (layout.alike, layout.experts_alike)
    wide = WEIGHT_BYTES.get(precision, 3.0)

    def split(stage: int) -> float:
        """Weights of a rank's share where ``zero`` splits from ``stage`` on."""
        return sum(n / (g if layout.zero >= stage else 1) for n, g in zip(numbers, groups, strict=True))

    gathered = 0.0
    if layout.zero >= 3:
        # the layer at work and the next, whole
        gathered = 2.0 * wide * sum(numbers) / max(layers, 1.0)
    again = whole if layout.recompute == "full" else max(whole - kept, 0.0)
    capacity = on.value("memory_bytes")
    return TrainingMemory(
        weights=wide * split(3),
        gradients=GRADIENT_BYTES * split(2),
        optimizer=STATES[optimizer] * split(1),
        activations=kept * layers * flying,
        buffers=CONTEXT_BYTES + gathered + again + logits,
        fragmented=FRAGMENTED * capacity,
        capacity=capacity,
    )
