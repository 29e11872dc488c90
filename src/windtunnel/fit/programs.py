"""Parameters of a chip from the times of whole programs: every formula over all operators of all programs at once.

A program's time is the sum of its operators' (or the host's launches, whichever takes longer), so one residual holds many
operators; what they have in common over hundreds of programs tells their parameters apart. The lines that run are those of
a prediction (``cost.program_formulas``), over arrays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from windtunnel.catalog.chip import Chip
from windtunnel.cost import formulas, program_formulas
from windtunnel.cost.formulas import Machine
from windtunnel.cost.host import host_cost
from windtunnel.cost.program_formulas import SLOWED
from windtunnel.cost.program_ops import convolution_shape, vector_flops_per_s
from windtunnel.workload.ops import Attention, Convolution, Gemm, Op, Pass, weight_bytes

KINDS = ("pointwise", *SLOWED)
NOISE = 0.1
"""Log error below which a program counts as well described; beyond it the loss grows linearly, not squared."""
CORNER = 6.0
"""Sharpness of the corner between what the device and what the host takes."""

Parameters = Mapping[str, Mapping[str, float]]
Bounds = Mapping[str, Mapping[str, tuple[float, float]]]

FREE: Bounds = {
    "gemm_wide": {
        "compute": (0.3, 1.1), "memory": (0.5, 0.95), "fill": (0, 300), "pad": (0, 200), "depth_us": (0, 5), "sharpness": (1, 6),
    },
    "convolution": {
        "compute": (0.3, 1.1), "memory": (0.4, 0.95), "start_us": (1, 10), "sharpness": (1, 6), "fill": (0, 200), "pad": (0, 60),
        "window": (-0.3, 1), "planar_compute": (0, 2), "grouped": (0, 4), "planar_grouped": (0, 4), "turn": (0, 2),
        "turn_window": (0, 3), "cache_gain": (1, 6), "cache_share": (0.05, 1.5),
    },
    "depthwise": {
        "compute": (0.03, 0.8), "memory": (0.3, 0.95), "start_us": (1, 10), "sharpness": (1, 6), "planar": (0, 2),
        "planar_compute": (0, 4), "cache_gain": (1, 6), "cache_share": (0.05, 1.5),
    },
    "attention_full": {
        "compute": (0.3, 1.1), "memory": (0.4, 0.95), "start_us": (1, 15), "sharpness": (1, 6), "pad_queries": (0, 128),
        "pad_keys": (0, 128), "narrow_head": (0, 64),
    },
    "pass": {
        "memory": (0.7, 0.95), "start_us": (0.8, 5), "cache_gain": (1, 6), "cache_share": (0.05, 1.5), "strided": (1, 4),
        "copy": (0.85, 1.5), "transpose": (0.85, 4), "reduction": (0.85, 3), "norm": (0.9, 3), "softmax": (0.9, 3),
        "pool": (0.85, 4), "gather": (0.9, 6), "resample": (0.9, 8),
    },
}  # fmt: skip
"""Parameters that programs can tell, with their bounds; the others stay as they are."""


@dataclass(frozen=True, slots=True)
class Programs:
    """The operators of many programs, one array a family: the program's number, how often, then what its formula takes.

    launches, views: calls of each program that launch something, and that do not; compiled: 1 where a compiler fused them.
    """

    ops: Mapping[str, Any]
    launches: Any
    views: Any
    compiled: Any

    def __len__(self) -> int:
        return len(self.launches)

    def only(self, which: Any) -> Programs:
        """The programs of those numbers, numbered anew in that order."""
        place = np.full(len(self), -1)
        place[which] = np.arange(len(which))
        ops = {}
        for name, rows in self.ops.items():
            here = place[rows[:, 0].astype(int)]
            kept = rows[here >= 0].copy()
            kept[:, 0] = here[here >= 0]
            ops[name] = kept
        return Programs(ops, self.launches[which], self.views[which], self.compiled[which])


class Builder:
    """Gathers programs."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
        self._heads: list[tuple[float, float, float]] = []

    def add(self, ops: Iterable[Op], launches: int, views: int, compiled: bool) -> int:
        """One program; its number."""
        number = len(self._heads)
        for row, count in Counter(_row(op) for op in ops).items():
            self._rows[row[0]].append((number, count, *row[1:]))
        self._heads.append((launches, views, float(compiled)))
        return number

    def done(self) -> Programs:
        heads = np.array(self._heads, float).reshape(-1, 3)
        return Programs({name: np.array(rows, float) for name, rows in self._rows.items()}, heads[:, 0], heads[:, 1], heads[:, 2])


def _row(op: Op) -> tuple[Any, ...]:
    if isinstance(op, Pass):
        return ("pass", op.bytes, KINDS.index(op.kind), op.contiguous or op.kind == "transpose")
    if isinstance(op, Convolution) and op.depthwise:
        return ("depthwise", op.flops, op.bytes, not op.channels_last)
    if isinstance(op, Convolution):
        return ("convolution", op.flops, op.dtype == "fp32", *convolution_shape(op))
    if isinstance(op, Gemm):
        return ("gemm_wide", op.flops, op.dtype == "fp32", op.m, op.n, op.k, op.batch, weight_bytes(op.dtype))
    if isinstance(op, Attention):
        return ("attention_full", op.flops, op.bytes, op.q_len, max(op.seen, 1.0), op.qk_dim)
    raise TypeError(f"{op.name}: no formula of programs")


def times(programs: Programs, chip: Chip, p: Parameters) -> Any:
    """Seconds of each program on ``chip`` with those parameters."""
    return _with_host(programs, chip, sum(seconds(programs, chip, p).values()))


def _with_host(programs: Programs, chip: Chip, device: Any) -> Any:
    eager, compiled = host_cost(chip.device, "eager"), host_cost(chip.device, "compiled")
    host = np.where(
        programs.compiled > 0,
        programs.launches * compiled.call_s + compiled.step_s,
        programs.launches * eager.call_s + programs.views * eager.view_s + eager.step_s,
    )
    return (device**CORNER + host**CORNER) ** (1.0 / CORNER)


def seconds(programs: Programs, chip: Chip, p: Parameters, families: Iterable[str] = FREE) -> dict[str, Any]:
    """Seconds that each program spends in each family."""
    out: dict[str, Any] = {}
    for name in families:
        rows = programs.ops.get(name)
        if rows is not None and len(rows):
            spent = _FORMULAS[name](rows, chip, p) * rows[:, 1]
            out[name] = np.bincount(rows[:, 0].astype(int), spent, len(programs))
    return out


def _machine(chip: Chip, single: Any, tf32: bool, share: float = 1.0) -> Machine:
    wide = chip.value("matrix_flops_per_s.fp16")
    plain = chip.value("matrix_flops_per_s.tf32" if tf32 and chip.has("matrix_flops_per_s.tf32") else "matrix_flops_per_s.fp32")
    cache = chip.value("l2_bytes") if chip.has("l2_bytes") else 0.0
    return Machine(np.where(single > 0, plain, wide) * share, wide * share, chip.value("memory_bytes_per_s"), cache)


def _pass(x: Any, chip: Chip, p: Parameters) -> Any:
    q, machine = p["pass"], _machine(chip, 0.0, False)
    factor = np.array([q.get(kind, 1.0) for kind in KINDS])[x[:, 3].astype(int)] * np.where(x[:, 4] > 0, 1.0, q["strided"])
    return program_formulas.walk(np, q, machine.bytes_per_s, machine.cache_bytes, x[:, 2], factor)[0]


def _convolution(x: Any, chip: Chip, p: Parameters) -> Any:
    peak = _machine(chip, x[:, 3], True)
    machine = _machine(chip, x[:, 3], True, p["gemm_wide"]["compute"])
    return np.maximum(program_formulas.convolution(np, p["convolution"], machine, *x[:, 4:].T)[0], x[:, 2] / peak.flops_per_s)


def _depthwise(x: Any, chip: Chip, p: Parameters) -> Any:
    machine = _machine(chip, 0.0, False)
    rate = vector_flops_per_s(chip)
    return program_formulas.depthwise(np, p["depthwise"], machine.bytes_per_s, machine.cache_bytes, rate, *x[:, 2:].T)[0]


def _attention(x: Any, chip: Chip, p: Parameters) -> Any:
    peak, machine = _machine(chip, 0.0, False), _machine(chip, 0.0, False, p["gemm_wide"]["compute"])
    return np.maximum(
        program_formulas.attention_full(np, p["attention_full"], machine, *x[:, 2:].T)[0], x[:, 2] / peak.flops_per_s
    )


def _gemm(x: Any, chip: Chip, p: Parameters) -> Any:
    machine = _machine(chip, x[:, 3], False)
    m, n, k, batch, width = x[:, 4:].T
    return np.maximum(formulas.gemm(np, p["gemm_wide"], machine, m, n, k, batch, width, 0.0)[0], x[:, 2] / machine.flops_per_s)


_FORMULAS = {
    "pass": _pass,
    "convolution": _convolution,
    "depthwise": _depthwise,
    "attention_full": _attention,
    "gemm_wide": _gemm,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Programs measured on one chip: seconds of those whose numbers are ``which``."""

    chip: Chip
    which: Any
    seconds: Any

    def part(self, chosen: Any) -> Measured:
        return Measured(self.chip, self.which[chosen], self.seconds[chosen])


def errors(programs: Programs, measured: Measured, p: Parameters) -> Any:
    """Log of predicted over measured seconds."""
    return np.log(times(programs, measured.chip, p)[measured.which] / measured.seconds)


def fit_programs(
    programs: Programs, measured: Sequence[Measured], prior: Parameters, stray: float = 0.5, *, most: int = 15
) -> dict[str, dict[str, float]]:
    """One set of parameters for all measured chips, drawn to ``prior`` as a distance of ``stray`` (a share) counts one error.

    Fitted on SAMPLE rows of each chip: parameters are few, and more rows of like programs tell them no better.
    """
    names = [(family, name) for family, free in FREE.items() for name in free]
    low, high = (np.array([FREE[f][n][i] for f, n in names], float) for i in (0, 1))
    start = np.clip(np.array([prior[f][n] for f, n in names]), low + 1e-6, high - 1e-6)
    scale = stray * np.maximum(np.abs(start), 0.1 * (high - low))
    drawn = [_drawn(programs, m) for m in measured]

    def built(vector: Any) -> dict[str, dict[str, float]]:
        p = {family: dict(values) for family, values in prior.items()}
        for (family, name), value in zip(names, vector, strict=True):
            p[family][name] = float(value)
        return p

    def softened(told: list[Any], vector: Any) -> Any:
        data = [
            np.log(_with_host(part, m.chip, sum(found.values()))[m.which] / m.seconds)
            for (part, m), found in zip(drawn, told, strict=True)
        ]
        joined = np.concatenate(data)
        joined = np.sqrt(2.0 * (np.sqrt(1.0 + (joined / NOISE) ** 2) - 1.0)) * np.sign(joined)
        return np.concatenate([joined, (vector - start) / scale])

    def spent(vector: Any, families: Iterable[str] = FREE) -> list[dict[str, Any]]:
        p = built(vector)
        return [seconds(part, m.chip, p, families) for part, m in drawn]

    def slopes(vector: Any) -> Any:
        """Finite differences, of which each needs the families that its parameter moves alone."""
        now = spent(vector)
        here = softened(now, vector)
        columns = []
        for i, (family, name) in enumerate(names):
            moved = vector.copy()
            step = 1e-4 * max(abs(vector[i]), 0.05 * (high[i] - low[i]))
            moved[i] += step if moved[i] + step < high[i] else -step
            touched = _RESTS_ON_PRODUCTS if (family, name) == ("gemm_wide", "compute") else (family,)
            told = [{**old, **new} for old, new in zip(now, spent(moved, touched), strict=True)]
            columns.append((softened(told, moved) - here) / (moved[i] - vector[i]))
        return np.stack(columns, axis=1)

    found = least_squares(
        lambda vector: softened(spent(vector), vector), start, slopes, bounds=(low, high), x_scale=scale, max_nfev=most
    )
    return built(found.x)


SAMPLE = 1200
_RESTS_ON_PRODUCTS = ("gemm_wide", "convolution", "attention_full")


def _drawn(programs: Programs, measured: Measured) -> tuple[Programs, Measured]:
    chosen = np.sort(np.random.default_rng(11).permutation(len(measured.which))[:SAMPLE])
    numbers, which = np.unique(measured.which[chosen], return_inverse=True)
    return programs.only(numbers), Measured(measured.chip, which, measured.seconds[chosen])
