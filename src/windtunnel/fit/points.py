"""Measured operators as the points that a family is fitted on: the same figures that the cost model gives its formulas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from windtunnel.cost.formulas import Machine
from windtunnel.cost.model import CostModel, expert_load
from windtunnel.cost.parameters import FamilyParameters, number_kind
from windtunnel.cost.program_formulas import SLOWED
from windtunnel.cost.program_ops import achieved, convolution_dtype, convolution_shape
from windtunnel.errors import MissingFactError, UnsupportedError
from windtunnel.workload.ops import (
    Attention,
    Collective,
    Convolution,
    Elementwise,
    Gemm,
    MoE,
    Op,
    Pass,
    weight_bytes,
)

_CROSSING = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0, "all_to_all": 1.0}


@dataclass(frozen=True, slots=True)
class Point:
    """One measured operator. family: the table of a parameter file that prices it; values: what its formula takes, and
    ``time`` in seconds; group: the shape that it shares with others, whatever the number of tokens."""

    family: str
    values: Mapping[str, float]
    group: tuple[float, ...]
    size: float


def point_of(costs: CostModel, op: Op, warm: bool, time_s: float) -> tuple[Point, FamilyParameters]:
    """The point of one operator, and the parameters that price it today. Raises UnsupportedError, MissingFactError."""
    if isinstance(op, Gemm):
        return _gemm(costs, op, warm, time_s)
    if isinstance(op, MoE):
        return _moe(costs, op, time_s)
    if isinstance(op, Attention):
        return _attention(costs, op, time_s)
    if isinstance(op, Elementwise):
        values = {"moved": op.bytes}
        return _point(costs, op.family, op.family, costs.machine(costs.wide), values, (), op.bytes, time_s)
    if isinstance(op, Collective):
        return _collective(costs, op, time_s)
    if isinstance(op, Pass) and (op.contiguous or op.kind == "transpose"):
        kinds = {kind: float(kind == op.kind) for kind in ("pointwise", *SLOWED)}
        group = (float(list(kinds).index(op.kind)),)
        return _point(costs, "pass", "pass", costs.machine(costs.wide), {"moved": op.bytes, **kinds}, group, op.bytes, time_s)
    if isinstance(op, Convolution) and not op.depthwise and op.direction == "forward":
        return _convolution(costs, op, time_s)
    raise UnsupportedError(f"{op.name}: no rows of this operator are fitted")


def _point(
    costs: CostModel, family: str, table: str, machine: Machine, values: dict[str, float], group: Iterable[float], size: float,
    time_s: float, dtype: str = "",
) -> tuple[Point, FamilyParameters]:  # fmt: skip
    whole = {
        **values, "flops_per_s": machine.flops_per_s, "wide_flops_per_s": machine.wide_flops_per_s,
        "bytes_per_s": machine.bytes_per_s, "cache_bytes": machine.cache_bytes, "time": time_s,
    }  # fmt: skip
    return Point(table, whole, tuple(group), size), costs.family(family, dtype)


def _gemm(costs: CostModel, op: Gemm, warm: bool, time_s: float) -> tuple[Point, FamilyParameters]:
    dtype = costs.running(op.dtype)
    values = {"m": op.m, "n": op.n, "k": op.k, "batch": op.batch, "width": weight_bytes(dtype), "warm": 1.0 if warm else 0.0}
    name, group = f"gemm_{number_kind(dtype)}", (op.n, op.k, op.batch)
    return _point(costs, "gemm", name, costs.machine(dtype), values, group, op.flops, time_s, dtype)


def _moe(costs: CostModel, op: MoE, time_s: float) -> tuple[Point, FamilyParameters]:
    dtype = costs.running(op.dtype)
    hottest, active = expert_load(op)
    values = {
        "rank_tokens": op.rank_tokens, "hottest": hottest, "active": active,
        "local": op.local_experts, "tokens": op.tokens, "hidden": op.hidden, "inner": op.intermediate / op.tp,
        "matrices": op.matrices, "width": weight_bytes(dtype),
    }  # fmt: skip
    group = (op.hidden, op.intermediate, op.experts, op.topk, op.ep)
    return _point(costs, "moe", f"moe_{number_kind(dtype)}", costs.machine(dtype), values, group, op.tokens, time_s, dtype)


def _attention(costs: CostModel, op: Attention, time_s: float) -> tuple[Point, FamilyParameters]:
    machine, group = costs.machine(costs.wide), (op.q_heads, op.kv_heads, op.qk_dim)
    if op.phase == "prefill":
        values = {"flops": op.flops, "moved": op.bytes, "seen": max(op.seen, 1.0), "keys": op.kv_len, "head": op.qk_dim}
    else:
        cache = op.bytes - 2.0 * op.batch * op.q_len * op.q_heads * (op.qk_dim + op.v_dim)
        rows = op.batch * (1.0 if op.mla else op.kv_heads)
        held = max(cache, 1.0) if machine.cache_bytes else 1e18
        values = {"flops": op.flops, "moved": op.bytes, "cache": held, "keys": op.keys_read, "rows": rows}
    return _point(costs, op.family, op.family, machine, values, group, op.flops, time_s)


def _convolution(costs: CostModel, op: Convolution, time_s: float) -> tuple[Point, FamilyParameters]:
    dtype = convolution_dtype(costs, op.dtype)
    names = ("m", "n", "k", "groups", "images", "weights", "window", "planar")
    values = dict(zip(names, convolution_shape(op), strict=True))
    group = (op.in_channels, op.out_channels, math.prod(op.result), math.prod(op.kernel))
    return _point(costs, "convolution", "convolution", achieved(costs, dtype), values, group, op.flops, time_s)


def _collective(costs: CostModel, op: Collective, time_s: float) -> tuple[Point, FamilyParameters]:
    if op.kind not in _CROSSING:
        raise UnsupportedError(f"{op.kind}: no rows of this operator are fitted")
    if costs.links.across(op.ranks):
        raise UnsupportedError(f"{op.kind} across scale-up domains is not fitted")
    if not costs.links.scaleup_bytes_per_s:
        raise MissingFactError(costs.chip.id, "scaleup_bytes_per_s")
    factor = _CROSSING[op.kind] * (op.ranks - 1.0) / op.ranks
    values = {"link": costs.links.scaleup_bytes_per_s, "factor": factor, "message": op.bytes, "ranks": op.ranks}
    return _point(costs, op.kind, op.kind, costs.machine(costs.wide), values, (op.ranks,), op.bytes, time_s)
