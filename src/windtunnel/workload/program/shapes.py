"""Shape rules for operators that PyTorch's core leaves to the accelerator's plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._prims_common import suggest_memory_format

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


def _gru_cell(gates: torch.Tensor, hidden: torch.Tensor, state: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """gates, hidden [batch, 3 x width], state [batch, width] -> the next state and what the backward pass keeps."""
    return torch.empty_like(state), state.new_empty((state.shape[0], 5 * state.shape[1]))


def _gru_cell_backward(grad: torch.Tensor, kept: torch.Tensor, has_bias: bool) -> tuple[Any, ...]:
    batch, width = grad.shape
    gates = grad.new_empty((batch, 3 * width))
    bias = grad.new_empty(3 * width) if has_bias else None
    return gates, gates.clone(), torch.empty_like(grad), bias, bias.clone() if bias is not None else None


def _grouped_product(
    a: torch.Tensor, b: torch.Tensor, offs: torch.Tensor | None = None, bias: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:  # fmt: skip
    """a [rows, k] by b [groups, k, n] -> [rows, n], and the other forms in which one or both are cut by ``offs``. PyTorch's own
    rule knows bf16 alone; its kernels take fp16 and fp32 as well."""
    if a.dim() == 2 and b.dim() == 2:
        assert offs is not None
        shape: tuple[int, ...] = (offs.shape[0], a.shape[0], b.shape[1])
    elif a.dim() == 2:
        shape = (a.shape[0], b.shape[2])
    elif b.dim() == 2:
        shape = (a.shape[1], b.shape[1])
    else:
        shape = (a.shape[0], a.shape[1], b.shape[2])
    return a.new_empty(shape, dtype=out_dtype or a.dtype)


def _convolution(x: torch.Tensor, weight: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
    """As PyTorch's own rule, but in the layout that cuDNN gives: channels innermost where the images or the weights have them
    so (``cudnn_conv_suggest_memory_format``)."""
    out: torch.Tensor = _aten.convolution.default(x, weight, *rest, **options)
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(out.dim())
    if last is not None and last in (suggest_memory_format(x), suggest_memory_format(weight)):
        out = torch.empty(out.shape, dtype=out.dtype, device=out.device, memory_format=last)
    return out


SHAPES: dict[Any, Callable[..., Any]] = {
    _aten.convolution.default: _convolution,
    _aten._scaled_dot_product_fused_attention_overrideable.default: _fused_attention,
    _aten._scaled_dot_product_fused_attention_overrideable_backward.default: _fused_attention_backward,
    _aten._grouped_mm.default: _grouped_product,
    _aten._thnn_fused_gru_cell.default: _gru_cell,
    _aten._thnn_fused_gru_cell_backward.default: _gru_cell_backward,
}
