"""Linear attention: gated delta rule, Kimi delta attention, Mamba-2."""

from __future__ import annotations

from windtunnel.catalog.model import AttentionSpec
from windtunnel.workload.llm.block import quantise
from windtunnel.workload.llm.grouped import Kinds
from windtunnel.workload.llm.precision import QUANTISED_INPUTS, PrecisionPlan
from windtunnel.workload.llm.tokens import StepTokens
from windtunnel.workload.ops import Elementwise, Gemm, LinearAttention, Op


def mixed_width(spec: AttentionSpec, tp: int) -> float:
    """Channels of q, k and v on one rank, which the short convolution runs over."""
    return (2 * spec.q_heads * spec.qk_dim + spec.kv_heads * spec.v_dim) / tp


class LinearBlock:
    """A short convolution and a state instead of a cache; the state is read and written once a decode step."""

    def __init__(self, kinds: Kinds, hidden: int, tp: int, precision: PrecisionPlan, prefix: str) -> None:
        spec = kinds[0][0]
        self.count, self.prefix = sum(count for _, count in kinds), prefix
        self.hidden, self.dtype = float(hidden), precision.attention
        self.k_heads, self.v_heads = spec.q_heads / tp, spec.kv_heads / tp
        self.k, self.v = float(spec.qk_dim), float(spec.v_dim)
        self.value, self.mixed, self.taps = self.v_heads * self.v, mixed_width(spec, tp), float(spec.conv_width)
        self.gate_rank, self.decay_rank = float(spec.gate_rank), float(spec.decay_rank)
        # q, k, v, the output gate, one or two scalars a value head; ranks of gate and decay are whole on every rank
        scalars = self.v_heads * (1.0 if spec.decay_rank else 2.0)
        self.fused = self.mixed + (self.gate_rank or self.value) + scalars + self.decay_rank
        self.quantised = precision.attention in QUANTISED_INPUTS

    def emit(self, tokens: StepTokens, out: list[Op], times: float = 1.0) -> None:
        m, count, prefix, dtype = tokens.tokens, self.count * times, self.prefix, self.dtype
        if self.quantised:
            out.append(quantise(f"{prefix}linear_quant", m, self.hidden, dtype, count))
        out.append(Gemm(f"{prefix}linear_in_proj", m, self.fused, self.hidden, dtype, count))
        if self.gate_rank:
            out.append(Gemm(f"{prefix}linear_gate_proj", m, self.value, self.gate_rank, dtype, count))
        if self.decay_rank:
            out.append(Gemm(f"{prefix}linear_decay_proj", m, self.v_heads * self.k, self.decay_rank, dtype, count))
        if self.taps:
            # inputs and outputs, and every sequence's last inputs
            kept = tokens.decode_batch + tokens.sequences
            moved = 4.0 * self.mixed * (m + kept * self.taps)
            out.append(Elementwise(f"{prefix}linear_conv", moved, 2.0 * m * self.mixed * self.taps, count))
        shape = (self.k_heads, self.v_heads, self.k, self.v, count)
        if tokens.decode_batch:
            rows = tokens.decode_tokens
            out.append(LinearAttention(f"{prefix}linear_attn_decode", "decode", tokens.decode_batch, rows, *shape))
        if tokens.prefill_tokens:
            rows = tokens.prefill_tokens
            out.append(LinearAttention(f"{prefix}linear_attn_prefill", "prefill", tokens.sequences, rows, *shape))
        out.append(Elementwise(f"{prefix}linear_norm_gate", 6.0 * m * self.value, count=count))
        if self.quantised:
            out.append(quantise(f"{prefix}linear_out_quant", m, self.value, dtype, count))
        out.append(Gemm(f"{prefix}linear_out_proj", m, self.hidden, self.value, dtype, count))
