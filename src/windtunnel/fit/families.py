"""The operator families as a fit sees them: parameters with bounds, and the formula over arrays of points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from windtunnel.cost import formulas as f
from windtunnel.cost import program_formulas as g
from windtunnel.cost.formulas import Machine, Numbers, Params

Points = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: where the search starts and what it may be."""

    name: str
    start: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Family:
    """time: seconds of every point. Points carry the operator's shape and the machine's figures, one array each."""

    name: str
    parameters: tuple[Parameter, ...]
    time: Callable[[Numbers, Params, Points], Any]


def _machine(x: Points) -> Machine:
    return Machine(x["flops_per_s"], x["wide_flops_per_s"], x["bytes_per_s"], x["cache_bytes"])


def _p(*rows: tuple[str, float, float, float]) -> tuple[Parameter, ...]:
    return tuple(Parameter(*row) for row in rows)


_COMPUTE = ("compute", 0.7, 0.02, 1.1)
_MEMORY = ("memory", 0.8, 0.1, 1.1)
_START = ("start_us", 3.0, 0.3, 300.0)
_SHARP = ("sharpness", 2.5, 1.0, 12.0)
_CACHE = (("cache_rate", 4.0, 0.5, 60.0), ("cache_share", 1.0, 0.05, 8.0))
_DEPTH = (("depth_us", 1.0, 0.0, 50.0), ("depth_power", 0.6, 0.05, 1.5))
_QUANTISE = (("quant_row_ns", 1.0, 0.0, 50.0), ("quant_pass", 1.0, 0.0, 10.0))

GEMM = Family(
    "gemm",
    _p(_COMPUTE, _MEMORY, _START, _SHARP, *_CACHE, *_DEPTH, ("fill", 150.0, 0.0, 3000.0), ("pad", 32.0, 0.0, 256.0), *_QUANTISE),
    lambda xp, p, x: f.gemm(xp, p, _machine(x), x["m"], x["n"], x["k"], x["batch"], x["width"], x["warm"])[0],
)
PREFILL = Family(
    "attention_prefill",
    _p(_COMPUTE, _MEMORY, _START, _SHARP, *_DEPTH, ("half_seen", 200.0, 0.0, 3000.0), ("narrow_head", 0.5, 0.0, 3.0)),
    lambda xp, p, x: f.attention_prefill(xp, p, _machine(x), x["flops"], x["moved"], x["seen"], x["keys"], x["head"])[0],
)
DECODE = Family(
    "attention_decode",
    _p(("compute", 0.2, 0.01, 1.1), _MEMORY, _START, _SHARP, *_CACHE, *_DEPTH, ("row_ns", 5.0, 0.0, 40.0)),
    lambda xp, p, x: f.attention_decode(xp, p, _machine(x), x["flops"], x["moved"], x["cache"], x["keys"], x["rows"])[0],
)
MOE = Family(
    "moe",
    _p(
        _COMPUTE, _MEMORY, ("start_us", 25.0, 1.0, 300.0), _SHARP, ("skew", 1.0, 0.0, 2.0), ("passes", 1.0, 0.0, 10.0),
        ("thin_expert", 50.0, 0.0, 2000.0), ("pad", 16.0, 0.0, 300.0), ("row_ns", 1.0, 0.0, 100.0),
        ("token_ns", 10.0, 0.0, 200.0), ("expert_ns", 10.0, 0.0, 500.0),
    ),
    lambda xp, p, x: f.moe(
        xp, p, _machine(x), x["rank_tokens"], x["hottest"], x["active"], x["local"], x["tokens"], x["hidden"], x["inner"],
        x["matrices"], x["width"],
    )[0],
)  # fmt: skip
ELEMENTWISE = Family(
    "elementwise", _p(_MEMORY, ("start_us", 2.0, 0.3, 60.0)), lambda xp, p, x: f.elementwise(xp, p, _machine(x), x["moved"])[0]
)
LINEAR_PREFILL = Family(
    "linear_attention_prefill",
    _p(("compute", 0.1, 0.002, 1.0), ("memory", 0.5, 0.02, 1.1), ("start_us", 30.0, 1.0, 500.0), ("depth_us", 20.0, 0.0, 1000.0)),
    lambda xp, p, x: f.linear_attention(xp, p, _machine(x), x["flops"], x["moved"], x["per_sequence"])[0],
)
LINEAR_DECODE = Family("linear_attention_decode", LINEAR_PREFILL.parameters, LINEAR_PREFILL.time)
COLLECTIVE = Family(
    "collective",
    _p(("link", 0.5, 0.005, 1.1), ("start_us", 4.0, 0.5, 200.0), ("rank_us", 0.2, 0.0, 20.0), ("ramp_us", 30.0, 0.0, 2000.0),
       ("ramp", 1.0, 0.0, 6.0)),
    lambda xp, p, x: f.collective(xp, p, x["link"], x["factor"], x["message"], x["ranks"])[0],
)  # fmt: skip
_GAIN = (("cache_gain", 3.0, 1.0, 20.0), ("cache_share", 0.5, 0.01, 4.0))
PASS = Family(
    "pass",
    _p(_MEMORY, ("start_us", 1.5, 0.1, 300.0), *_GAIN, ("strided", 1.3, 0.5, 10.0),
       *((kind, 1.2, 0.2, 100.0) for kind in g.SLOWED)),
    lambda xp, p, x: g.walk(
        xp, p, x["bytes_per_s"], x["cache_bytes"], x["moved"], x["pointwise"] + sum(x[kind] * p[kind] for kind in g.SLOWED)
    )[0],
)  # fmt: skip
"""Points say of what kind they are by a 1 under its name, and 0 under the others'."""
CONVOLUTION = Family(
    "convolution",
    _p(_COMPUTE, _MEMORY, _START, _SHARP, ("fill", 32.0, 0.0, 1000.0), ("pad", 8.0, 0.0, 256.0), ("window", 0.1, -0.9, 3.0),
       ("planar_compute", 0.1, 0.0, 5.0), ("grouped", 0.3, 0.0, 10.0),
       ("planar_grouped", 0.3, 0.0, 10.0), ("turn", 0.3, 0.0, 10.0), ("turn_window", 1.0, 0.0, 10.0), *_GAIN),
    lambda xp, p, x: g.convolution(
        xp, p, _machine(x), x["m"], x["n"], x["k"], x["groups"], x["images"], x["weights"], x["window"], x["planar"]
    )[0],
)  # fmt: skip

FAMILIES: Mapping[str, Family] = {
    "gemm": GEMM,
    "attention_prefill": PREFILL,
    "mla_prefill": PREFILL,
    "attention_decode": DECODE,
    "mla_decode": DECODE,
    "moe": MOE,
    "elementwise": ELEMENTWISE,
    "pass": PASS,
    "convolution": CONVOLUTION,
    "linear_attention_prefill": LINEAR_PREFILL,
    "linear_attention_decode": LINEAR_DECODE,
    "all_reduce": COLLECTIVE,
    "all_gather": COLLECTIVE,
    "reduce_scatter": COLLECTIVE,
    "all_to_all": COLLECTIVE,
}
"""By the name under which parameters are kept; gemm and moe are further told apart by number type."""
