"""What a step's time and a chip's memory are made of, as tables and plots name it."""

from __future__ import annotations

from windtunnel.plan.training.memory import TrainingMemory
from windtunnel.plan.training.step import Step

STEP = ("products", "attention", "passes", "recompute", "TP, CP", "EP", "PP", "update", "beyond")
"""Matrix products; attention; passes over memory; what is run again; exchanges of tensor and context parallelism with what
they take from products beside them; experts' exchanges; bubble and sends; gradients', weights' and the optimiser's; what
published runs take beyond."""
MEMORY = ("weights", "gradients", "optimiser", "activations", "buffers", "lost")


def step_parts(step: Step) -> tuple[float, ...]:
    """Seconds, in the order of STEP; their sum is the step's."""
    inside = step.inside
    return (
        inside.products,
        inside.attention,
        inside.passes,
        step.again_s,
        inside.tensor + inside.slowed + inside.context,
        inside.experts,
        step.bubble_s + step.sends_s,
        step.replicas_s + step.optimizer_s,
        step.beyond_s,
    )


def memory_parts(memory: TrainingMemory) -> tuple[float, ...]:
    """Bytes, in the order of MEMORY."""
    m = memory
    return (m.weights, m.gradients, m.optimizer, m.activations, m.buffers, m.fragmented)


def layout_text(step: Step) -> str:
    """``TP8 PP16 DP128, 16 x 1 seq, recompute selective, ZeRO-1, interleaved x 4``."""
    layout = step.layout
    parts = [layout.text, f"{step.micro_batches} x {layout.micro_batch} seq"]
    if layout.recompute != "none":
        parts.append(f"recompute {layout.recompute}")
    if layout.zero:
        parts.append(f"ZeRO-{layout.zero}")
    if layout.pp > 1:
        parts.append(f"{layout.schedule} x {layout.chunks}" if layout.chunks > 1 else layout.schedule)
    return ", ".join(parts)


def tokens_text(tokens: float) -> str:
    """``14.8 trillion``."""
    for factor, name in ((1e15, "quadrillion"), (1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if tokens >= factor:
            return f"{tokens / factor:,.4g} {name}"
    return f"{tokens:,.0f}"


def hours_text(seconds: float) -> str:
    """``45 s``, ``15 min``, ``3.1 h``, ``12 days``: of what is rare."""
    for factor, name, upto in ((1.0, "s", 90.0), (60.0, "min", 5_400.0), (3_600.0, "h", 259_200.0)):
        if seconds < upto:
            return f"{seconds / factor:.3g} {name}"
    return f"{seconds / 86_400.0:,.3g} days"
