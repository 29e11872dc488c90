"""Multi-head and grouped-query attention, with a window, a gate, sparsity, compression or narrow projections."""

from __future__ import annotations

from windtunnel.catalog.model import AttentionSpec
from windtunnel.workload.llm.block import Core, Heads, quantise
from windtunnel.workload.llm.indexer import Compressor, Indexer
from windtunnel.workload.llm.precision import QUANTISED_INPUTS, PrecisionPlan
from windtunnel.workload.llm.tokens import StepTokens
from windtunnel.workload.ops import Elementwise, Gemm, Op, weight_bytes

Kinds = list[tuple[AttentionSpec, float]]


def local_kv_heads(spec: AttentionSpec, tp: int) -> float:
    """Key-value heads of one rank: cut, or copied where ranks outnumber them."""
    return max(spec.kv_heads / tp, 1.0)


def kv_projection_width(spec: AttentionSpec, tp: int) -> float:
    """Columns of one rank's key and value projections."""
    if spec.reuses_kv:
        return 0.0
    single = spec.shared_kv or spec.v_from_k
    return local_kv_heads(spec, tp) * (spec.qk_dim if single else spec.qk_dim + spec.v_dim)


class GroupedBlock:
    """Layers of one projection shape; ``kinds`` differ in what a query sees."""

    def __init__(self, kinds: Kinds, hidden: int, tp: int, precision: PrecisionPlan, prefix: str) -> None:
        spec = kinds[0][0]
        self.count, self.prefix = sum(count for _, count in kinds), prefix
        self.hidden, self.dtype = float(hidden), precision.attention
        q_heads = spec.q_heads / tp
        self.q_lora, self.query = float(spec.q_lora_rank), q_heads * spec.qk_dim
        self.out_width, self.gated = q_heads * spec.v_dim, spec.gated
        kv = kv_projection_width(spec, tp)
        # one product makes keys, values and gate, and the queries or what they are made from
        self.fused = (self.q_lora or self.query) + kv + (self.out_width if spec.gated else 0.0)
        self.heads = Heads(q_heads, local_kv_heads(spec, tp), spec.qk_dim, spec.v_dim, precision.kv, mla=spec.shared_kv)
        entry = 0.0 if spec.reuses_kv else local_kv_heads(spec, tp) * spec.entry_numbers / spec.kv_heads
        # reads q, k and v; writes q and the cache
        self.rope_bytes = 4.0 * self.query + 2.0 * kv + entry * weight_bytes(precision.kv)
        self.o_rank, self.o_groups = float(spec.o_lora_rank), spec.o_groups / tp
        self.quantised = precision.attention in QUANTISED_INPUTS
        self.cores = [Core.of(kind, count) for kind, count in kinds]
        self.indexers = [Indexer(kind, n, hidden, precision, prefix) for kind, n in kinds if kind.index_heads]
        self.compressors = [Compressor(kind, n, hidden, precision, prefix) for kind, n in kinds if kind.compress]

    def emit(self, tokens: StepTokens, out: list[Op], times: float = 1.0) -> None:
        m, count, prefix, dtype = tokens.tokens, self.count * times, self.prefix, self.dtype
        if self.quantised:
            out.append(quantise(f"{prefix}attn_quant", m, self.hidden, dtype, count))
        if self.q_lora:
            out.append(Gemm(f"{prefix}qkv_a_proj", m, self.fused, self.hidden, dtype, count))
            out.append(Elementwise(f"{prefix}latent_norm", 4.0 * m * self.q_lora, count=count))
            if self.quantised:
                out.append(quantise(f"{prefix}q_quant", m, self.q_lora, dtype, count))
            out.append(Gemm(f"{prefix}q_b_proj", m, self.query, self.q_lora, dtype, count))
        else:
            out.append(Gemm(f"{prefix}qkv_proj", m, self.fused, self.hidden, dtype, count))
        out.append(Elementwise(f"{prefix}rope_kv", m * self.rope_bytes, count=count))
        for compressor in self.compressors:
            compressor.emit(tokens, out, times)
        for indexer in self.indexers:
            indexer.emit(tokens, out, times)
        for core in self.cores:
            if tokens.decode_batch:
                out.append(self.heads.decode(f"{prefix}attn_decode{core.label}", tokens, core, times))
            if tokens.prefill_tokens:
                out.append(self.heads.prefill(f"{prefix}attn_prefill{core.label}", tokens, core, times))
        if self.gated:
            out.append(Elementwise(f"{prefix}attn_gate", 6.0 * m * self.out_width, count=count))
        self._emit_output(m, out, count)

    def _emit_output(self, m: float, out: list[Op], count: float) -> None:
        """The output projection, or one for each group of heads to a narrow width and one from there."""
        prefix, dtype, width = self.prefix, self.dtype, self.out_width
        if self.o_rank:
            # the narrow products have fewer columns than rows to quantise: engines keep their inputs in 16 bit
            groups = self.o_groups
            out.append(Gemm(f"{prefix}o_a_proj", m, self.o_rank, width / groups, dtype, count, groups))
            width = groups * self.o_rank
        if self.quantised:
            out.append(quantise(f"{prefix}o_quant", m, width, dtype, count))
        out.append(Gemm(f"{prefix}o_proj", m, self.hidden, width, dtype, count))
