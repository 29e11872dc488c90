"""The fused operators of torch_npu that programs call most, defined for PyTorch's dispatcher under the namespace ``npu``.

Each is a formula of PyTorch's own operators: run on shapes it tells what comes out, run on the CPU's values it computes.
The virtual chip runs it as one kernel.

**Source:** signatures as op_plugin_functions.yaml of torch_npu has them; what they compute, from the API pages of "Ascend
Extension for PyTorch".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

_kept: list[torch.library.Library] = []
_STATISTICS = 8
"""Last dimension of npu_fusion_attention's softmax statistics."""

_ATTENTION_OPTIONS = (
    "int inner_precise=0, int[]? prefix=None, int[]? actual_seq_qlen=None, int[]? actual_seq_kvlen=None, int sparse_mode=0, "
    "bool gen_mask_parallel=True, bool sync=False"
)
SCHEMAS = (
    "npu_rms_norm(Tensor self, Tensor gamma, float epsilon=1e-06) -> (Tensor, Tensor)",
    "npu_rms_norm_backward(Tensor dy, Tensor self, Tensor gamma, Tensor rstd) -> (Tensor, Tensor)",
    "npu_add_rms_norm(Tensor x1, Tensor x2, Tensor gamma, float epsilon=1e-06) -> (Tensor, Tensor, Tensor)",
    "npu_rotary_mul(Tensor self, Tensor r1, Tensor r2, str rotary_mode='half') -> Tensor",
    "npu_rotary_mul_backward(Tensor grad, Tensor self, Tensor r1, Tensor r2, str rotary_mode='half') -> (Tensor, Tensor, Tensor)",
    "npu_swiglu(Tensor self, int dim=-1) -> Tensor",
    "npu_swiglu_backward(Tensor grad_output, Tensor self, int dim=-1) -> Tensor",
    "npu_gelu(Tensor self, *, str approximate='none') -> Tensor",
    "npu_gelu_backward(Tensor grad, Tensor self, *, str approximate='none') -> Tensor",
    "npu_fast_gelu(Tensor self) -> Tensor",
    "npu_silu(Tensor self) -> Tensor",
    "npu_geglu(Tensor self, int dim=-1, int approximate=1, bool activate_left=False) -> (Tensor, Tensor)",
    "npu_scaled_masked_softmax(Tensor x, Tensor mask, Scalar scale=1.0, bool fixed_triu_mask=False) -> Tensor",
    "npu_dtype_cast(Tensor self, ScalarType dtype) -> Tensor",
    "npu_format_cast(Tensor self, int acl_format) -> Tensor",
    "npu_dynamic_quant(Tensor x) -> (Tensor, Tensor)",
    "npu_grouped_matmul(Tensor[] x, Tensor[] weight, *, Tensor[]? bias=None, Tensor? group_list=None, int split_item=0, "
    "int group_type=-1, int group_list_type=0) -> Tensor[]",
    "npu_grouped_matmul.List(Tensor[] x, Tensor[] weight, *, Tensor[]? bias=None, int[]? group_list=None, int split_item=0, "
    "int group_type=-1, int group_list_type=0) -> Tensor[]",
    "npu_fusion_attention(Tensor query, Tensor key, Tensor value, int head_num, str input_layout, Tensor? pse=None, "
    "Tensor? padding_mask=None, Tensor? atten_mask=None, float scale=1.0, float keep_prob=1.0, int pre_tockens=2147483647, "
    f"int next_tockens=2147483647, {_ATTENTION_OPTIONS}) -> (Tensor, Tensor, Tensor, Tensor, int, int, int)",
    "npu_fusion_attention_grad(Tensor query, Tensor key, Tensor value, Tensor dy, int head_num, str input_layout, *, "
    "Tensor? pse=None, Tensor? padding_mask=None, Tensor? atten_mask=None, float scale_value=1.0, float keep_prob=1.0, "
    f"int pre_tockens=2147483647, int next_tockens=2147483647, {_ATTENTION_OPTIONS}) -> (Tensor, Tensor, Tensor)",
)
"""The operators that are known; what they cost is ``work.npu``'s."""


def define() -> None:
    """Make them known to PyTorch, once a process."""
    if _kept:
        return
    library = torch.library.Library("npu", "DEF")
    _kept.append(library)
    for schema in SCHEMAS:
        name = schema.split("(")[0]
        library.define(schema)
        library.impl(name, _FORMULAS[name.split(".")[0]], "CompositeExplicitAutograd")
    for name, (setup, backward) in _BACKWARD.items():
        torch.library.register_autograd(f"npu::{name}", backward, setup_context=setup, lib=library)


# --- the formulas


def _rms_norm(x: torch.Tensor, gamma: torch.Tensor, epsilon: float = 1e-6) -> tuple[torch.Tensor, torch.Tensor]:
    wide = x.float()
    over = tuple(range(-gamma.dim(), 0))
    rstd = torch.rsqrt(wide.square().mean(over, keepdim=True) + epsilon)
    return (wide * rstd * gamma.float()).to(x.dtype), rstd


def _rms_norm_backward(
    dy: torch.Tensor, x: torch.Tensor, gamma: torch.Tensor, rstd: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    over = tuple(range(-gamma.dim(), 0))
    normal, scaled = x.float() * rstd, dy.float() * gamma.float()
    dx = rstd * (scaled - normal * (scaled * normal).mean(over, keepdim=True))
    rows = tuple(range(x.dim() - gamma.dim()))
    return dx.to(x.dtype), (dy.float() * normal).sum(rows).to(gamma.dtype) if rows else (dy.float() * normal).to(gamma.dtype)


def _add_rms_norm(
    x1: torch.Tensor, x2: torch.Tensor, gamma: torch.Tensor, epsilon: float = 1e-6
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = x1 + x2
    return (*_rms_norm(x, gamma, epsilon), x)


def _rotated(x: torch.Tensor, mode: str, back: bool = False) -> torch.Tensor:
    """Pairs turned by a right angle; back: the other way."""
    if mode == "interleave":
        a, b = x[..., ::2], x[..., 1::2]
        return torch.stack((b, -a) if back else (-b, a), -1).flatten(-2)
    a, b = x.chunk(2, -1)
    return torch.cat((b, -a) if back else (-b, a), -1)


def _rotary_mul(x: torch.Tensor, r1: torch.Tensor, r2: torch.Tensor, rotary_mode: str = "half") -> torch.Tensor:
    return (x * r1 + _rotated(x, rotary_mode) * r2).to(x.dtype)


def _rotary_mul_backward(
    grad: torch.Tensor, x: torch.Tensor, r1: torch.Tensor, r2: torch.Tensor, rotary_mode: str = "half"
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    dx = grad * r1 + _rotated(grad * r2, rotary_mode, back=True)
    return dx.to(x.dtype), (grad * x).sum_to_size(r1.shape), (grad * _rotated(x, rotary_mode)).sum_to_size(r2.shape)


def _swiglu(x: torch.Tensor, dim: int = -1) -> torch.Tensor:
    a, b = x.chunk(2, dim)
    return functional.silu(a) * b


def _swiglu_backward(grad: torch.Tensor, x: torch.Tensor, dim: int = -1) -> torch.Tensor:
    a, b = x.chunk(2, dim)
    gate = torch.sigmoid(a)
    return torch.cat((grad * b * gate * (1 + a * (1 - gate)), grad * a * gate), dim)


def _gelu(x: torch.Tensor, *, approximate: str = "none") -> torch.Tensor:
    return functional.gelu(x, approximate=approximate)


def _gelu_backward(grad: torch.Tensor, x: torch.Tensor, *, approximate: str = "none") -> torch.Tensor:
    made: torch.Tensor = torch.ops.aten.gelu_backward(grad, x, approximate=approximate)
    return made


def _fast_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x)


def _geglu(
    x: torch.Tensor, dim: int = -1, approximate: int = 1, activate_left: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    left, right = x.chunk(2, dim)
    kept, gate = (right, left) if activate_left else (left, right)
    active = functional.gelu(gate, approximate="tanh" if approximate else "none")
    return kept * active, active


def _masked_softmax(x: torch.Tensor, mask: torch.Tensor, scale: float = 1.0, fixed_triu_mask: bool = False) -> torch.Tensor:
    if fixed_triu_mask:
        mask = torch.ones(x.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
    return torch.softmax((x * scale).masked_fill(mask, -10000.0), -1)


def _dynamic_quant(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scale = x.abs().amax(-1).float() / 127
    return (x.float() / scale.unsqueeze(-1)).round().to(torch.int8), scale


def _grouped_matmul(
    x: Sequence[torch.Tensor], weight: Sequence[torch.Tensor], *, bias: Any = None, group_list: Any = None, split_item: int = 0,
    group_type: int = -1, group_list_type: int = 0,
) -> list[torch.Tensor]:  # fmt: skip
    if len(x) == len(weight) and all(w.dim() == 2 for w in weight):
        made = [a @ w for a, w in zip(x, weight, strict=True)]
        made = [m + b for m, b in zip(made, bias, strict=True)] if bias else made
        return [torch.cat(made)] if split_item in (2, 3) else made
    rows, groups = torch.cat(list(x)) if len(x) > 1 else x[0], list(weight[0]) if len(weight) == 1 else list(weight)
    if rows.is_meta or group_list is None:
        return [rows.new_empty(rows.shape[0], groups[0].shape[-1])]
    ends = list(group_list.tolist() if isinstance(group_list, torch.Tensor) else group_list)
    counts = ends if group_list_type else [b - a for a, b in zip([0, *ends], ends, strict=False)]
    return [torch.cat([a @ w for a, w in zip(rows.split(counts), groups, strict=True)])]


def _by_heads(x: torch.Tensor, layout: str, heads: int) -> torch.Tensor:
    """An operand of attention as [batch, heads, seq, dim]."""
    if layout == "BNSD":
        return x
    if layout == "BSND":
        return x.transpose(1, 2)
    if layout == "SBH":
        x = x.transpose(0, 1)
    return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)


def _attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, head_num: int, input_layout: str, pse: Any = None,
    padding_mask: Any = None, atten_mask: Any = None, scale: float = 1.0, keep_prob: float = 1.0, *options: Any, **_: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int, int, int]:  # fmt: skip
    if input_layout == "TND":
        shape: tuple[int, ...] = (query.shape[0], query.shape[1], _STATISTICS)
    else:
        shape = (*_by_heads(query, input_layout, head_num).shape[:3], _STATISTICS)
    statistics = query.new_empty(shape, dtype=torch.float32)
    if query.is_meta:
        out = query.new_empty(*query.shape[:-1], value.shape[-1] if input_layout in ("BNSD", "BSND", "TND") else query.shape[-1])
    else:
        out = _computed(query, key, value, head_num, input_layout, atten_mask, scale, pse, keep_prob)
    return out, statistics, statistics.clone(), query.new_empty(0), 0, 0, 0


def _computed(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, layout: str, mask: Any, scale: float, pse: Any,
    keep: float,
) -> torch.Tensor:  # fmt: skip
    if layout == "TND" or pse is not None or keep != 1.0 or (mask is not None and mask.dim() == 2 and mask.shape[0] == 2048):
        raise NotImplementedError("npu_fusion_attention is computed for whole masks alone: no TND, pse, dropout, compressed mask")
    q = _by_heads(query, layout, heads)
    kv_heads = key.shape[-1] * heads // query.shape[-1] if layout in ("BSH", "SBH") else heads
    k, v = _by_heads(key, layout, kv_heads), _by_heads(value, layout, kv_heads)
    keeps = None if mask is None else mask.logical_not()
    out: torch.Tensor = functional.scaled_dot_product_attention(q, k, v, keeps, scale=scale, enable_gqa=q.shape[1] != k.shape[1])
    if layout == "BNSD":
        return out
    out = out.transpose(1, 2)
    if layout == "BSND":
        return out.contiguous()
    return (out.flatten(2).transpose(0, 1) if layout == "SBH" else out.flatten(2)).contiguous()


def _attention_grad(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dy: torch.Tensor, *_: Any, **__: Any) -> Any:
    if not query.is_meta:
        raise NotImplementedError("npu_fusion_attention_grad is not computed")
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


_FORMULAS: dict[str, Callable[..., Any]] = {
    "npu_rms_norm": _rms_norm, "npu_rms_norm_backward": _rms_norm_backward, "npu_add_rms_norm": _add_rms_norm,
    "npu_rotary_mul": _rotary_mul, "npu_rotary_mul_backward": _rotary_mul_backward, "npu_swiglu": _swiglu,
    "npu_swiglu_backward": _swiglu_backward, "npu_gelu": _gelu, "npu_gelu_backward": _gelu_backward, "npu_fast_gelu": _fast_gelu,
    "npu_silu": lambda x: functional.silu(x), "npu_geglu": _geglu, "npu_scaled_masked_softmax": _masked_softmax,
    "npu_dtype_cast": lambda x, dtype: x.to(dtype, copy=True), "npu_format_cast": lambda x, acl_format: x.clone(),
    "npu_dynamic_quant": _dynamic_quant, "npu_grouped_matmul": _grouped_matmul, "npu_fusion_attention": _attention,
    "npu_fusion_attention_grad": _attention_grad,
}  # fmt: skip


# --- backward


def _keep_norm(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(inputs[0], inputs[1], output[1])


def _norm_grad(ctx: Any, dy: torch.Tensor, _rstd: Any) -> Any:
    return (*torch.ops.npu.npu_rms_norm_backward(dy, *ctx.saved_tensors), None)


def _keep_rotary(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.mode = inputs[3]


def _rotary_grad(ctx: Any, grad: torch.Tensor) -> Any:
    return (*torch.ops.npu.npu_rotary_mul_backward(grad, *ctx.saved_tensors, ctx.mode), None)


def _keep_swiglu(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(inputs[0])
    ctx.dim = inputs[1]


def _swiglu_grad(ctx: Any, grad: torch.Tensor) -> Any:
    return torch.ops.npu.npu_swiglu_backward(grad, ctx.saved_tensors[0], ctx.dim), None


def _keep_attention(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.given = inputs[3:]


def _attention_gradient(ctx: Any, dy: torch.Tensor, *_: Any) -> Any:
    heads, layout, pse, padding, mask, *rest = ctx.given
    grads = torch.ops.npu.npu_fusion_attention_grad(
        *ctx.saved_tensors, dy, heads, layout, pse=pse, padding_mask=padding, atten_mask=mask, scale_value=rest[0],
        keep_prob=rest[1], pre_tockens=rest[2], next_tockens=rest[3], actual_seq_qlen=rest[6],
        actual_seq_kvlen=rest[7], sparse_mode=rest[8],
    )  # fmt: skip
    return (*grads, *(None for _ in ctx.given))


def _keep_gelu(ctx: Any, inputs: Any, keyword_only_inputs: Any, output: Any) -> None:
    ctx.save_for_backward(inputs[0])
    ctx.approximate = keyword_only_inputs["approximate"]


def _gelu_grad(ctx: Any, grad: torch.Tensor) -> Any:
    return torch.ops.npu.npu_gelu_backward(grad, ctx.saved_tensors[0], approximate=ctx.approximate)


def _keep_cast(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.dtype = inputs[0].dtype


def _cast_grad(ctx: Any, grad: torch.Tensor) -> Any:
    return torch.ops.npu.npu_dtype_cast(grad, ctx.dtype), None


_BACKWARD: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "npu_rms_norm": (_keep_norm, _norm_grad), "npu_rotary_mul": (_keep_rotary, _rotary_grad),
    "npu_swiglu": (_keep_swiglu, _swiglu_grad), "npu_fusion_attention": (_keep_attention, _attention_gradient),
    "npu_gelu": (_keep_gelu, _gelu_grad), "npu_dtype_cast": (_keep_cast, _cast_grad),
}  # fmt: skip
