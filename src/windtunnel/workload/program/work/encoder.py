"""The transformer encoder's fast paths: a whole layer of ``torch.nn``, or its attention, in one operator (inference alone)."""

from __future__ import annotations

from collections.abc import Mapping

from windtunnel.workload.ops import Gemm, Op, Pass
from windtunnel.workload.program.call import Call, TensorSpec
from windtunnel.workload.program.work.attention import attention
from windtunnel.workload.program.work.traffic import Ops, Rule


def _heads(x: TensorSpec, heads: int) -> TensorSpec:
    batch, seq, width = x.shape
    return TensorSpec((batch, heads, seq, width // heads), x.dtype)


def _attention(name: str, q: TensorSpec, k: TensorSpec, v: TensorSpec, heads: int) -> Ops:
    """Projections of what comes in (packed in one product where all three are one), attention, projection of the result."""
    width = q.shape[-1]
    rows = float(q.numel // width)
    if q == k == v:
        projected: Ops = (Gemm(name, rows, 3.0 * width, width, q.dtype),)
    else:
        projected = tuple(Gemm(name, x.numel / x.shape[-1], width, x.shape[-1], x.dtype) for x in (q, k, v))
    seen = attention(name, _heads(q, heads), _heads(k, heads), _heads(v, heads), "")
    return (*projected, seen, Gemm(name, rows, width, width, q.dtype))


def _pass(name: str, kind: str, x: TensorSpec, read: float, flops: float, row: float = 1.0) -> Op:
    return Pass(
        name, "norm" if kind == "norm" else "pointwise", read * x.bytes, float(x.bytes), float(x.numel), x.dtype, row,
        flops=flops * x.numel,
    )  # fmt: skip


def _multi_head(call: Call) -> Ops:
    q, k, v = call.args[:3]
    return _attention(call.name, q, k, v, int(call.args[4])) if q.numel and k.numel else ()


def _layer(call: Call) -> Ops:
    x, width, heads = call.args[:3]
    if not x.numel:
        return ()
    inner = call.args[14].shape[0]
    rows = float(x.numel // width)
    hidden = TensorSpec((*x.shape[:-1], inner), x.dtype)
    norm = _pass(f"{call.name}.norm", "norm", x, 1.0, 8.0, float(width))
    added = _pass(f"{call.name}.add", "pointwise", x, 2.0, 1.0)
    activated = _pass(f"{call.name}.activation", "pointwise", hidden, 1.0, 20.0 if call.option("use_gelu", 7) else 1.0)
    return (
        *_attention(call.name, x, x, x, int(heads)), added, norm,
        Gemm(call.name, rows, float(inner), float(width), x.dtype), activated,
        Gemm(call.name, rows, float(width), float(inner), x.dtype), added, norm,
    )  # fmt: skip


RULES: Mapping[str, Rule] = {"_native_multi_head_attention": _multi_head, "_transformer_encoder_layer_fwd": _layer}
