"""The cost model: time of an operator on a chip, what bounds it, and how far to trust it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from windtunnel.catalog.chip import Chip
from windtunnel.cost import formulas as f
from windtunnel.cost.evidence import Evidence
from windtunnel.cost.formulas import PLAIN, Machine
from windtunnel.cost.links import Links
from windtunnel.cost.parameters import ChipParameters, FamilyParameters
from windtunnel.cost.price import NOTHING, OpCost, priced, roofline
from windtunnel.cost.program_ops import program_cost
from windtunnel.cost.routing import hottest_rank, touched_experts
from windtunnel.errors import MissingFactError, UnsupportedError
from windtunnel.workload.ops import (
    COMPUTE_DTYPE,
    Attention,
    AttentionBackward,
    Collective,
    Convolution,
    Elementwise,
    Gemm,
    LinearAttention,
    MoE,
    Op,
    Pass,
    activation_bytes,
    weight_bytes,
)

__all__ = ["CostModel", "OpCost", "expert_load"]

EVEN_TOUCH, EVEN_LOAD = 0.2, 0.5
"""Share of even routing in the mix of even and power-law routing (see cost.routing): for which experts are touched, and
for how much the fullest rank gets. Chosen on serving measurements; real routers spread load better than they spread reach."""

MOST_SKEW = 1.5
"""The fullest rank's load over the mean at most: engines with wide expert parallelism replicate hot experts. **Source:**
CloudMatrix384 (arXiv 2506.12708): prefill takes 1.18 times as long under its default balancing as under a perfect one, of
which the experts are about a third."""

_WEIGHT_ONLY = {"fp4": {"Nvidia": "fp4_wide", "AMD": "fp4_wide"}, "fp8": {"Nvidia": "fp8_wide"}}
"""By maker, what engines do on a chip without a matrix unit for the type: widen the weights on the way, compute in 16 bit."""

_QUANTISING = "_quant"
"""Operators that narrow a matrix product's input. Measured products of narrow types include that pass, and so do
their parameters; priced here once more it would count twice."""

_FACTORS: Mapping[str, Callable[[float], float]] = {
    "all_reduce": lambda n: 2.0 * (n - 1.0) / n,
    "all_gather": lambda n: (n - 1.0) / n,
    "reduce_scatter": lambda n: (n - 1.0) / n,
    "all_to_all": lambda n: (n - 1.0) / n,
    "p2p": lambda n: 1.0,
}
NETWORK_EFFICIENCY = 0.85
NETWORK_START_S = 12e-6
"""Across scale-up domains: share of the card's line rate and start of a message over RDMA.
**Source:** DeepEP's author tables for 400 Gbit/s cards in 2025 (43 to 47 of 50 GB/s over 16 to 64 ranks); the start is
the order of its low-latency kernels' shortest times. Not fitted."""

NODE_COPIES = 0.55
"""Copies of a token that cross the network over copies that leave its rank: what several ranks of one node need
travels once. Eight of 64 ranks in nodes of eight touch 5.3 nodes, at most 4 under DeepSeek-V3's routing (arXiv
2412.19437, section 2.1.2), so 3.5 to 4.6 copies for 6.6."""


def expert_load(op: MoE) -> tuple[float, float]:
    """(load of the fullest rank over the mean, experts with work on it) under the routing that is assumed."""
    touched = touched_experts(PLAIN, op.tokens, op.topk, op.experts, EVEN_TOUCH) / op.ep
    hottest = min(1.0 + (hottest_rank(PLAIN, op.tokens, op.experts, op.ep) - 1.0) * (1.0 - EVEN_LOAD), MOST_SKEW)
    return hottest, min(touched * hottest, op.local_experts)


class CostModel:
    """Prices operators on one chip. Build it once: parameters are looked up on first use and kept.

    tf32_convolutions: whether FP32 convolutions may be rounded to TF32 where the chip has it, as PyTorch lets them.
    """

    def __init__(self, chip: Chip, links: Links | None = None, own: Mapping[str, Any] | None = None) -> None:
        self.chip = chip
        self.tf32_convolutions = True
        self.links = links or Links.of(chip)
        self.parameters = ChipParameters.of(chip, own)
        self._families: dict[tuple[str, str], FamilyParameters] = {}
        self._machines: dict[str, Machine] = {}
        self.memory_bytes_per_s = chip.value("memory_bytes_per_s")
        self.cache_bytes = chip.value("l2_bytes") if chip.has("l2_bytes") else 0.0

    @cached_property
    def wide(self) -> str:
        """bf16 where the chip computes it, else fp16."""
        return "bf16" if "bf16" in self.chip.dtypes else "fp16"

    def running(self, dtype: str) -> str:
        """The type in which the chip runs what is stored as ``dtype``. Raises UnsupportedError with what it can do."""
        if dtype in ("bf16", "fp16"):
            return dtype if dtype in self.chip.dtypes else self.wide
        compute = self._unit(dtype)
        if compute in self.chip.dtypes:
            return dtype
        widened = _WEIGHT_ONLY.get(dtype, {}).get(self.chip.vendor)
        if widened is not None and "bf16" in self.chip.dtypes:
            return widened
        self.chip.peak(compute)
        raise UnsupportedError(f"{self.chip.id} cannot compute {dtype}")

    def _unit(self, dtype: str) -> str:
        """The matrix unit's input type: of widened weights fp16 where it has no bf16, of W4A8 int8 where it has no fp8."""
        compute = COMPUTE_DTYPE.get(dtype, dtype)
        if compute == "bf16":
            return compute if dtype == compute else self.wide
        narrow = dtype == "w4a8" and "fp8" not in self.chip.dtypes and "int8" in self.chip.dtypes
        return "int8" if narrow else compute

    def machine(self, dtype: str) -> Machine:
        """The datasheet figures behind a formula. Raises MissingFactError, UnsupportedError."""
        found = self._machines.get(dtype)
        if found is None:
            peak = self.chip.peak(self._unit(dtype)).value
            found = self._machines[dtype] = Machine(
                peak, self.chip.peak(self.wide).value, self.memory_bytes_per_s, self.cache_bytes
            )
        return found

    def family(self, name: str, dtype: str = "") -> FamilyParameters:
        key = (name, dtype)
        found = self._families.get(key)
        if found is None:
            found = self._families[key] = self.parameters.family(name, dtype)
        return found

    def cost(self, op: Op, *, warm: bool = False) -> OpCost:
        """Time of one launch of ``op``; warm: its operands may lie in the last cache. No work takes no time."""
        # most operators of a step are of the first two kinds
        if isinstance(op, Elementwise):
            return self._elementwise(op)
        if isinstance(op, Gemm):
            return self._gemm(op, warm)
        if isinstance(op, Collective):
            return self._collective(op)
        if isinstance(op, MoE):
            return self._moe(op)
        if isinstance(op, Attention):
            return self._attention(op, warm) if op.causal or op.phase == "decode" else program_cost(self, op)
        if isinstance(op, Pass | Convolution | AttentionBackward):
            return program_cost(self, op)
        return self._linear(op)

    def _elementwise(self, op: Elementwise) -> OpCost:
        if op.bytes <= 0 or op.name.endswith(_QUANTISING):
            return NOTHING
        p, machine = self.family("elementwise"), self.machine(self.wide)
        return priced(f.elementwise(PLAIN, p.values, machine, op.bytes), p, roofline(machine, 0.0, op.bytes))

    def _gemm(self, op: Gemm, warm: bool) -> OpCost:
        flops = op.flops
        if flops <= 0:
            return NOTHING
        dtype = self.running(op.dtype)
        p, machine = self.family("gemm", dtype), self.machine(dtype)
        times = f.gemm(PLAIN, p.values, machine, op.m, op.n, op.k, op.batch, weight_bytes(dtype), 1.0 if warm else 0.0)
        return priced(times, p, roofline(machine, flops, 0.0 if warm else op.bytes))

    def _moe(self, op: MoE) -> OpCost:
        if op.flops <= 0:
            return NOTHING
        dtype = self.running(op.dtype)
        p, machine = self.family("moe", dtype), self.machine(dtype)
        hottest, active = expert_load(op)
        times = f.moe(
            PLAIN, p.values, machine, op.rank_tokens, hottest, active, op.local_experts, op.tokens, op.hidden,
            op.intermediate / op.tp, op.matrices, weight_bytes(dtype),
        )  # fmt: skip
        weights = active * op.matrices * op.hidden * op.intermediate / op.tp * weight_bytes(dtype)
        rows = op.rank_tokens * op.hidden * (activation_bytes(dtype) + 2.0)
        return priced(times, p, roofline(machine, op.flops, weights + rows))

    def _attention(self, op: Attention, warm: bool) -> OpCost:
        if op.flops <= 0:
            return NOTHING
        p = self.family(op.family)
        machine = self.machine(self.wide)
        if op.phase == "prefill":
            keys = min(op.window or op.kv_len, op.topk or op.kv_len, op.kv_len)
            times = f.attention_prefill(PLAIN, p.values, machine, op.flops, op.bytes, max(op.seen, 1.0), keys, op.qk_dim)
        else:
            cache = op.bytes - 2.0 * op.batch * op.q_len * op.q_heads * (op.qk_dim + op.v_dim)
            rows = op.batch * (1.0 if op.mla else op.kv_heads)
            times = f.attention_decode(
                PLAIN, p.values, machine, op.flops, op.bytes, max(cache, 1.0) if self.cache_bytes else 1e18, op.keys_read, rows
            )
        return priced(times, p, roofline(machine, op.flops, 0.0 if warm else op.bytes))

    def _linear(self, op: LinearAttention) -> OpCost:
        if op.flops <= 0:
            return NOTHING
        p, machine = self.family(op.family), self.machine(self.wide)
        times = f.linear_attention(PLAIN, p.values, machine, op.flops, op.bytes, op.tokens / max(op.batch, 1.0))
        return priced(times, p, roofline(machine, op.flops, op.bytes))

    def _collective(self, op: Collective) -> OpCost:
        if op.bytes <= 0 or op.ranks <= 1:
            return NOTHING
        if op.domains > 1.0 or (not op.domains and self.links.across(op.ranks)):
            return self._across(op)
        speed = self.links.pair_bytes_per_s if op.kind == "p2p" else self.links.among(op.ranks)
        if not speed:
            raise MissingFactError(self.chip.id, "scaleup_bytes_per_s", f"{op.name} needs the link between {op.ranks:.0f} chips")
        p = self.family("all_gather" if op.kind == "p2p" else op.kind)
        times = f.collective(PLAIN, p.values, speed, _FACTORS[op.kind](op.ranks), op.bytes, op.ranks)
        return OpCost(times[0], "link", p.evidence, p.spread)

    def _across(self, op: Collective) -> OpCost:
        """Hierarchical: within each domain over its links, and between domains over every chip's network card.

        Of what all ranks of a domain need from the others, each card carries an equal part: an all-reduce, all-gather or
        reduce-scatter crosses between equal places of the domains. What is sent to chosen ranks travels once a domain.
        """
        if not self.links.scaleout_bytes_per_s:
            raise MissingFactError(
                self.chip.id, "scaleout_bytes_per_s", f"{op.name} crosses scale-up domains of {self.links.domain}"
            )
        nodes = op.domains or float(math.ceil(op.ranks / self.links.domain))
        local = op.ranks / nodes
        inside = NOTHING if op.kind == "p2p" else self._collective(Collective(op.name, op.kind, op.bytes, local))
        share = {"all_to_all": NODE_COPIES if local > 1.0 else 1.0, "p2p": 1.0}.get(op.kind, 1.0 / local)
        wire = _FACTORS[op.kind](nodes) * op.bytes * share
        outside = wire / (self.links.scaleout_bytes_per_s * NETWORK_EFFICIENCY) + NETWORK_START_S
        # what goes to ranks of the own domain and what goes over the card move at the same time
        total = max(inside.time_s, outside) if op.kind == "all_to_all" else inside.time_s + outside
        return OpCost(total, "link", Evidence.DATASHEET, 0.5)
