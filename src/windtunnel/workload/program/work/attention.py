"""Scaled dot-product attention, by whichever of PyTorch's operators it comes, and its gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from windtunnel.workload.ops import Attention, AttentionBackward
from windtunnel.workload.program.call import Call, TensorSpec
from windtunnel.workload.program.work.traffic import Ops, Rule

MOST_DECODED, LONG_CONTEXT = 8, 16
"""A few new tokens over a long context are decoded: kernels split the context instead of the queries. At most so many queries,
at least so many keys to each."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where an overload takes what matters, by place among its positional arguments (-1: not there).

    heads_last: [batch, seq, heads, dim] instead of [batch, heads, seq, dim]. offsets: of the queries' start of each
    sequence where all lie in one row. kind: the place holds a kind of mask (0 none, 1 causal from the first key, 2 from the
    last).
    """

    causal: int
    query: int = 0
    mask: int = -1
    heads_last: bool = False
    offsets: int = -1
    kind: bool = False


_FORWARD = {
    "scaled_dot_product_attention": Places(5, mask=3),
    "_scaled_dot_product_attention_math": Places(5, mask=3),
    "_scaled_dot_product_fused_attention_overrideable": Places(5, mask=3),
    "_scaled_dot_product_flash_attention": Places(4),
    "_scaled_dot_product_flash_attention_for_cpu": Places(4),
    "_scaled_dot_product_efficient_attention": Places(6, mask=3),
    "_scaled_dot_product_cudnn_attention": Places(6, mask=3),
    "_flash_attention_forward": Places(8, heads_last=True, offsets=3),
    "_efficient_attention_forward": Places(9, mask=3, heads_last=True, offsets=4, kind=True),
    "_cudnn_attention_forward": Places(10, mask=3),
    "flex_attention": Places(-1),
}
_BACKWARD = {
    "_scaled_dot_product_fused_attention_overrideable_backward": Places(13, 1, mask=4),
    "_scaled_dot_product_flash_attention_backward": Places(11, 1),
    "_scaled_dot_product_flash_attention_for_cpu_backward": Places(7, 1),
    "_scaled_dot_product_efficient_attention_backward": Places(11, 1, mask=4),
    "_scaled_dot_product_cudnn_attention_backward": Places(14, 1, mask=8),
    "_flash_attention_backward": Places(11, 1, heads_last=True, offsets=6),
    "_efficient_attention_backward": Places(14, 1, mask=4, heads_last=True, offsets=6, kind=True),
    "_cudnn_attention_backward": Places(14, 1, mask=8),
}
_QUANTIZED_SHIFT = 3
"""Overloads for 8-bit operands take three scales before the rest."""


def attention(
    name: str, q: TensorSpec, k: TensorSpec, v: TensorSpec, causal: Literal["", "first", "last"], *,
    heads_last: bool = False, sequences: int = 0, window: float = 0.0,
) -> Attention:  # fmt: skip
    """The attention of q over k and v. causal: queries count from the first key (PyTorch's ``is_causal``), or end at the last.

    sequences: how many lie in one row of [tokens, heads, dim]; they are taken as equally long.
    """
    if heads_last:
        q_len, heads = q.shape[-3], q.shape[-2]
        kv_len, kv_heads = k.shape[-3], k.shape[-2]
        batch = q.shape[0] if len(q.shape) > 3 else 1
    else:
        q_len, heads = q.shape[-2], q.shape[-3] if len(q.shape) > 2 else 1
        kv_len, kv_heads = k.shape[-2], k.shape[-3] if len(k.shape) > 2 else 1
        batch = q.numel // max(heads * q_len * q.shape[-1], 1)
    queries, keys, count = float(q_len), float(kv_len), float(batch)
    if sequences:
        queries, keys, count = count * queries / sequences, count * keys / sequences, float(sequences)
    if causal == "first":
        # a query sees keys no later than its own place; what lies after the last query's is never read
        window = min(window or keys, keys) if queries > keys else window
        keys = queries
    decoded = queries <= 1 or (queries <= MOST_DECODED and keys >= LONG_CONTEXT * queries)
    return Attention(
        name, "decode" if decoded and keys > 1 else "prefill", count, queries, keys, float(heads), float(kv_heads),
        float(q.shape[-1]), float(v.shape[-1]), k.dtype, window=window, causal=bool(causal),
    )  # fmt: skip


def _of(call: Call, places: Places, name: str) -> Attention | None:
    q, k, v = call.args[places.query : places.query + 3]
    if not q.numel or not k.numel:
        return None
    shift = _QUANTIZED_SHIFT if call.op.endswith(".quantized") else 0
    offsets = call.option("cum_seq_q", places.offsets) if places.offsets >= 0 else None
    sequences = max(offsets.shape[0] - 1, 1) if isinstance(offsets, TensorSpec) and offsets.shape else 0
    masked = isinstance(call.option("attn_mask") if places.mask < 0 else call.option("attn_bias", places.mask), TensorSpec)
    masked = masked or isinstance(call.option("attn_mask"), TensorSpec)
    told = call.option("custom_mask_type" if places.kind else "is_causal", places.causal + shift) if places.causal >= 0 else 0
    window = call.option("window_size_left")
    causal: Literal["", "first", "last"] = ""
    if told and not masked:
        causal = "last" if (places.kind and told == 2) or (places.heads_last and not places.kind) else "first"
    limit = float(window + 1) if causal and isinstance(window, int) and window >= 0 else 0.0
    return attention(name, q, k, v, causal, heads_last=places.heads_last, sequences=sequences, window=limit)


def _forward(call: Call) -> Ops:
    found = _of(call, _FORWARD[call.name], call.name)
    return () if found is None else (found,)


def _backward(call: Call) -> Ops:
    found = _of(call, _BACKWARD[call.name], call.name)
    if found is None:
        return ()
    if found.phase == "decode":  # gradients split queries and keys alike, however few the queries
        found = Attention(
            found.name, "prefill", found.batch, found.q_len, found.kv_len, found.q_heads, found.kv_heads, found.qk_dim,
            found.v_dim, found.kv_dtype, window=found.window, causal=found.causal,
        )  # fmt: skip
    return (AttentionBackward(call.name, found),)


RULES: Mapping[str, Rule] = {**dict.fromkeys(_FORWARD, _forward), **dict.fromkeys(_BACKWARD, _backward)}
