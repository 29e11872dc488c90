"""Multi-head latent attention, absorbed in decode and expanded in prefill."""

from __future__ import annotations

from windtunnel.workload.llm.block import Core, Heads, quantise
from windtunnel.workload.llm.grouped import Kinds
from windtunnel.workload.llm.indexer import Indexer
from windtunnel.workload.llm.precision import QUANTISED_INPUTS, PrecisionPlan
from windtunnel.workload.llm.tokens import StepTokens
from windtunnel.workload.ops import Elementwise, Gemm, Op, weight_bytes


class LatentBlock:
    """Layers of one projection shape; ``kinds`` differ in sparsity.

    Decode absorbs the up-projections into query and output, so that all heads share the cached latent. Prefill
    expands the latent of new and cached tokens to keys and values of every head; but sparse attention reads
    chosen latents, so where it chooses prefill absorbs as well. The down-projections are whole on every rank.
    """

    def __init__(self, kinds: Kinds, hidden: int, tp: int, precision: PrecisionPlan, prefix: str) -> None:
        spec = kinds[0][0]
        self.count, self.prefix = sum(count for _, count in kinds), prefix
        self.hidden, self.dtype, self.absorbed = float(hidden), precision.attention, precision.absorbed
        self.local = spec.q_heads / tp
        self.q_lora, self.kv_lora = float(spec.q_lora_rank), float(spec.kv_lora_rank)
        self.nope, self.v, self.gated = float(spec.nope_dim), float(spec.v_dim), spec.gated
        self.latent, self.qk = float(spec.kv_lora_rank + spec.rope_dim), float(spec.nope_dim + spec.rope_dim)
        self.shared = Heads(self.local, 1.0, self.latent, self.kv_lora, precision.kv, mla=True)
        self.expanded = Heads(self.local, self.local, self.qk, self.v, "bf16")
        self.rope_bytes = 4.0 * self.local * spec.rope_dim + self.latent * (2.0 + weight_bytes(precision.kv))
        self.quantised = precision.attention in QUANTISED_INPUTS
        self.cores = [Core.of(kind, count) for kind, count in kinds]
        self.indexers = [Indexer(kind, n, hidden, precision, prefix) for kind, n in kinds if kind.index_heads]

    def emit(self, tokens: StepTokens, out: list[Op], times: float = 1.0) -> None:
        m, count, prefix, dtype = tokens.tokens, self.count * times, self.prefix, self.dtype
        if self.quantised:
            out.append(quantise(f"{prefix}attn_quant", m, self.hidden, dtype, count))
        out.append(Gemm(f"{prefix}qkv_a_proj", m, self.q_lora + self.latent, self.hidden, dtype, count))
        out.append(Elementwise(f"{prefix}latent_norm", 4.0 * m * (self.q_lora + self.kv_lora), count=count))
        if self.q_lora:
            if self.quantised:
                out.append(quantise(f"{prefix}q_quant", m, self.q_lora, dtype, count))
            out.append(Gemm(f"{prefix}q_b_proj", m, self.local * self.qk, self.q_lora, dtype, count))
        else:
            out.append(Gemm(f"{prefix}q_proj", m, self.local * self.qk, self.hidden, dtype, count))
        out.append(Elementwise(f"{prefix}rope_kv", m * self.rope_bytes, count=count))
        for indexer in self.indexers:
            indexer.emit(tokens, out, times)
        for core in self.cores:
            self._emit_core(core, tokens, out, times)
        width = self.local * self.v
        if self.gated:
            out.append(Gemm(f"{prefix}attn_gate_proj", m, width, self.hidden, dtype, count))
            out.append(Elementwise(f"{prefix}attn_gate", 6.0 * m * width, count=count))
        if self.quantised:
            out.append(quantise(f"{prefix}o_quant", m, width, dtype, count))
        out.append(Gemm(f"{prefix}o_proj", m, self.hidden, width, dtype, count))

    def _emit_core(self, core: Core, tokens: StepTokens, out: list[Op], times: float) -> None:
        prefix, n = self.prefix, core.count * times
        sparse_prefill = 0.0 < core.topk < tokens.prefill_kv and tokens.prefill_tokens > 0.0
        absorbed = tokens.decode_tokens + (tokens.prefill_tokens if sparse_prefill else 0.0)
        if absorbed:
            out.append(Gemm(f"{prefix}absorb_q", absorbed, self.kv_lora, self.nope, self.absorbed, n, self.local))
        if tokens.decode_batch:
            out.append(self.shared.decode(f"{prefix}attn_decode", tokens, core, times))
        if sparse_prefill:
            out.append(self.shared.prefill(f"{prefix}attn_prefill", tokens, core, times))
        elif tokens.prefill_tokens:
            rows = tokens.sequences * tokens.prefill_kv
            out.append(Gemm(f"{prefix}kv_b_proj", rows, self.local * (self.nope + self.v), self.kv_lora, self.dtype, n))
            out.append(self.expanded.prefill(f"{prefix}attn_prefill", tokens, core, times))
        if absorbed:
            out.append(Gemm(f"{prefix}absorb_v", absorbed, self.v, self.kv_lora, self.absorbed, n, self.local))
