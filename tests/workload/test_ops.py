"""What operators say of their FLOPs and bytes, against sums written out."""

from __future__ import annotations

import pytest

from windtunnel.workload.ops import Attention, Gemm, LinearAttention, MoE


def attention(phase: str, q: float, kv: float, **more: float) -> Attention:
    return Attention("a", phase, 1.0, q, kv, 1.0, 1.0, 1.0, 1.0, **more)  # type: ignore[arg-type]


def keys_seen(q: int, kv: int, window: int = 0, topk: int = 0, compress: int = 0) -> float:
    """Mean over the queries, one by one; entries of compression counted in fractions."""
    total = 0.0
    for i in range(1, q + 1):
        position = kv - q + i
        if compress:
            entries = position / compress
            total += min(entries, topk or entries) + min(position, window)
        else:
            total += min(position, window or position, topk or position)
    return total / q


@pytest.mark.parametrize(
    ("q", "kv", "limits"),
    [
        (1, 1, {}),
        (1, 4096, {}),
        (4096, 4096, {}),
        (512, 4096, {}),
        (2, 4097, {}),
        (1, 4096, {"window": 128}),
        (4096, 4096, {"window": 128}),
        (512, 600, {"window": 128}),
        (64, 100, {"window": 128}),
        (4096, 4096, {"topk": 2048}),
        (1, 100, {"topk": 2048}),
        (1, 4096, {"window": 128, "compress": 128}),
        (4096, 4096, {"window": 128, "compress": 4, "topk": 512}),
        (512, 8192, {"window": 128, "compress": 4, "topk": 512}),
        (1024, 2048, {"compress": 4}),
    ],
)
def test_keys_seen_on_average_are_those_of_each_query_summed(q: int, kv: int, limits: dict[str, int]) -> None:
    assert attention("prefill", q, kv, **limits).seen == pytest.approx(keys_seen(q, kv, **limits))


@pytest.mark.parametrize(
    ("q", "kv", "limits", "read"),
    [
        (1, 4096, {}, 4096),
        (1, 4096, {"window": 128}, 128),
        (1, 100, {"window": 128}, 100),
        (512, 4096, {"window": 128}, 639),  # the first query's window and 511 more keys
        (1, 4096, {"topk": 2048}, 2048),
        (2, 4096, {"topk": 1024}, 2048),  # two queries choose differently
        (512, 4096, {"topk": 2048}, 4096),
        (1, 4096, {"window": 128, "compress": 4, "topk": 512}, 128 + 512),
        (1, 4096, {"window": 128, "compress": 128}, 128 + 32),
    ],
)
def test_keys_read(q: int, kv: int, limits: dict[str, int], read: float) -> None:
    assert attention("decode", q, kv, **limits).keys_read == read


def test_attention_of_no_queries_does_nothing() -> None:
    op = attention("prefill", 0.0, 128.0)
    assert op.flops == 0.0


def test_gemm_reads_weights_in_their_type_and_writes_16_bit() -> None:
    op = Gemm("g", 8, 256, 128, "fp8")
    assert op.flops == 2 * 8 * 256 * 128
    assert op.bytes == 128 * 256 * 1 + 8 * 128 * 1 + 8 * 256 * 2
    assert Gemm("g", 8, 256, 128, "w4a16").bytes == 128 * 256 * 4.5 / 8 + 8 * 128 * 2 + 8 * 256 * 2
    assert Gemm("g", 8, 256, 128, "bf16", batch=4).flops == 4 * 2 * 8 * 256 * 128


def test_experts_reached_by_one_and_by_many_tokens() -> None:
    one = MoE("m", 1, 64, 32, 8, 2, "bf16")
    assert one.active_experts == pytest.approx(2.0)
    assert one.flops == 2 * 2 * 3 * 64 * 32
    assert MoE("m", 1e6, 64, 32, 8, 2, "bf16", ep=4).active_experts == pytest.approx(2.0)
    assert MoE("m", 16, 64, 32, 8, 2, "bf16", ep=4, tp=2).flops == 16 * 2 / 4 * 2 * 3 * 64 * 32 / 2


def test_linear_attention_moves_its_state_once_a_token_in_decode_and_once_a_chunk_in_prefill() -> None:
    state = 4 * 8 * 16 * 32
    io = 2 * (2 * 4 * 16 + 2 * 8 * 32)
    assert LinearAttention("l", "decode", 5, 5, 4, 8, 16, 32).bytes == 5 * (2 * state + io)
    assert LinearAttention("l", "prefill", 1, 640, 4, 8, 16, 32).bytes == 10 * 2 * state + 640 * io
