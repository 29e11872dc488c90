"""Shape rules for operators that PyTorch's core leaves to the accelerator's plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_aten = torch.ops.aten


def _fused_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_bias: torch.Tensor | None = None, *rest: Any, **options: Any
) -> tuple[Any, ...]:
    """query [batch, heads, q_len, qk_dim], value [batch, kv heads, kv_len, v_dim] -> [batch, heads, q_len, v_dim] and what the
    backward pass keeps."""
    batch, heads, q_len, _ = query.shape
    # the layout of the query, as fused kernels give it: [batch, q_len, heads, dim] underneath
    out = query.new_empty(batch, q_len, heads, value.shape[-1]).transpose(1, 2)
    none = query.new_empty(0, dtype=torch.int64)
    logsumexp = query.new_empty((batch, heads, q_len), dtype=torch.float32)
    seed = query.new_empty((), dtype=torch.int64)
    return out, logsumexp, none, none.clone(), q_len, key.shape[2], seed, seed.clone(), query.new_empty(0)


def _fused_attention_backward(
    grad: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_bias: torch.Tensor | None = None,
    *rest: Any, **options: Any,
) -> tuple[Any, ...]:  # fmt: skip
    bias = torch.empty_like(attn_bias) if attn_bias is not None else None
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), bias


SHAPES: dict[Any, Callable[..., Any]] = {
    _aten._scaled_dot_product_fused_attention_overrideable.default: _fused_attention,
    _aten._scaled_dot_product_fused_attention_overrideable_backward.default: _fused_attention_backward,
}
