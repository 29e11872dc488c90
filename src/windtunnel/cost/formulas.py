"""Time of one operator on one chip: closed formulas with a few parameters a family.

Every formula has the same shape: a smooth maximum of the compute time and the memory time, each at an efficiency
that depends on the operator's shape, plus a fixed start. They take numbers or NumPy arrays, through ``xp``, so
that a prediction (one number, no NumPy) and a fit (thousands of points) run the same lines.

Parameters carry their unit in the name: ``_us`` microseconds, ``_ns`` nanoseconds; those without are ratios.
Each function returns (time, compute part, memory part), in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Params = Mapping[str, float]
Times = tuple[Any, Any, Any]

CACHE_ROTATION = 6.0
"""Copies of the operands that the published operator sweeps rotate through, so that only what is six times
smaller than the cache is read from it (the caveat that these tables print of themselves)."""


class Numbers(Protocol):
    """What the formulas need of a number library."""

    maximum: Any
    minimum: Any
    exp: Any
    log: Any
    sqrt: Any


class _Plain:
    """The number library of a single prediction."""

    maximum = staticmethod(max)
    minimum = staticmethod(min)
    exp = staticmethod(math.exp)
    log = staticmethod(math.log)
    sqrt = staticmethod(math.sqrt)


PLAIN: Numbers = _Plain()


@dataclass(frozen=True, slots=True)
class Machine:
    """The datasheet figures that a formula sees: peak FLOP/s of the operator's type and of 16-bit floats,
    memory bytes/s, bytes of the last cache (0: not known, then nothing is read from it)."""

    flops_per_s: Any
    wide_flops_per_s: Any
    bytes_per_s: Any
    cache_bytes: Any


def _smooth_max(a: Any, b: Any, sharpness: float) -> Any:
    return (a**sharpness + b**sharpness) ** (1.0 / sharpness)


def _from_memory(xp: Numbers, p: Params, machine: Machine, moved: Any, held: Any) -> Any:
    """Time to move ``moved`` bytes, faster where what is ``held`` stays in the last cache.

    The cache's bandwidth scales with the chip's compute rather than with its memory: it feeds the same units.
    """
    slow = moved / (machine.bytes_per_s * p["memory"])
    fast = xp.minimum(slow, moved * 1e3 / (machine.wide_flops_per_s * p["cache_rate"]))
    cold = 1.0 / (1.0 + (machine.cache_bytes * p["cache_share"] / xp.maximum(held, 1.0)) ** 4)
    return slow * cold + fast * (1.0 - cold)


def gemm(xp: Numbers, p: Params, machine: Machine, m: Any, n: Any, k: Any, batch: Any, width: Any, warm: Any) -> Times:
    """``batch`` products m x k by k x n with weights of ``width`` bytes; warm: 1 where operands may lie in the cache.

    Inputs that are quantised on the way pay for reading 16-bit activations and writing them narrow (of other types
    the fitted parameters of that pass are next to nothing).
    """
    weights = batch * n * k * width
    moved = weights + batch * m * (k * xp.minimum(width, 2.0) + 2.0 * n)
    compute = 2.0 * batch * (m + p["pad"]) * n * k / (machine.flops_per_s * p["compute"]) * (1.0 + p["fill"] / k)
    compute = compute + p["depth_us"] * 1e-6 * ((k + p["fill"]) / 1000.0) ** p["depth_power"]
    memory = _from_memory(xp, p, machine, moved, CACHE_ROTATION * weights / xp.maximum(warm, 1e-9))
    quantise = m * p["quant_row_ns"] * 1e-9 + m * k * (2.0 + width) * p["quant_pass"] / machine.bytes_per_s
    total = _smooth_max(compute, memory, p["sharpness"]) + p["start_us"] * 1e-6 + batch * quantise
    return total, compute, memory


def attention_prefill(xp: Numbers, p: Params, machine: Machine, flops: Any, moved: Any, seen: Any, keys: Any, head: Any) -> Times:
    """Causal attention over new tokens; seen: keys a query meets on average, keys: the longest reach, head: width."""
    narrow = 1.0 + p["narrow_head"] * xp.maximum(128.0 / head - 1.0, 0.0)
    compute = flops / (machine.flops_per_s * p["compute"]) * (1.0 + p["half_seen"] / seen) * narrow
    memory = moved / (machine.bytes_per_s * p["memory"])
    depth = p["depth_us"] * 1e-6 * (keys / 1024.0) ** p["depth_power"]
    s = p["sharpness"]
    return (compute**s + memory**s + depth**s) ** (1.0 / s) + p["start_us"] * 1e-6, compute, memory


def attention_decode(xp: Numbers, p: Params, machine: Machine, flops: Any, moved: Any, cache: Any, keys: Any, rows: Any) -> Times:
    """One query (or a few) a sequence against its cache; cache: bytes of keys and values, rows: sequences x KV heads."""
    compute = flops / (machine.wide_flops_per_s * p["compute"])
    memory = _from_memory(xp, p, machine, moved, cache)
    depth = p["depth_us"] * 1e-6 * (keys / 1024.0) ** p["depth_power"]
    s = p["sharpness"]
    total = (compute**s + memory**s + depth**s) ** (1.0 / s)
    return total + p["start_us"] * 1e-6 + rows * p["row_ns"] * 1e-9, compute, memory


def moe(
    xp: Numbers, p: Params, machine: Machine, rows: Any, hottest: Any, active: Any, local: Any, tokens: Any, hidden: Any,
    inner: Any, matrices: Any, width: Any,
) -> Times:  # fmt: skip
    """Routed experts of one rank. rows: token copies that reach it, hottest: its load over the mean, active and
    local: experts with work and experts held, inner: the experts' width on this rank."""
    skew = 1.0 + (hottest - 1.0) * p["skew"]
    rows = rows * skew
    weights = active * matrices * hidden * inner * width
    moved = weights + rows * (4.0 * hidden + 6.0 * inner) * p["passes"]
    thin = 1.0 + p["thin_expert"] / inner
    compute = 2.0 * (rows + active * p["pad"]) * matrices * hidden * inner / (machine.flops_per_s * p["compute"]) * thin
    memory = moved / (machine.bytes_per_s * p["memory"]) * thin
    overhead = p["start_us"] * 1e-6 + (rows * p["row_ns"] + tokens * p["token_ns"] + local * p["expert_ns"]) * 1e-9
    return _smooth_max(compute, memory, p["sharpness"]) + overhead, compute, memory


def elementwise(xp: Numbers, p: Params, machine: Machine, moved: Any) -> Times:
    """A pass over memory."""
    memory = moved / (machine.bytes_per_s * p["memory"])
    return memory + p["start_us"] * 1e-6, memory * 0.0, memory


def linear_attention(xp: Numbers, p: Params, machine: Machine, flops: Any, moved: Any, tokens_per_sequence: Any) -> Times:
    """State updates; in prefill the chunks of one sequence follow each other."""
    compute = flops / (machine.wide_flops_per_s * p["compute"])
    memory = moved / (machine.bytes_per_s * p["memory"])
    depth = p["depth_us"] * 1e-6 * tokens_per_sequence / 1024.0
    return _smooth_max(compute, memory, 2.0) + depth + p["start_us"] * 1e-6, compute, memory


def collective(xp: Numbers, p: Params, link_bytes_per_s: Any, kind_factor: Any, message: Any, ranks: Any) -> Times:
    """kind_factor: bytes that cross one rank's link for each byte of the message (2 (n-1)/n for an all-reduce ...).

    Small messages pay the start and a step a rank, middling ones a lower bandwidth that doubles up to the full one.
    """
    wire = kind_factor * message / (link_bytes_per_s * p["link"])
    ramp = xp.minimum(wire, p["ramp_us"] * 1e-6) * p["ramp"]
    total = wire + ramp + (p["start_us"] + p["rank_us"] * (ranks - 1.0)) * 1e-6
    return total, wire * 0.0, wire
