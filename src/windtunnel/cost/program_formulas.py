"""Time of the operators that programs have beside served models: convolutions, passes over memory, attention over all keys.

The same rules as in ``formulas``: closed formulas over numbers or NumPy arrays, a smooth maximum of compute and memory
time plus a fixed start, parameters with their unit in the name. Each returns (time, compute part, memory part), in seconds.
"""

from __future__ import annotations

from typing import Any

from windtunnel.cost.formulas import Machine, Numbers, Params, Times

SLOWED = (
    "copy", "transpose", "reduction", "norm", "softmax", "pool", "gather", "scatter", "resample", "sort", "random",
    "optimizer", "scan", "spectral", "other",
)  # fmt: skip
"""Kinds of passes with a factor of their own on the time of a pointwise one over the same bytes."""


def _smooth_max(a: Any, b: Any, sharpness: float) -> Any:
    return (a**sharpness + b**sharpness) ** (1.0 / sharpness)


def _moving(xp: Numbers, p: Params, bytes_per_s: Any, cache_bytes: Any, moved: Any) -> Any:
    """Time to move ``moved`` bytes, of which those that the call before left in the last cache come faster.

    Of tensors larger than the cache nothing is left when they are read again from their start. ``cache_gain``: how many
    times faster the cache is than the memory.
    """
    slow = moved / (bytes_per_s * p["memory"])
    kept = 1.0 / (1.0 + (moved / xp.maximum(cache_bytes * p["cache_share"], 1.0)) ** 2)
    return slow * (1.0 - kept * (1.0 - 1.0 / p["cache_gain"]))


def convolution(
    xp: Numbers, p: Params, machine: Machine, m: Any, n: Any, k: Any, groups: Any, images: Any, weights: Any, window: Any,
    planar: Any,
) -> Times:  # fmt: skip
    """A convolution as the matrix product it is: m places of the result, by n channels of one group, k deep.

    images, weights: bytes of input and result, and of the weights. window: 1 where the kernel sees more than one place.
    planar: 1 where memory holds one channel after the other. Matrix units want the channels innermost, so planar images
    are turned on the way, each once more read and written.
    """
    deep, wide = k + p["fill"], n + p["pad"]
    compute = 2.0 * groups * m * wide * deep / (machine.flops_per_s * p["compute"])
    several = xp.minimum(groups - 1.0, 1.0)
    grouped = 1.0 + several * (p["grouped"] + planar * (p["planar_grouped"] - p["grouped"]))
    compute = compute * (1.0 + window * p["window"]) * (1.0 + planar * p["planar_compute"]) * grouped
    turned = planar * (p["turn"] + (p["turn_window"] - p["turn"]) * window)
    memory = _moving(xp, p, machine.bytes_per_s, machine.cache_bytes, images * (1.0 + turned) + weights)
    return _smooth_max(compute, memory, p["sharpness"]) + p["start_us"] * 1e-6, compute, memory


def depthwise(
    xp: Numbers, p: Params, bytes_per_s: Any, cache_bytes: Any, vector_flops_per_s: Any, flops: Any, moved: Any, planar: Any
) -> Times:
    """A convolution of each channel by itself, on the vector units (0: their rate is not known, then memory alone counts)."""
    rate = vector_flops_per_s * p["compute"]
    compute = xp.minimum(flops / xp.maximum(rate, 1e-9), rate * 1e30) * (1.0 + planar * p["planar_compute"])
    memory = _moving(xp, p, bytes_per_s, cache_bytes, moved) * (1.0 + planar * p["planar"])
    return _smooth_max(compute, memory, p["sharpness"]) + p["start_us"] * 1e-6, compute, memory


def walk(xp: Numbers, p: Params, bytes_per_s: Any, cache_bytes: Any, moved: Any, slowed: Any) -> Times:
    """A pass over memory; slowed: its kind's factor over a pointwise pass in order."""
    memory = _moving(xp, p, bytes_per_s, cache_bytes, moved) * slowed
    return memory + p["start_us"] * 1e-6, memory * 0.0, memory


def slowed(p: Params, kind: str, contiguous: bool) -> float:
    """How many times longer a pass of this kind takes than a pointwise one that walks in order."""
    factor = p.get(kind, 1.0)
    return factor if contiguous or kind == "transpose" else factor * p["strided"]


def attention_full(xp: Numbers, p: Params, machine: Machine, flops: Any, moved: Any, queries: Any, keys: Any, head: Any) -> Times:
    """Attention in which every query sees every key: tiles are filled up along both, and along narrow heads."""
    filled = (1.0 + p["pad_queries"] / queries) * (1.0 + p["pad_keys"] / keys) * (1.0 + p["narrow_head"] / head)
    compute = flops / (machine.wide_flops_per_s * p["compute"]) * filled
    memory = moved / (machine.bytes_per_s * p["memory"])
    return _smooth_max(compute, memory, p["sharpness"]) + p["start_us"] * 1e-6, compute, memory
