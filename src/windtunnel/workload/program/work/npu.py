"""Operators that torch_npu adds for Ascend chips (namespace ``npu``).

**Source:** the signatures in torch_npu's op_plugin (op_plugin_functions.yaml), by name and order of arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from windtunnel.workload.ops import AttentionBackward, Gemm
from windtunnel.workload.program.call import Call, TensorSpec
from windtunnel.workload.program.work.attention import attention
from windtunnel.workload.program.work.naming import names
from windtunnel.workload.program.work.traffic import Ops, Rule, tensors, walk

_CAUSAL_SPARSE_MODES = frozenset({2, 3})
"""npu_fusion_attention's ``sparse_mode``: 2 is causal from the first key, 3 from the last."""


def _heads(spec: TensorSpec, layout: str, heads: int) -> TensorSpec:
    """The operand as [batch, heads, seq, dim] ([1, ...] for TND)."""
    shape = spec.shape
    if layout == "BNSD":
        return spec
    if layout == "BSND":
        return TensorSpec((shape[0], shape[2], shape[1], shape[3]), spec.dtype)
    if layout == "TND":
        return TensorSpec((1, shape[1], shape[0], shape[2]), spec.dtype)
    batch, seq = (shape[0], shape[1]) if layout == "BSH" else (shape[1], shape[0])
    return TensorSpec((batch, heads, seq, shape[2] // max(heads, 1)), spec.dtype)


def _fusion_attention(call: Call) -> Ops:
    heads, layout = int(call.option("head_num", 3, 1)), str(call.option("input_layout", 4, "BSH"))
    return _attention(call, call.args[0], call.args[1], call.args[2], heads, layout)


def _fusion_attention_backward(call: Call) -> Ops:
    heads, layout = int(call.option("head_num", 4, 1)), str(call.option("input_layout", 5, "BSH"))
    found = _attention(call, call.args[0], call.args[1], call.args[2], heads, layout)
    return tuple(AttentionBackward(call.name, op) for op in found)  # type: ignore[arg-type]


def _attention(call: Call, q: TensorSpec, k: TensorSpec, v: TensorSpec, heads: int, layout: str) -> Ops:
    if not q.numel or not k.numel:
        return ()
    kv_heads = heads
    if layout in ("BSH", "SBH"):
        kv_heads = max(k.shape[2] * heads // max(q.shape[2], 1), 1)
    mode = call.option("sparse_mode", None, 0)
    causal: Literal["", "first", "last"] = ("first" if mode == 2 else "last") if mode in _CAUSAL_SPARSE_MODES else ""
    lengths = call.option("actual_seq_qlen")
    sequences = len(lengths) if layout == "TND" and isinstance(lengths, tuple) else 0
    return (
        attention(
            call.name,
            _heads(q, layout, heads),
            _heads(k, layout, kv_heads),
            _heads(v, layout, kv_heads),
            causal,
            sequences=sequences,
        ),
    )


def _grouped_matmul(call: Call) -> Ops:
    """Rows by their group's matrix: lists of both, or all rows in one tensor with [groups, k, n]."""
    rows, weights = tensors(call.args[0]), tensors(call.args[1])
    made: list[Gemm] = []
    if len(rows) == len(weights) and all(len(w.shape) == 2 for w in weights):
        made = [
            Gemm(call.name, x.shape[0], w.shape[1], w.shape[0], w.dtype) for x, w in zip(rows, weights, strict=True) if x.numel
        ]
    elif rows and weights and len(weights[0].shape) == 3:
        groups, k, n = weights[0].shape
        total = sum(x.numel // max(x.shape[-1], 1) for x in rows)
        active = max(min(groups, total), 1)
        made = [Gemm(call.name, total / active, n, k, weights[0].dtype, 1.0, active)] if total else []
    return tuple(made)


def _norm(call: Call) -> Ops:
    row = float(call.args[0].shape[-1]) if call.args[0].shape else 1.0
    return walk(call, "norm", row=row, flops_each=8.0)


def _softmax(call: Call) -> Ops:
    return walk(call, "softmax", row=float(call.args[0].shape[-1]), flops_each=10.0)


def _each(call: Call) -> Ops:
    return walk(call, "pointwise", flops_each=6.0)


def _cast(call: Call) -> Ops:
    return walk(call, "copy")


_NORMS = names("npu_rms_norm npu_add_rms_norm npu_rms_norm_backward npu_add_layer_norm npu_layer_norm_eval")
_EACH = names(
    """
    npu_rotary_mul npu_rotary_mul_backward npu_swiglu npu_swiglu_backward npu_gelu npu_gelu_backward npu_geglu npu_fast_gelu
    npu_silu npu_apply_rotary_pos_emb npu_dynamic_quant
    """
)

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_NORMS, _norm),
    **dict.fromkeys(("npu_scaled_masked_softmax", "npu_scaled_masked_softmax_backward"), _softmax),
    **dict.fromkeys(_EACH, _each),
    **dict.fromkeys(("npu_dtype_cast", "_npu_dtype_cast", "npu_format_cast"), _cast),
    "npu_fusion_attention": _fusion_attention,
    "npu_fusion_attention_v2": _fusion_attention,
    "npu_fusion_attention_grad": _fusion_attention_backward,
    "npu_grouped_matmul": _grouped_matmul,
}
