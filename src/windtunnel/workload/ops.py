"""Operators as engines launch them, with their shapes, FLOPs and bytes: what the cost model prices.

Every operator is what ONE rank does, once; ``count`` says how often it runs in the step it belongs to.
A multiply-add is two FLOPs. Bytes are what must cross the memory interface at least once: weights and
operands read, results written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

BITS = {
    "fp64": 64.0,
    "fp32": 32.0,
    "tf32": 32.0,
    "bf16": 16.0,
    "fp16": 16.0,
    "fp8": 8.0,
    "fp8_wide": 8.0,
    "int8": 8.0,
    "w8a8_dynamic": 8.0,
    "fp6": 6.0,
    "fp4": 4.5,
    "w4a16": 4.5,
    "fp4_wide": 4.5,
    "w4a8": 4.5,
}
"""Stored bits a weight; four-bit formats carry one 8-bit scale for each 16 values (NVFP4) or a 16-bit one
for each 32 or so (MXFP4, GPTQ, AWQ), so half a bit is added."""

ACTIVATION_BITS = {**BITS, "w4a16": 16.0, "fp8_wide": 16.0, "fp4_wide": 16.0, "w4a8": 8.0}
COMPUTE_DTYPE = {"w8a8_dynamic": "int8", "w4a16": "bf16", "fp8_wide": "bf16", "fp4_wide": "bf16", "w4a8": "fp8"}
"""The matrix unit's input type where it differs from the storage type."""


def weight_bytes(dtype: str) -> float:
    """Bytes that one stored weight takes."""
    return BITS[dtype] / 8.0


def activation_bytes(dtype: str) -> float:
    """Bytes that one activation takes as the operator's input."""
    return ACTIVATION_BITS[dtype] / 8.0


@dataclass(frozen=True, slots=True)
class Gemm:
    """``batch`` products of m x k by k x n; dtype is the weights' and inputs', the result is 16 bit."""

    name: str
    m: float
    n: float
    k: float
    dtype: str
    count: float = 1.0
    batch: float = 1.0
    family = "gemm"

    @property
    def flops(self) -> float:
        return 2.0 * self.batch * self.m * self.n * self.k

    @property
    def bytes(self) -> float:
        return self.batch * (
            self.k * self.n * weight_bytes(self.dtype) + self.m * self.k * activation_bytes(self.dtype) + 2.0 * self.m * self.n
        )


@dataclass(frozen=True, slots=True)
class Attention:
    """Scaled dot-product attention of ``batch`` sequences, each with q_len new tokens that end a context of kv_len.

    prefill: causal over the new tokens (kv_len includes them). decode: q_len is 1, or 1 + drafted tokens.
    qk_dim and v_dim are per head; window > 0 limits what a token sees; topk > 0 likewise, chosen (sparse).
    mla: all heads share one cached vector of qk_dim, of which the value is a part (absorbed latent attention).
    causal False: every query sees every key (encoders, cross attention).
    compress > 0: a token sees the last ``window`` tokens (0: none) and entries that stand for ``compress``
    tokens each, topk of them at most where topk > 0.
    """

    name: str
    phase: Literal["prefill", "decode"]
    batch: float
    q_len: float
    kv_len: float
    q_heads: float
    kv_heads: float
    qk_dim: float
    v_dim: float
    kv_dtype: str = "bf16"
    mla: bool = False
    window: float = 0.0
    topk: float = 0.0
    count: float = 1.0
    compress: float = 0.0
    causal: bool = True

    @property
    def family(self) -> str:
        kind = "mla" if self.mla else "attention"
        return f"{kind}_{self.phase}"

    @property
    def seen(self) -> float:
        """Keys that one query sees on average."""
        if not self.causal:
            return self.kv_len
        if not self.compress:
            return self._seen(min(self.window or self.kv_len, self.topk or self.kv_len))
        entries = self._seen(self.topk * self.compress if self.topk else self.kv_len) / self.compress
        return entries + (self._seen(self.window) if self.window else 0.0)

    def _seen(self, limit: float) -> float:
        """Mean of min(past + i, limit) over the queries i = 1..q_len."""
        past = self.kv_len - self.q_len
        if not self.q_len or past >= limit:
            return min(limit, self.kv_len)
        ramp = min(self.q_len, limit - past)
        return (ramp * past + ramp * (ramp + 1.0) / 2.0 + (self.q_len - ramp) * limit) / self.q_len

    @property
    def keys_read(self) -> float:
        """Keys (and values) of one sequence that are read from memory at least once; queries choose different ones."""
        in_window = self.window + max(self.q_len - 1.0, 0.0)
        if not self.compress:
            return min(self.kv_len, in_window if self.window else self.kv_len, self.topk * self.q_len or self.kv_len)
        entries = self.kv_len / self.compress
        return min(entries, self.topk * self.q_len or entries) + (min(self.kv_len, in_window) if self.window else 0.0)

    @property
    def flops(self) -> float:
        return 2.0 * self.batch * self.q_len * self.seen * self.q_heads * (self.qk_dim + self.v_dim)

    @property
    def bytes(self) -> float:
        width = self.qk_dim if self.mla else self.qk_dim + self.v_dim
        kv = self.batch * self.keys_read * self.kv_heads * width * weight_bytes(self.kv_dtype)
        return kv + 2.0 * self.batch * self.q_len * self.q_heads * (self.qk_dim + self.v_dim)


@dataclass(frozen=True, slots=True)
class MoE:
    """The routed experts' feed-forward of one rank: router output to combined result, without communication.

    tokens: of all ``ep`` ranks together, each sent to ``topk`` of ``experts``; intermediate is the whole
    expert's, cut ``tp`` ways within a group. The rank holds experts / ep of them.
    """

    name: str
    tokens: float
    hidden: float
    intermediate: float
    experts: float
    topk: float
    dtype: str
    ep: float = 1.0
    tp: float = 1.0
    gated: bool = True
    count: float = 1.0
    family = "moe"

    @property
    def rank_tokens(self) -> float:
        """Token copies that reach this rank's experts when routing is even."""
        return self.tokens * self.topk / self.ep

    @property
    def local_experts(self) -> float:
        return self.experts / self.ep

    @property
    def active_experts(self) -> float:
        """Local experts that get at least one token, in expectation under even independent routing."""
        unreached: float = (1.0 - self.topk / self.experts) ** self.tokens
        return self.local_experts * (1.0 - unreached)

    @property
    def matrices(self) -> float:
        return 3.0 if self.gated else 2.0

    @property
    def flops(self) -> float:
        return 2.0 * self.rank_tokens * self.matrices * self.hidden * self.intermediate / self.tp

    @property
    def bytes(self) -> float:
        weights = self.active_experts * self.matrices * self.hidden * self.intermediate / self.tp * weight_bytes(self.dtype)
        inner = (self.matrices + 1.0) * self.intermediate / self.tp * 2.0
        moved = self.rank_tokens * (self.hidden * (activation_bytes(self.dtype) + 2.0) + inner)
        return weights + moved


@dataclass(frozen=True, slots=True)
class Elementwise:
    """A normalisation, activation, rotary embedding, quantisation, copy ...: bound by memory or by its launch."""

    name: str
    bytes: float
    flops: float = 0.0
    count: float = 1.0
    family = "elementwise"


@dataclass(frozen=True, slots=True)
class AttentionBackward:
    """The gradients of a prefill ``forward`` by queries, keys and values: five products where it has two."""

    name: str
    forward: Attention
    count: float = 1.0
    family = "attention_backward"

    @property
    def flops(self) -> float:
        return 2.5 * self.forward.flops

    @property
    def bytes(self) -> float:
        """Queries, keys, values, the output and its gradient read; three gradients written."""
        return (
            2.0 * self.forward.bytes + 2.0 * self.forward.batch * self.forward.q_len * self.forward.q_heads * self.forward.v_dim
        )


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution, or one of its two gradients: every direction multiplies and adds as often.

    image, result: spatial sizes of the forward's input and output (1 to 3 of them). kernel: likewise. in_channels and
    out_channels: the forward's, all groups together (groups = in_channels: depthwise). transposed convolutions name the
    convolution of which they are the gradient. channels_last: memory holds the channels innermost.
    """

    name: str
    batch: float
    in_channels: float
    out_channels: float
    image: tuple[float, ...]
    result: tuple[float, ...]
    kernel: tuple[float, ...]
    groups: float
    dtype: str
    channels_last: bool = False
    direction: Literal["forward", "input_gradient", "weight_gradient"] = "forward"
    count: float = 1.0
    family = "convolution"

    @property
    def depthwise(self) -> bool:
        return self.groups > 1 and self.groups >= self.in_channels

    @property
    def flops(self) -> float:
        taps = math.prod(self.kernel) * self.in_channels / self.groups
        return 2.0 * self.batch * math.prod(self.result) * self.out_channels * taps

    @property
    def bytes(self) -> float:
        """All three of input, weights and output cross the memory once, whatever the direction."""
        weights = math.prod(self.kernel) * self.in_channels / self.groups * self.out_channels
        images = self.batch * (math.prod(self.image) * self.in_channels + math.prod(self.result) * self.out_channels)
        return (weights + images) * activation_bytes(self.dtype)


PassKind = Literal[
    "pointwise",
    "copy",
    "transpose",
    "reduction",
    "norm",
    "softmax",
    "pool",
    "gather",
    "scatter",
    "resample",
    "sort",
    "random",
    "optimizer",
    "scan",
    "spectral",
    "other",
]
"""How a pass over memory walks: element by element, in order; moved; moved across strides; folded along dimensions; folded and
applied (layer, group, batch norm); windows; by index, read or written; interpolated; ordered; drawn; an optimiser's update of
many tensors at once; along a dimension, each from the one before; a Fourier transform; something else."""


@dataclass(frozen=True, slots=True)
class Pass:
    """An operator that a program bounds by memory: what it reads, what it writes, and how it walks.

    numel: elements of its largest operand. row: elements folded together (the normalised or reduced length, 1 where there
    is none). dtype: of its largest operand. contiguous: every operand lies in the order in which it is walked. tensors: how
    many it walks in one call where that is a list (multi-tensor kernels take so many at a launch), else 1.
    """

    name: str
    kind: PassKind
    read_bytes: float
    written_bytes: float
    numel: float
    dtype: str
    row: float = 1.0
    contiguous: bool = True
    flops: float = 0.0
    count: float = 1.0
    tensors: float = 1.0
    family = "pass"

    @property
    def bytes(self) -> float:
        return self.read_bytes + self.written_bytes


@dataclass(frozen=True, slots=True)
class LinearAttention:
    """Gated delta rule or Mamba-style state update: ``tokens`` new tokens over ``batch`` sequences.

    State per sequence and layer: v_heads * k_dim * v_dim numbers of 4 bytes, read and written once a step
    in decode, once a chunk in prefill.
    """

    name: str
    phase: Literal["prefill", "decode"]
    batch: float
    tokens: float
    k_heads: float
    v_heads: float
    k_dim: float
    v_dim: float
    count: float = 1.0
    chunk: float = 64.0

    @property
    def family(self) -> str:
        return f"linear_attention_{self.phase}"

    @property
    def flops(self) -> float:
        if self.phase == "decode":
            return 6.0 * self.tokens * self.v_heads * self.k_dim * self.v_dim
        intra = 2.0 * self.tokens * self.chunk * self.v_heads * (3.0 * self.k_dim + 2.0 * self.v_dim)
        return intra + 6.0 * self.tokens * self.v_heads * self.k_dim * self.v_dim

    @property
    def bytes(self) -> float:
        state = 4.0 * self.v_heads * self.k_dim * self.v_dim
        passes = self.tokens if self.phase == "decode" else max(self.batch, self.tokens / self.chunk)
        io = 2.0 * self.tokens * (2.0 * self.k_heads * self.k_dim + 2.0 * self.v_heads * self.v_dim)
        return 2.0 * state * passes + io


@dataclass(frozen=True, slots=True)
class Collective:
    """A collective among ``ranks`` ranks. bytes: the message of one rank.

    all_reduce: the tensor that each holds; all_gather: the gathered result; reduce_scatter: the input;
    all_to_all: what one rank sends in all; p2p: what is sent. domains: scale-up domains in which the ranks lie; 0 for
    neighbouring ranks, which lie in as few as can be.
    """

    name: str
    kind: Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "p2p"]
    bytes: float
    ranks: float
    count: float = 1.0
    domains: float = 0.0
    flops = 0.0
    family = "collective"


Op = Gemm | Attention | MoE | Elementwise | LinearAttention | Collective | AttentionBackward | Convolution | Pass
