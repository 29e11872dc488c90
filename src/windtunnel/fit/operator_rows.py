"""A row of operator measurements as the operator that it stands for.

    op                        fields
    gemm                      m, n, k, batch (1)
    attn_prefill_causal       batch, seq, q_heads, kv_heads, head_dim: every token of seq attends to those before it
    attn_decode               the same: one new token a sequence, seq is its context
    mla_prefill, mla_decode   batch, seq, q_heads: latent attention of DeepSeek-V3's widths (192 and 128 a head in
                              prefill, a latent of 512 + 64 in decode)
    moe_ffn                   m tokens over all ep ranks, n hidden, k intermediate, experts, topk, ep (1): one rank's time
    all_reduce, all_gather, reduce_scatter, all_to_all, p2p
                              a message of m x n elements (n 1 where it is empty) of dtype's width, among ``ranks`` (a
                              column of its own, else n_chips, else ep). The message is the tensor that each rank holds
                              (all_reduce), the gathered one (all_gather), the input (reduce_scatter), what one sends
    elementwise               m x n elements of dtype's width, read once and written once
    pointwise, copy, transpose, reduction, norm, softmax
                              the same as a program runs it, into new memory; rows of n are folded or turned (reduction
                              writes one element a row)
    convolution               batch images of in_channels to out_channels, image and result: the side before and after,
                              kernel: its side, groups (1); channels_last true where memory holds the channels innermost

dtype is that of weights and inputs; of attention, that of the KV cache. An empty one is bf16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

from windtunnel.errors import InvalidInputError, UnknownNameError
from windtunnel.fit.names import number_type
from windtunnel.fit.table import degree, size
from windtunnel.workload.ops import (
    BITS,
    Attention,
    Collective,
    Convolution,
    Elementwise,
    Gemm,
    MoE,
    Op,
    Pass,
    PassKind,
    activation_bytes,
)

Row = Mapping[str, str]
Kind = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "p2p"]

_MOST_FLOPS, _MOST_BYTES = 1e21, 1e16
"""Weeks of one chip's work: a typing error, not an operator."""
_TRUE, _FALSE = ("true", "1", "yes", "y", "t"), ("false", "0", "no", "n", "f", "")


def dtype_of(row: Row) -> str:
    """The row's number type. Raises UnknownNameError."""
    found = number_type(row.get("dtype", "")) or "bf16"
    if found not in BITS:
        raise UnknownNameError("dtype", row["dtype"], BITS)
    return found


def _gemm(row: Row, dtype: str) -> Op:
    return Gemm("gemm", size(row, "m"), size(row, "n"), size(row, "k"), dtype, batch=size(row, "batch", 1.0))


def _attention(row: Row, dtype: str, prefill: bool) -> Op:
    seq, heads, head = size(row, "seq"), size(row, "q_heads"), size(row, "head_dim")
    return Attention(
        "attention", "prefill" if prefill else "decode", size(row, "batch", 1.0), seq if prefill else 1.0, seq, heads,
        size(row, "kv_heads", heads), head, head, dtype,
    )  # fmt: skip


def _latent(row: Row, dtype: str, prefill: bool) -> Op:
    seq, heads = size(row, "seq"), size(row, "q_heads")
    batch = size(row, "batch", 1.0)
    if prefill:
        return Attention("attention", "prefill", batch, seq, seq, heads, heads, 192.0, 128.0, dtype, mla=True)
    return Attention("attention", "decode", batch, 1.0, seq, heads, 1.0, 576.0, 512.0, dtype, mla=True)


def _moe(row: Row, dtype: str) -> Op:
    experts, topk, ep = size(row, "experts"), size(row, "topk"), size(row, "ep", 1.0)
    if topk > experts:
        raise InvalidInputError("topk", "more than there are experts")
    if ep > experts:
        raise InvalidInputError("ep", "more than there are experts")
    return MoE("moe", size(row, "m"), size(row, "n"), size(row, "k"), experts, topk, dtype, ep=ep)


def _message(kind: Kind) -> Callable[[Row, str], Op]:
    def read(row: Row, dtype: str) -> Op:
        ranks = next((degree(row, key) for key in ("ranks", "n_chips", "ep") if degree(row, key)), 0)
        if ranks < 2:
            raise InvalidInputError("ranks", "missing; a collective needs ranks, n_chips or ep of at least 2")
        length = size(row, "m") * size(row, "n", 1.0) * activation_bytes(dtype)
        return Collective(kind, kind, length, float(ranks))

    return read


def _elementwise(row: Row, dtype: str) -> Op:
    return Elementwise("elementwise", 2.0 * size(row, "m") * size(row, "n", 1.0) * activation_bytes(dtype))


def _walk(kind: PassKind) -> Callable[[Row, str], Op]:
    def read(row: Row, dtype: str) -> Op:
        m, n = size(row, "m"), size(row, "n", 1.0)
        width = activation_bytes(dtype)
        written = m if kind == "reduction" else m * n
        folded = n if kind in ("reduction", "norm", "softmax") else 1.0
        return Pass(kind, kind, m * n * width, written * width, m * n, dtype, folded, contiguous=kind != "transpose")

    return read


def _convolution(row: Row, dtype: str) -> Op:
    inner, groups = size(row, "in_channels"), size(row, "groups", 1.0)
    if inner % groups:
        raise InvalidInputError("groups", "does not divide in_channels")
    image, kernel = size(row, "image"), size(row, "kernel")
    result = size(row, "result", image)
    return Convolution(
        "convolution", size(row, "batch", 1.0), inner, size(row, "out_channels"), (image, image), (result, result),
        (kernel, kernel), groups, dtype, channels_last=row.get("channels_last", "").lower() in _TRUE,
    )  # fmt: skip


READERS: Mapping[str, Callable[[Row, str], Op]] = {
    "gemm": _gemm,
    "attn_prefill_causal": lambda row, dtype: _attention(row, dtype, True),
    "attn_decode": lambda row, dtype: _attention(row, dtype, False),
    "mla_prefill": lambda row, dtype: _latent(row, dtype, True),
    "mla_decode": lambda row, dtype: _latent(row, dtype, False),
    "moe_ffn": _moe,
    "elementwise": _elementwise,
    "convolution": _convolution,
    "pointwise": _walk("pointwise"),
    "copy": _walk("copy"),
    "transpose": _walk("transpose"),
    "reduction": _walk("reduction"),
    "norm": _walk("norm"),
    "softmax": _walk("softmax"),
    **{kind: _message(kind) for kind in get_args(Kind)},
}
_OTHER_NAMES = {
    "linear": "gemm", "matmul": "gemm", "attn_prefill": "attn_prefill_causal", "mla_prefill_causal": "mla_prefill",
    "allreduce": "all_reduce", "allgather": "all_gather", "reducescatter": "reduce_scatter", "alltoall": "all_to_all",
    "moe": "moe_ffn",
}  # fmt: skip


def operator_row(row: Row) -> tuple[Op, bool]:
    """The operator of a row, and whether its operands may lie in the chip's last cache. Raises WindtunnelError."""
    name = row.get("op", "").lower()
    reader = READERS.get(_OTHER_NAMES.get(name, name))
    if reader is None:
        raise UnknownNameError("operator", name, READERS)
    warm = row.get("cache_warm", "").lower()
    if warm not in (*_TRUE, *_FALSE):
        raise InvalidInputError("cache_warm", "neither true nor false")
    op = reader(row, dtype_of(row))
    if op.flops > _MOST_FLOPS or op.bytes > _MOST_BYTES:
        raise InvalidInputError("op", "larger than any chip can run")
    return op, warm in _TRUE
