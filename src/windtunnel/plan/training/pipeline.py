"""Pipeline schedules: which stage is the fullest, how long the bubble is, how many micro-batches are in flight.

**Source:** 1F1B and interleaved: Narayanan et al. 2021 (arXiv 2104.04473, section 2.2); zero bubble (ZB-H1) and DualPipe:
DeepSeek-V3 (arXiv 2412.19437, table 2).
"""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.plan.training.layout import Layout


@dataclass(frozen=True, slots=True)
class Stages:
    """Layers of every stage but the last, and of the last, which has the head (and what comes with it)."""

    each: float
    last: float


def stages(layers: int, layout: Layout, layer_s: float, head_s: float, *, even: bool) -> Stages:
    """The cut in which the slowest stage is the fastest; evenly where ``even`` and the layers divide.

    Under DualPipe a rank holds a stage and its mirror image, so what the last has too much is shared with the first.
    """
    if layout.pp == 1:
        return Stages(float(layers), float(layers))
    if layout.schedule == "dualpipe":
        pairs = layout.pp // 2
        best = _balanced(layers, pairs, layer_s, head_s)
        return Stages(best.each / 2.0, best.last / 2.0)
    parts = layout.pp * layout.chunks
    if even and layers % parts == 0:
        return Stages(layers / layout.pp, layers / layout.pp)
    return _balanced(layers, layout.pp, layer_s, head_s)


def _balanced(layers: int, parts: int, layer_s: float, head_s: float) -> Stages:
    if parts == 1:
        return Stages(float(layers), float(layers))
    found = []
    for each in range(-(-layers // parts), -(-layers // (parts - 1)) + 1):
        last = max(layers - each * (parts - 1), 0)
        found.append((max(each * layer_s, last * layer_s + head_s), each, last))
    _, each, last = min(found)
    return Stages(float(each), float(last))


def bubble_s(layout: Layout, forward_s: float, backward_s: float, weights_s: float) -> float:
    """Seconds a step in which a stage waits; backward_s includes weights_s, the weights' gradients. All of one stage and
    micro-batch."""
    p = layout.pp
    if p == 1:
        return 0.0
    both = forward_s + backward_s
    if layout.schedule == "zero-bubble":
        return (p - 1.0) * max(forward_s + (backward_s - weights_s) - weights_s, 0.0)
    if layout.schedule == "dualpipe":
        # a stage is two half-stages here as well: DualPipe's own count of stages
        return (p / 2.0 - 1.0) * max(both + backward_s - 3.0 * weights_s, 0.0)
    return (p - 1.0) * both / layout.chunks


def in_flight(layout: Layout, micro_batches: int) -> float:
    """Micro-batches whose activations the first stage holds at once."""
    p = float(layout.pp)
    if p == 1:
        return 1.0
    if layout.schedule == "interleaved":
        most = p * (1.0 + (p - 1.0) / (p * layout.chunks))
    elif layout.schedule == "dualpipe":
        most = p + 1.0
    else:
        most = p
    return min(most, float(micro_batches))


def copies(layout: Layout) -> float:
    """Times that a rank holds its share of the weights: twice under DualPipe."""
    return 2.0 if layout.schedule == "dualpipe" and layout.pp > 1 else 1.0
