"""A layer in training: what it computes and keeps, against counts made by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from windtunnel.catalog.model import AttentionSpec, FfnSpec, Layer, ModelSpec
from windtunnel.catalog.models import model
from windtunnel.workload.ops import Attention, AttentionBackward, Gemm, Op
from windtunnel.workload.training import Cut, LayerWork, head_work, layer_numbers, layer_work, model_flops_per_token

S, B, H, A = 2048, 2, 6144, 64
GPT = ModelSpec(
    "gpt", "gpt", H, 50_257, (Layer(1, AttentionSpec("gqa", A, A, H // A, H // A), FfnSpec(4 * H, gated=False)),), "bf16", "test"
)
LOG_SUMS = 4 * S * B * A
"""Bytes of one log-sum of exponentials a query and head, which flash attention keeps and the published formula leaves out."""


def kept(recompute: str = "none", **cut: Any) -> float:
    return layer_work(GPT, GPT.layers[0], Cut(B, S, dropout=True, **cut)).kept[recompute]


def flops(work: LayerWork, *kinds: type[Op]) -> tuple[float, float]:
    """(forward, backward) FLOPs of operators of these kinds."""
    parts = (work.forward, [*work.backward, *work.weights])
    forward, backward = (sum(op.flops * op.count for op in part if isinstance(op, kinds)) for part in parts)
    return forward, backward


@pytest.mark.parametrize("tp", [1, 2, 8])
def test_activations_of_a_gpt_layer_are_those_of_korthikanti_et_al(tp: int) -> None:
    """Korthikanti et al. 2022, table 2: s b h (34 + 5 a s / h) / t with sequence parallelism."""
    stored = kept(tp=tp, flash=False)
    assert stored == pytest.approx(S * B * H * (34 + 5 * A * S / H) / tp)
    assert kept(tp=tp) == pytest.approx(S * B * H * 34 / tp + LOG_SUMS / tp)


@pytest.mark.parametrize("tp", [2, 8])
def test_without_sequence_parallelism_ten_of_them_are_on_every_rank(tp: int) -> None:
    """The same, equation 2: s b h (10 + 24 / t + 5 a s / (h t))."""
    stored = kept(tp=tp, flash=False, split_sequence=False)
    assert stored == pytest.approx(S * B * H * (10 + 24 / tp + 5 * A * S / (H * tp)))


def test_full_recomputation_keeps_a_layers_input() -> None:
    assert kept("full", tp=1) == 2 * S * B * H
    assert kept("full", tp=8) == 2 * S * B * H / 8


def test_selective_recomputation_spares_the_scores_the_norms_and_the_activation() -> None:
    """5 a s^2 b of scores, and of the 34: the results of two norms (2 + 2) and of the activation function (8)."""
    assert kept("selective", tp=1, flash=False) == pytest.approx(S * B * H * (34 - 12))
    assert kept("selective", tp=1) == pytest.approx(S * B * H * (34 - 12) + LOG_SUMS)


@pytest.mark.parametrize("name", ["meta-llama/Llama-3.1-8B", "deepseek-ai/DeepSeek-V3", "mistralai/Mixtral-8x7B-v0.1"])
def test_every_product_has_two_gradients_and_attention_two_and_a_half(name: str) -> None:
    spec = model(name)
    for layer in spec.layers:
        work = layer_work(spec, layer, Cut(1, 4096))
        forward, backward = flops(work, Gemm)
        assert backward == pytest.approx(2 * forward)
        forward, backward = flops(work, Attention, AttentionBackward)
        assert backward == pytest.approx(2.5 * forward)


@pytest.mark.parametrize("name", ["meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-405B", "deepseek-ai/DeepSeek-V3"])
def test_the_products_of_all_layers_are_six_for_each_weight_and_token(name: str) -> None:
    spec = model(name)
    total = 0.0
    for layer in spec.layers:
        work = layer_work(spec, layer, Cut(1, 4096))
        products = flops(work, Gemm)
        total += layer.count * (products[0] + products[1] + flops(work, Attention)[0] * 3.0)
    total += sum(flops(head_work(spec, Cut(1, 4096)), Gemm))
    assert total / 4096 == pytest.approx(model_flops_per_token(spec, 4096), rel=1e-3)


@pytest.mark.parametrize("cut", [{"tp": 8}, {"cp": 4}, {"tp": 2, "cp": 2}, {"ep": 8}, {"tp": 4, "ep": 8}, {"tp": 4, "etp": 4}])
def test_ranks_share_the_work_evenly(cut: dict[str, Any]) -> None:
    """What a rank computes, times the ranks that share a micro-batch, is what one rank alone would."""
    spec = model("mistralai/Mixtral-8x7B-v0.1")
    alone = sum(flops(layer_work(spec, spec.layers[0], Cut(1, 8192)), Gemm, Attention))
    part = sum(flops(layer_work(spec, spec.layers[0], Cut(1, 8192, **cut)), Gemm, Attention))
    assert part * cut.get("tp", 1) * cut.get("cp", 1) == pytest.approx(alone, rel=2e-3)


def test_exchanges_of_a_dense_layer_are_four_forward_and_six_back() -> None:
    """With sequence parallelism: gathered and scattered around attention and feed-forward; back, what the weights' gradients
    need is gathered once more. Each of them is the whole micro-batch in 16 bit."""
    spec = model("meta-llama/Llama-3.1-8B")
    found = layer_work(spec, spec.layers[0], Cut(1, 4096, tp=8)).exchanges
    assert [sum(x.forward for x in found), sum(not x.forward for x in found), sum(x.beside for x in found)] == [4, 6, 4]
    assert {x.op.bytes for x in found} == {2.0 * 4096 * 4096}
    assert not layer_work(spec, spec.layers[0], Cut(1, 4096)).exchanges


def test_a_token_goes_once_to_a_rank_or_once_to_an_expert() -> None:
    spec = model("deepseek-ai/DeepSeek-V3")
    sent = {
        once: {x.op.name: x.op.bytes for x in layer_work(spec, spec.layers[-1], Cut(1, 4096, ep=64, once=once)).exchanges}
        for once in (True, False)
    }
    assert sent[False]["dispatch"] == 2.0 * 4096 * 7168 * 8
    assert sent[True]["dispatch"] == pytest.approx(2.0 * 4096 * 7168 * 64 * (1 - (1 - 1 / 64) ** 8))
    assert math.isclose(sent[True]["combine_backward"], sent[True]["combine"])


def test_weights_of_all_ranks_are_the_models() -> None:
    for name, tp, ep, etp in (("meta-llama/Llama-3.1-8B", 8, 1, 8), ("mistralai/Mixtral-8x7B-v0.1", 1, 8, 1)):
        spec = model(name)
        total = float(spec.embedding_parameters)
        for layer in spec.layers:
            numbers = layer_numbers(spec, layer, tp, ep, etp)
            total += layer.count * (numbers.dense * tp + numbers.experts * ep * etp)
        assert total == pytest.approx(spec.parameters, rel=1e-3)


@pytest.mark.parametrize(
    ("cut", "each"),
    [
        # of each of two copies: permute 4 and 2 + 1, unpermute 2 + 1 and 4
        ({}, 14.0),
        # as above, and four copies in the order of a rank's own experts; none where it has one
        ({"ep": 4}, 14.0 + 16.0),
        ({"ep": 8}, 14.0),
        # index_select 4, its gradient 6 + 1; zeros, index_copy, probabilities, sum 12 + 1, their gradients 16
        ({"permute": False}, 40.0),
    ],
)
def test_putting_tokens_in_the_order_of_experts_passes_over_each_copy(cut: dict[str, Any], each: float) -> None:
    """Mixtral: 4,096 tokens, two experts each, of width 4,096."""
    spec = model("mistralai/Mixtral-8x7B-v0.1")
    work = layer_work(spec, spec.layers[0], Cut(1, 4096, **cut))
    moved = sum(op.bytes * op.count for op in (*work.forward, *work.backward) if "permute" in op.name)
    assert moved == pytest.approx(each * 4096 * 2 * 4096)


def test_the_gradient_of_probabilities_needs_what_experts_answered_where_they_are_applied_last() -> None:
    spec = model("mistralai/Mixtral-8x7B-v0.1")
    kept = [layer_work(spec, spec.layers[0], Cut(1, 4096, permute=permute)).kept["none"] for permute in (True, False)]
    assert kept[1] - kept[0] == 2.0 * 4096 * 2 * 4096
