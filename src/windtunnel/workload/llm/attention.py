"""The token mixers of a step: projections, caches, attention cores and linear-attention states.

A block stands for all layers of one projection shape; its cores differ in window or sparsity only.
``emit`` appends the operators of one rank; nothing is made per layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from windtunnel.catalog.model import AttentionSpec
from windtunnel.workload.llm.precision import QUANTISED_INPUTS, PrecisionPlan
from windtunnel.workload.llm.tokens import StepTokens
from windtunnel.workload.ops import Attention, Elementwise, Gemm, LinearAttention, Op, activation_bytes, weight_bytes

Cores = list[tuple[AttentionSpec, float]]


class Block(Protocol):
    """Equal layers that turn a step's tokens into operators; ``times`` multiplies how often they run."""

    def emit(self, tokens: StepTokens, out: list[Op], times: float = 1.0) -> None: ...


def quantise(name: str, rows: float, width: float, dtype: str, count: float) -> Elementwise:
    """Turns rows x width of 16 bit into the matrix unit's input type."""
    return Elementwise(name, rows * width * (2.0 + activation_bytes(dtype)), count=count)


def attention_blocks(layers: Cores, hidden: int, tp: int, precision: PrecisionPlan, prefix: str = "") -> list[Block]:
    """Blocks for ``layers`` (a mixer and how many layers have it), those of one projection shape merged."""
    shapes: dict[AttentionSpec, Cores] = {}
    for spec, count in layers:
        cores = shapes.setdefault(replace(spec, window=0, topk=0), [])
        for i, (known, have) in enumerate(cores):
            if known == spec:
                cores[i] = (known, have + count)
                break
        else:
            cores.append((spec, count))
    blocks: list[Block] = []
    for shape, cores in shapes.items():
        blocks.append(BLOCKS[shape.kind](shape, cores, hidden, tp, precision, prefix))
    return blocks


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of an attention core on one rank."""

    q_heads: float
    kv_heads: float
    qk_dim: float
    v_dim: float
    kv_dtype: str
    mla: bool = False

    def decode(self, name: str, tokens: StepTokens, window: float, topk: float, count: float) -> Attention:
        return Attention(
            name, "decode", tokens.decode_batch, tokens.decode_q, tokens.decode_kv,
            self.q_heads, self.kv_heads, self.qk_dim, self.v_dim, self.kv_dtype, self.mla, window, topk, count,
        )  # fmt: skip

    def prefill(self, name: str, tokens: StepTokens, window: float, topk: float, count: float) -> Attention:
        return Attention(
            name, "prefill", tokens.sequences, tokens.chunk, tokens.prefill_kv,
            self.q_heads, self.kv_heads, self.qk_dim, self.v_dim, self.kv_dtype, self.mla, window, topk, count,
        )  # fmt: skip


class Indexer:
    """Chooses the keys of sparse attention; every rank of a tensor-parallel group does all of it."""

    def __init__(self, spec: AttentionSpec, count: float, hidden: int, precision: PrecisionPlan, prefix: str) -> None:
        self.heads, self.dim, self.count, self.hidden = float(spec.index_heads), float(spec.index_dim), count, float(hidden)
        self.query_in, self.dtype = float(spec.q_lora_rank or hidden), precision.attention
        # scores of every query against all keys, which are one head of fp8
        self.scores = Heads(self.heads, 1.0, self.dim, 0.0, "fp8")
        self.q_name, self.k_name = f"{prefix}index_q_proj", f"{prefix}index_k_proj"
        self.logits_name, self.topk_name = f"{prefix}index_logits", f"{prefix}index_topk"

    def emit(self, tokens: StepTokens, out: list[Op], times: float) -> None:
        count, m, heads, dim = self.count * times, tokens.tokens, self.heads, self.dim
        out.append(Gemm(self.q_name, m, heads * dim, self.query_in, self.dtype, count))
        out.append(Gemm(self.k_name, m, dim + heads, self.hidden, self.dtype, count))
        logits = 0.0
        if tokens.decode_batch:
            core = self.scores.decode(f"{self.logits_name}_decode", tokens, 0.0, 0.0, count)
            out.append(core)
            logits += tokens.decode_tokens * core.seen
        if tokens.prefill_tokens:
            core = self.scores.prefill(f"{self.logits_name}_prefill", tokens, 0.0, 0.0, count)
            out.append(core)
            logits += tokens.prefill_tokens * core.seen
        # fp32 logits are written once and read once to choose from
        out.append(Elementwise(self.topk_name, 8.0 * logits, count=count))


class GroupedBlock:
    """Multi-head and grouped-query attention, with a window, a gate or sparsity where the model has one."""

    def __init__(self, spec: AttentionSpec, cores: Cores, hidden: int, tp: int, precision: PrecisionPlan, prefix: str) -> None:
        self.count = sum(count for _, count in cores)
        self.hidden, self.dtype = float(hidden), precision.attention
        self.q_heads = spec.q_heads / tp
        self.kv_heads = max(spec.kv_heads / tp, 1.0)
        self.qk, self.v, self.gated = float(spec.qk_dim), float(spec.v_dim), spec.gated
        self.shape = Heads(self.q_heads, self.kv_heads, self.qk, self.v, precision.kv)
        kv_width = self.kv_heads * (self.qk + self.v)
        self.fused = self.q_heads * self.qk * (2.0 if spec.gated else 1.0) + kv_width
        self.out_width = self.q_heads * self.v
        # reads q, k, v; writes q and the cache
        self.rope_bytes = 4.0 * self.q_heads * self.qk + kv_width * (2.0 + weight_bytes(precision.kv))
        self.quantised = precision.attention in QUANTISED_INPUTS
        self.cores = [(f"{'_window' if core.window else ''}", float(core.window), float(core.topk), n) for core, n in cores]
        self.indexer = Indexer(spec, self.count, hidden, precision, prefix) if spec.index_heads else None
        self.prefix = prefix

    def emit(self, tokens: StepTokens, out: list[Op], times: float = 1.0) -> None:
        m, count, prefix = tokens.tokens, self.count * times, self.prefix
        if self.quantised:
            out.append(quantise(f"{prefix}attn_quant", m, self.hidden, self.dtype, count))
        out.append(Gemm(f"{prefix}qkv_proj", m, self.fused, self.hidden, self.dtype, count))
        out.append(Elementwise(f"{prefix}rope_kv", m * self.rope_bytes, count=count))
        if self.indexer:
            self.indexer.emit(tokens, out, times)
        for suffix, window, topk, n in self.cores:
            n *= times
            if tokens.decode_batch:
                out.append(self.shape.decode(f"{prefix}attn_decode{suffix}", tokens, window, topk, n))
            if tokens.prefill_tokens:
                out.append(self.shape.prefill(f"{prefix}attn_prefill{suffix}", tokens, window, topk, n))
        if self.gated:
            out.append(Elementwise(f"{prefix}attn_gate", 6.0 * m * self.out_width, count=count))
        if self.quantised:
            out.append(quantise(f"{prefix}o_quant", m, self.out_width, self.dtype, count))
        out.append(Gemm(f"{prefix}o_proj", m, self.hidden, self.out_width, self.dtype, count))


class LatentBlock:
    """Multi-head latent attention.

    Decode absorbs the up-projections into the query and the output, so that all heads share the cached latent;
    prefill expands the latent of new and cached tokens to keys and values of every head. Sparse attention reads
    chosen latents, so there prefill absorbs as well. The down-projections are the same on every rank.
    """

    def __init__(self, spec: AttentionSpec, cores: Cores, hidden: int, tp: int, precision: PrecisionPlan, prefix: str) -> None:
        self.count = sum(count for _, count in cores)
        self.hidden, self.dtype, self.absorbed = float(hidden), precision.attention, precision.absorbed
        self.heads = spec.q_heads / tp
        self.q_lora, self.kv_lora, self.rope = float(spec.q_lora_rank), float(spec.kv_lora_rank), float(spec.rope_dim)
        self.nope, self.v = float(spec.nope_dim), float(spec.v_dim)
        self.latent, self.qk = self.kv_lora + self.rope, self.nope + self.rope
        self.shared_latent = Heads(self.heads, 1.0, self.latent, self.kv_lora, precision.kv, mla=True)
        self.expanded = Heads(self.heads, self.heads, self.qk, self.v, "bf16")
        self.rope_bytes = 4.0 * self.heads * self.rope + self.latent * (2.0 + weight_bytes(precision.kv))
        self.quantised = precision.attention in QUANTISED_INPUTS
        self.cores = [(float(core.window), float(core.topk), n) for core, n in cores]
        self.indexer = Indexer(spec, self.count, hidden, precision, prefix) if spec.index_heads else None
        self.prefix = prefix

    def emit(self, tokens: StepTokens, out: list[Op], times: float = 1.0) -> None:
        m, count, prefix, dtype = tokens.tokens, self.count * times, self.prefix, self.dtype
        if self.quantised:
            out.append(quantise(f"{prefix}attn_quant", m, self.hidden, dtype, count))
        out.append(Gemm(f"{prefix}qkv_a_proj", m, self.q_lora + self.latent, self.hidden, dtype, count))
        out.append(Elementwise(f"{prefix}latent_norm", 4.0 * m * (self.q_lora + self.kv_lora), count=count))
        query_in = self.q_lora or self.hidden
        if self.quantised and self.q_lora:
            out.append(quantise(f"{prefix}q_quant", m, self.q_lora, dtype, count))
        out.append(Gemm(f"{prefix}q_b_proj", m, self.heads * self.qk, query_in, dtype, count))
        out.append(Elementwise(f"{prefix}rope_kv", m * self.rope_bytes, count=count))
        if self.indexer:
            self.indexer.emit(tokens, out, times)
        for window, topk, n in self.cores:
            n *= times
            absorbed_rows = tokens.decode_tokens
            sparse_prefill = bool(topk) and tokens.prefill_kv > topk
            if sparse_prefill:
                absorbed_rows += tokens.prefill_tokens
            if absorbed_rows:
                out.append(Gemm(f"{prefix}absorb_q", absorbed_rows, self.kv_lora, self.nope, self.absorbed, n, self.heads))
            if tokens.decode_batch:
                out.append(self.shared_latent.decode(f"{prefix}attn_decode", tokens, window, topk, n))
            if sparse_prefill:
                out.append(self.shared_latent.prefill(f"{prefix}attn_prefill", tokens, window, topk, n))
            elif tokens.prefill_tokens:
                rows = tokens.sequences * tokens.prefill_kv
                out.append(Gemm(f"{prefix}kv_b_proj", rows, self.heads * (self.nope + self.v), self.kv_lora, dtype, n))
                out.append(self.expanded.prefill(f"{prefix}attn_prefill", tokens, window, topk, n))
            if absorbed_rows:
                out.append(Gemm(f"{prefix}absorb_v", absorbed_rows, self.v, self.kv_lora, self.absorbed, n, self.heads))
        if self.quantised:
            out.append(quantise(f"{prefix}o_quant", m, self.heads * self.v, dtype, count))
        out.append(Gemm(f"{prefix}o_proj", m, self.hidden, self.heads * self.v, dtype, count))


class LinearBlock:
    """Gated delta rule, Mamba-2 and kin: a short convolution and a state instead of a cache."""

    def __init__(self, spec: AttentionSpec, cores: Cores, hidden: int, tp: int, precision: PrecisionPlan, prefix: str) -> None:
        self.count = sum(count for _, count in cores)
        self.hidden, self.dtype, self.prefix = float(hidden), precision.attention, prefix
        self.k_heads, self.v_heads, self.k, self.v = spec.q_heads / tp, spec.kv_heads / tp, float(spec.qk_dim), float(spec.v_dim)
        self.value_width = self.v_heads * self.v
        self.mixed = 2.0 * self.k_heads * self.k + self.value_width
        self.conv_width = float(spec.conv_width)
        # q, k, v, the output gate z, and two scalars a value head
        self.fused = self.mixed + self.value_width + 2.0 * self.v_heads
        self.quantised = precision.attention in QUANTISED_INPUTS

    def emit(self, tokens: StepTokens, out: list[Op], times: float = 1.0) -> None:
        m, count, prefix = tokens.tokens, self.count * times, self.prefix
        if self.quantised:
            out.append(quantise(f"{prefix}linear_quant", m, self.hidden, self.dtype, count))
        out.append(Gemm(f"{prefix}linear_in_proj", m, self.fused, self.hidden, self.dtype, count))
        if self.conv_width:
            # inputs and outputs, and the last conv_width inputs of every sequence as its state
            kept = tokens.decode_batch + tokens.sequences
            moved = 4.0 * self.mixed * (m + kept * self.conv_width)
            out.append(Elementwise(f"{prefix}linear_conv", moved, 2.0 * m * self.mixed * self.conv_width, count))
        for phase, batch, rows in (
            ("decode", tokens.decode_batch, tokens.decode_tokens),
            ("prefill", tokens.sequences, tokens.prefill_tokens),
        ):
            if rows:
                out.append(LinearAttention(f"{prefix}linear_{phase}", phase, batch, rows, self.k_heads, self.v_heads,  # type: ignore[arg-type]
                                           self.k, self.v, count))  # fmt: skip
        out.append(Elementwise(f"{prefix}linear_norm_gate", 6.0 * m * self.value_width, count=count))
        if self.quantised:
            out.append(quantise(f"{prefix}linear_out_quant", m, self.value_width, self.dtype, count))
        out.append(Gemm(f"{prefix}linear_out_proj", m, self.hidden, self.value_width, self.dtype, count))


BLOCKS: dict[str, Callable[[AttentionSpec, Cores, int, int, PrecisionPlan, str], Block]] = {
    "gqa": GroupedBlock,
    "mla": LatentBlock,
    "linear": LinearBlock,
}
