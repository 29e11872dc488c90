"""Sparse attention's choice of keys, and the compressor of compressed attention.

Every rank of a tensor-parallel group does all of both: their keys are shared by all heads.
"""

from __future__ import annotations

from windtunnel.catalog.model import AttentionSpec
from windtunnel.workload.llm.block import Core, Heads
from windtunnel.workload.llm.precision import PrecisionPlan
from windtunnel.workload.llm.tokens import StepTokens
from windtunnel.workload.ops import Elementwise, Gemm, Op


def index_key_width(spec: AttentionSpec) -> int:
    """Width of the projection that makes an indexer's keys: with compression two overlapping ones and their weights."""
    return spec.index_dim * (4 if spec.compress else 1)


def compressor_width(spec: AttentionSpec) -> int:
    """Width of the projection that makes compressed entries: entry and weights, twice where entries overlap; 0 without."""
    if not spec.compress:
        return 0
    return 2 * spec.qk_dim * (2 if spec.topk else 1)


class Indexer:
    """Scores all keys with a few narrow heads in fp8 and keeps the best."""

    def __init__(self, spec: AttentionSpec, count: float, hidden: int, precision: PrecisionPlan, prefix: str) -> None:
        self.heads, self.hidden, self.dtype, self.prefix = float(spec.index_heads), float(hidden), precision.attention, prefix
        self.query_in, self.query_out = float(spec.q_lora_rank or hidden), float(spec.index_heads * spec.index_dim)
        self.key_out = float(index_key_width(spec) + spec.index_heads)
        self.scores = Heads(self.heads, 1.0, float(spec.index_dim), 0.0, "fp8")
        self.core = Core(0.0, 0.0, float(spec.compress), count)

    def emit(self, tokens: StepTokens, out: list[Op], times: float) -> None:
        count, m, prefix = self.core.count * times, tokens.tokens, self.prefix
        out.append(Gemm(f"{prefix}index_q_proj", m, self.query_out, self.query_in, self.dtype, count))
        out.append(Gemm(f"{prefix}index_k_proj", m, self.key_out, self.hidden, self.dtype, count))
        logits = 0.0
        if tokens.decode_batch:
            core = self.scores.decode(f"{prefix}index_logits_decode", tokens, self.core, times)
            out.append(core)
            logits += tokens.decode_tokens * core.seen
        if tokens.prefill_tokens:
            core = self.scores.prefill(f"{prefix}index_logits_prefill", tokens, self.core, times)
            out.append(core)
            logits += tokens.prefill_tokens * core.seen
        # fp32 logits, summed over heads, are written once and read once to choose from
        out.append(Elementwise(f"{prefix}index_topk", 8.0 * logits, count=count))


class Compressor:
    """Makes one cache entry of every ``compress`` tokens: projections, then a weighted sum."""

    def __init__(self, spec: AttentionSpec, count: float, hidden: int, precision: PrecisionPlan, prefix: str) -> None:
        self.width, self.hidden, self.count = float(compressor_width(spec)), float(hidden), count
        self.dtype, self.prefix = precision.attention, prefix

    def emit(self, tokens: StepTokens, out: list[Op], times: float) -> None:
        m, count = tokens.tokens, self.count * times
        out.append(Gemm(f"{self.prefix}compress_proj", m, self.width, self.hidden, self.dtype, count))
        out.append(Elementwise(f"{self.prefix}compress_pool", 4.0 * m * self.width, count=count))
