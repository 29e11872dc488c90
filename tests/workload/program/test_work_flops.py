"""FLOPs of every product against PyTorch's own counter, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from tests.workload.program.recorded import counted, matrix_flops, ops_of, record  # noqa: E402
from windtunnel.workload.ops import Attention, AttentionBackward, Convolution, Gemm  # noqa: E402
from windtunnel.workload.program.call import Call, TensorSpec  # noqa: E402
from windtunnel.workload.program.work import work  # noqa: E402

F: Any = torch.nn.functional


def t(*shape: int, dtype: Any = None, grad: bool = True) -> Any:
    return torch.empty(*shape, device="meta", dtype=dtype or torch.float32, requires_grad=grad)


PRODUCTS: dict[str, Callable[[], Any]] = {
    "mm": lambda: torch.mm(t(3, 5), t(5, 7)),
    "mm transposed": lambda: t(5, 3).t() @ t(7, 5).t(),
    "addmm": lambda: torch.addmm(t(7), t(3, 5), t(5, 7)),
    "addmm of a matrix": lambda: torch.addmm(t(3, 7), t(3, 5), t(5, 7)),
    "bmm": lambda: torch.bmm(t(4, 3, 5), t(4, 5, 7)),
    "bmm by one matrix": lambda: torch.bmm(t(4, 3, 5), t(1, 5, 7).expand(4, 5, 7)),
    "bmm of one matrix": lambda: torch.bmm(t(1, 3, 5).expand(4, 3, 5), t(4, 5, 7)),
    "baddbmm": lambda: torch.baddbmm(t(4, 3, 7), t(4, 3, 5), t(4, 5, 7)),
    "linear": lambda: F.linear(t(2, 6, 5), t(7, 5), t(7)),
    "matmul": lambda: t(2, 1, 3, 5) @ t(4, 5, 7),
    "einsum": lambda: torch.einsum("bhqd,bhkd->bhqk", t(2, 3, 4, 8), t(2, 3, 5, 8)),
    "conv1d": lambda: F.conv1d(t(2, 4, 11), t(6, 4, 3), t(6)),
    "conv2d": lambda: F.conv2d(t(2, 4, 11, 9), t(6, 4, 3, 3), t(6), stride=2, padding=1),
    "conv2d dilated": lambda: F.conv2d(t(2, 4, 11, 9), t(6, 4, 3, 3), dilation=2),
    "conv3d": lambda: F.conv3d(t(2, 4, 5, 6, 7), t(6, 4, 3, 3, 3)),
    "conv2d of one image": lambda: F.conv2d(t(4, 11, 9), t(6, 4, 3, 3)),
    "transposed": lambda: F.conv_transpose2d(t(2, 4, 5, 6), t(4, 6, 3, 3), t(6), stride=2, output_padding=1),
    "transposed 1d": lambda: F.conv_transpose1d(t(2, 4, 5), t(4, 6, 3)),
    "sdpa": lambda: F.scaled_dot_product_attention(t(2, 3, 4, 8), t(2, 3, 4, 8), t(2, 3, 4, 8)),
    "lstm": lambda: torch.nn.LSTM(5, 7, 2, bidirectional=True, device="meta")(t(3, 2, 5))[0],
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_count_as_pytorch_counts_them(name: str) -> None:
    def program() -> None:
        PRODUCTS[name]().sum().backward()

    calls, flops = counted(program)
    assert flops > 0
    assert matrix_flops(calls) == flops


GROUPED: dict[str, Callable[[], Any]] = {
    "grouped": lambda: F.conv2d(t(2, 4, 11, 9), t(6, 2, 3, 3), groups=2),
    "depthwise": lambda: F.conv2d(t(2, 4, 11, 9), t(8, 1, 3, 3), groups=4),
    "transposed grouped": lambda: F.conv_transpose2d(t(2, 4, 5, 6), t(4, 3, 3, 3), groups=2),
}


@pytest.mark.parametrize("name", GROUPED)
def test_grouped_convolutions_count_alike_in_every_direction(name: str) -> None:
    """PyTorch's counter multiplies the weights' gradient as if there were one group, so it is the oracle forward only."""
    forward, flops = counted(lambda: GROUPED[name]())
    assert matrix_flops(forward) == flops
    both = record(lambda: GROUPED[name]().sum().backward())
    assert matrix_flops(both) == 3 * flops
    directions = sorted(op.direction for op in ops_of(both) if isinstance(op, Convolution))
    assert directions == ["forward", "input_gradient", "weight_gradient"]


def test_a_transposed_convolution_is_the_gradient_of_the_one_it_names() -> None:
    made = ops_of(record(lambda: F.conv_transpose2d(t(2, 4, 5, 6), t(4, 6, 3, 3)).sum().backward()))
    found = [op for op in made if isinstance(op, Convolution)]
    assert [op.direction for op in found] == ["input_gradient", "forward", "weight_gradient"]
    assert {(op.in_channels, op.out_channels, op.image, op.result) for op in found} == {(6, 4, (7, 8), (5, 6))}


def test_channels_last_is_told_from_strides() -> None:
    x, w = t(2, 4, 8, 8), t(6, 4, 3, 3)
    last = torch.channels_last
    for image, weight, told in ((x, w, False), (x.to(memory_format=last), w, True), (x, w.to(memory_format=last), True)):
        made = ops_of(record(partial(F.conv2d, image, weight)))
        assert [op.channels_last for op in made if isinstance(op, Convolution)] == [told]


def test_a_bias_is_a_pass_of_its_own_except_in_depthwise_kernels() -> None:
    dense = ops_of(record(lambda: F.conv2d(t(2, 4, 8, 8), t(6, 4, 3, 3), t(6))))
    assert [op.name for op in dense] == ["convolution", "convolution_bias"]
    assert dense[1].bytes == 2 * 2 * 6 * 36 * 4
    assert len(ops_of(record(lambda: F.conv2d(t(2, 4, 8, 8), t(4, 1, 3, 3), t(4), groups=4)))) == 1


def specs(*shapes: tuple[int, ...], dtype: str = "bf16") -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(shape, dtype) for shape in shapes)


def overrideable(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], mask: Any = None, causal: bool = False) -> Any:
    name = "_scaled_dot_product_fused_attention_overrideable"
    call = Call(f"aten.{name}.default", (*specs(q, k, v), mask, 0.0, causal, False), (("scale", None),), specs((*q[:3], v[3])))
    (found,) = work(call)
    assert isinstance(found, Attention)
    return found


def test_attention_of_the_virtual_device() -> None:
    q = (2, 8, 64, 32)
    full = overrideable(q, q, q)
    assert (full.phase, full.causal, full.flops) == ("prefill", False, 4 * 2 * 8 * 64 * 64 * 32)
    causal = overrideable(q, q, q, causal=True)
    assert causal.flops == 2 * 2 * 8 * (64 * 65 / 2) * (32 + 32)
    assert overrideable(q, q, q, mask=TensorSpec((2, 1, 64, 64), "bf16"), causal=True) == full
    grouped = overrideable(q, (2, 2, 64, 32), (2, 2, 64, 16))
    assert (grouped.q_heads, grouped.kv_heads, grouped.qk_dim, grouped.v_dim) == (8, 2, 32, 16)
    decode = overrideable((2, 8, 1, 32), (2, 2, 500, 32), (2, 2, 500, 32))
    assert (decode.phase, decode.seen, decode.keys_read) == ("decode", 500, 500)


def test_causal_queries_count_from_the_first_key() -> None:
    """A query sees as many keys as its place: i of them the i-th, so that what lies behind the last query is never read."""
    fewer = overrideable((1, 1, 4, 8), (1, 1, 10, 8), (1, 1, 10, 8), causal=True)
    assert (fewer.seen, fewer.keys_read) == (2.5, 4)
    more = overrideable((1, 1, 10, 8), (1, 1, 4, 8), (1, 1, 4, 8), causal=True)
    assert more.seen == (1 + 2 + 3 + 4 * 7) / 10


def test_gradients_of_attention_name_their_forward() -> None:
    q, k = TensorSpec((2, 8, 64, 32), "bf16"), TensorSpec((2, 2, 64, 32), "bf16")
    name = "_scaled_dot_product_fused_attention_overrideable_backward"
    rest = (q, TensorSpec((2, 8, 64), "fp32"), None, None, 64, 64, 0.0, True, None, None)
    (found,) = work(Call(f"aten.{name}.default", (q, q, k, k, None, (True, True, True, False), *rest), (), (q, k, k)))
    assert isinstance(found, AttentionBackward)
    assert (found.forward.causal, found.forward.kv_heads) == (True, 2)
    assert found.flops == 2.5 * found.forward.flops


def test_sequences_in_one_row_are_told_from_their_offsets() -> None:
    q = TensorSpec((100, 8, 32), "bf16")
    offsets = TensorSpec((5,), "int32")
    args = (q, q, q, offsets, offsets, 30, 30, 0.0, True, False)
    (found,) = work(Call("aten._flash_attention_forward.default", args, (), (q,)))
    assert isinstance(found, Attention)
    assert (found.batch, found.q_len, found.kv_len, found.q_heads) == (4, 25, 25, 8)


def gemm(op: str, *args: Any, out: tuple[int, ...]) -> Gemm:
    (found,) = work(Call(op, args, (), (TensorSpec(out, "bf16"),)))
    assert isinstance(found, Gemm)
    return found


def test_groups_share_their_rows() -> None:
    x, w, offsets = TensorSpec((64, 32), "bf16"), TensorSpec((8, 32, 16), "bf16"), TensorSpec((8,), "int32")
    forward = gemm("aten._grouped_mm.default", x, w, offsets, out=(64, 16))
    assert (forward.batch, forward.m, forward.n, forward.k) == (8, 8, 16, 32)
    few = gemm("aten._grouped_mm.default", TensorSpec((3, 32), "bf16"), w, offsets, out=(3, 16))
    assert (few.batch, few.m) == (3, 1)  # weights of groups without rows stay where they are
    gradient = gemm(
        "aten._grouped_mm.default", TensorSpec((32, 64), "bf16"), TensorSpec((64, 16), "bf16"), offsets, out=(8, 32, 16)
    )
    assert (gradient.batch, gradient.m, gradient.n, gradient.k) == (8, 32, 16, 8)
    assert forward.flops == gradient.flops == 2 * 64 * 32 * 16


def test_types_of_products() -> None:
    fp8 = TensorSpec((32, 32), "fp8")
    scale = TensorSpec((), "fp32")
    assert gemm("aten._scaled_mm.default", fp8, fp8, scale, scale, out=(32, 32)).dtype == "fp8"
    packed = gemm("aten._scaled_mm.default", TensorSpec((32, 16), "fp4"), TensorSpec((16, 8), "fp4"), scale, scale, out=(32, 8))
    assert (packed.dtype, packed.k) == ("fp4", 32)
    assert gemm("aten._int_mm.default", *specs((32, 32), (32, 32), dtype="int8"), out=(32, 32)).dtype == "int8"
    assert gemm("aten.mm.default", *specs((4, 4), (4, 4), dtype="fp32"), out=(4, 4)).dtype == "fp32"
    spectrum = gemm("aten.mm.default", *specs((4, 4), (4, 4), dtype="complex64"), out=(4, 4))
    assert (spectrum.dtype, spectrum.batch) == ("fp32", 4)


def test_recurrent_layers_in_one_operator_count_as_their_parts() -> None:
    layer = torch.nn.LSTM(5, 7, 2, bidirectional=True, device="meta")
    parts = record(lambda: layer(t(3, 2, 5, grad=False)))
    weights = tuple(TensorSpec(tuple(w.shape), "fp32") for w in layer.parameters())
    state = TensorSpec((4, 2, 7), "fp32")
    args = (TensorSpec((3, 2, 5), "fp32"), (state, state), weights, True, 2, 0.0, True, True, False)
    whole = work(Call("aten.lstm.input", args, (), (TensorSpec((3, 2, 14), "fp32"), state, state)))
    assert math.isclose(sum(op.flops * op.count for op in whole if isinstance(op, Gemm)), matrix_flops(parts))
    cudnn = (args[0], weights, 4, None, state, state, 2, 7, 0, 2, False, 0.0, True, True, (), None)
    assert sum(op.flops * op.count for op in work(Call("aten._cudnn_rnn.default", cudnn, (), (args[0],)))) == sum(
        op.flops * op.count for op in whole
    )
    both = record(lambda: layer(t(3, 2, 5), (t(4, 2, 7), t(4, 2, 7)))[0].sum().backward())
    backward = (*cudnn[:6], args[0], args[0], state, state, *cudnn[6:], None, (True, True, True, True))
    gradients = work(Call("aten._cudnn_rnn_backward.default", backward, (), (args[0],)))
    assert sum(op.flops * op.count for op in gradients if isinstance(op, Gemm)) == matrix_flops(both) - matrix_flops(parts)


def test_an_encoder_layer_in_one_operator_counts_as_its_parts() -> None:
    layer = torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, device="meta").train()
    parts = record(lambda: layer(t(2, 6, 16, grad=False)))
    x = TensorSpec((2, 6, 16), "fp32")
    none = TensorSpec((16,), "fp32")
    inner, outer = TensorSpec((32, 16), "fp32"), TensorSpec((16, 32), "fp32")
    args = (
        x,
        16,
        4,
        TensorSpec((48, 16), "fp32"),
        none,
        none,
        none,
        False,
        False,
        1e-5,
        none,
        none,
        none,
        none,
        inner,
        none,
        outer,
        none,
    )
    whole = work(Call("aten._transformer_encoder_layer_fwd.default", args, (), (x,)))
    assert sum(op.flops for op in whole if isinstance(op, Gemm | Attention)) == matrix_flops(parts)
