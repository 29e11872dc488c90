"""How a row of operator measurements is read."""

from __future__ import annotations

import pytest

from windtunnel.errors import InvalidInputError, UnknownNameError, WindtunnelError
from windtunnel.fit.operator_rows import operator_row
from windtunnel.workload.ops import Attention, Collective, Convolution, Gemm, MoE, Pass


def row(op: str, **fields: str) -> dict[str, str]:
    return {"op": op, **fields}


def test_gemm() -> None:
    op, warm = operator_row(row("gemm", dtype="W8A8_dynamic", m="16", n="7168", k="2048", cache_warm="True"))
    assert op == Gemm("gemm", 16.0, 7168.0, 2048.0, "w8a8_dynamic")
    assert warm
    assert operator_row(row("gemm", m="1", n="1", k="1")) == (Gemm("gemm", 1.0, 1.0, 1.0, "bf16"), False)


def test_attention_by_hand() -> None:
    fields = {"dtype": "bf16", "batch": "2", "seq": "100", "q_heads": "8", "kv_heads": "2", "head_dim": "64"}
    prefill, _ = operator_row(row("attn_prefill_causal", **fields))
    decode, _ = operator_row(row("attn_decode", **fields))
    assert isinstance(prefill, Attention)
    assert isinstance(decode, Attention)
    # two sequences, 8 heads of 64: queries x keys seen, twice (scores and values), two FLOPs each
    assert prefill.flops == pytest.approx(2 * 8 * 64 * 4 * (100 * 101 / 2))
    assert decode.flops == pytest.approx(2 * 8 * 64 * 4 * 100)
    # keys and values of 2 heads, two bytes each; queries in and results out
    assert decode.bytes == pytest.approx(2 * 100 * 2 * 64 * 2 * 2 + 2 * 2 * 8 * 64 * 2)
    assert operator_row(row("attn_decode", **{**fields, "dtype": "fp8"}))[0].bytes < decode.bytes


def test_latent_attention_has_the_widths_of_deepseek() -> None:
    op, _ = operator_row(row("mla_decode", batch="4", seq="1000", q_heads="128"))
    assert isinstance(op, Attention)
    assert (op.family, op.qk_dim, op.v_dim) == ("mla_decode", 576.0, 512.0)


def test_experts() -> None:
    op, _ = operator_row(row("moe_ffn", dtype="fp8", m="128", n="7168", k="2048", experts="256", topk="8", ep="8"))
    assert op == MoE("moe", 128.0, 7168.0, 2048.0, 256.0, 8.0, "fp8", ep=8.0)


@pytest.mark.parametrize("ranks", [{"ranks": "4"}, {"n_chips": "4"}, {"ep": "4"}])
def test_a_message_is_m_by_n_elements(ranks: dict[str, str]) -> None:
    op, _ = operator_row(row("all_reduce", dtype="bf16", m="1024", n="4096", **ranks))
    assert op == Collective("all_reduce", "all_reduce", 1024.0 * 4096.0 * 2.0, 4.0)


@pytest.mark.parametrize(
    ("kind", "written"), [("copy", 64 * 256), ("transpose", 64 * 256), ("reduction", 64), ("norm", 64 * 256)]
)
def test_a_pass_reads_all_and_writes_what_its_kind_leaves(kind: str, written: float) -> None:
    op, _ = operator_row(row(kind, dtype="fp32", m="64", n="256"))
    assert isinstance(op, Pass)
    assert (op.kind, op.numel, op.read_bytes, op.written_bytes) == (kind, 64 * 256, 64 * 256 * 4, written * 4)


def test_a_convolution_by_hand() -> None:
    fields = {"batch": "8", "in_channels": "3", "out_channels": "64", "image": "224", "result": "112", "kernel": "7"}
    op, _ = operator_row(row("convolution", dtype="fp32", **fields))
    assert isinstance(op, Convolution)
    assert op.flops == 2 * 8 * 112 * 112 * 64 * 7 * 7 * 3
    assert op.bytes == 4 * (8 * 3 * 224 * 224 + 8 * 64 * 112 * 112 + 64 * 3 * 7 * 7)
    assert not op.channels_last


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row("gem"), "unknown operator 'gem'; nearest: gemm"),
        (row("gemm", dtype="fp7", m="1", n="1", k="1"), "unknown dtype 'fp7'"),
        (row("gemm", m="1", n="1"), "k: missing"),
        (row("gemm", m="-1", n="1", k="1"), "m: not a positive number"),
        (row("gemm", m="1", n="1", k="1", cache_warm="maybe"), "cache_warm: neither true nor false"),
        (row("moe_ffn", m="1", n="1", k="1", experts="4", topk="8"), "topk: more than there are experts"),
        (row("all_reduce", m="1"), "ranks: missing"),
        (row("convolution", in_channels="3", groups="2"), "groups: does not divide in_channels"),
        (row("gemm", m="0.5", n="1", k="1"), "m: less than one"),
        (row("gemm", m="1e9", n="1e9", k="1e9"), "op: larger than any chip can run"),
    ],
)
def test_what_is_not_an_operator_is_refused_with_the_field(bad: dict[str, str], message: str) -> None:
    with pytest.raises(WindtunnelError) as refused:
        operator_row(bad)
    assert isinstance(refused.value, InvalidInputError | UnknownNameError)
    assert str(refused.value).startswith(message)
