"""Bytes of passes by hand: what each operator must read and write, how it walks, what it names."""

from __future__ import annotations

from typing import Any

import pytest

from windtunnel.workload.ops import Collective, Pass
from windtunnel.workload.program.call import Call, TensorSpec
from windtunnel.workload.program.work import collective, is_view, known, work


def spec(*shape: int, dtype: str = "fp32", stride: tuple[int, ...] | None = None) -> TensorSpec:
    if stride is None:
        stride, step = (), 1
        for n in reversed(shape):
            stride, step = (step, *stride), step * n
    return TensorSpec(shape, dtype, stride)


def passes(op: str, *args: Any, out: Any = (), **kwargs: Any) -> list[Pass]:
    made = (out,) if isinstance(out, TensorSpec) else out
    found = work(Call(f"aten.{op}" if "." in op else f"aten.{op}.default", args, tuple(kwargs.items()), made))
    assert all(isinstance(op, Pass) for op in found)
    return [op for op in found if isinstance(op, Pass)]


def moved(op: str, *args: Any, out: Any = (), **kwargs: Any) -> list[tuple[str, float, float]]:
    """(kind, bytes read, bytes written) of each pass."""
    return [(p.kind, p.read_bytes, p.written_bytes) for p in passes(op, *args, out=out, **kwargs)]


X = spec(64, 128)
B = X.bytes
ROW = spec(128)
IMAGE = spec(2, 16, 8, 8)
I = IMAGE.bytes  # noqa: E741
INDEX = spec(10, dtype="int64")
TABLE = spec(1000, 64)
LONG = spec(4, 100_000)

CASES: list[tuple[str, tuple[Any, ...], Any, list[tuple[str, float, float]]]] = [
    # element by element
    ("add.Tensor", (X, X), X, [("pointwise", 2 * B, B)]),
    ("add_.Tensor", (X, X), X, [("pointwise", 2 * B, B)]),
    ("mul.Tensor", (X, ROW), X, [("pointwise", B + 512, B)]),
    ("mul.Tensor", (X, spec(64, 128, stride=(0, 1))), X, [("pointwise", B + 512, B)]),
    ("gelu", (X,), X, [("pointwise", B, B)]),
    ("__iand__.Tensor", (X, X), X, [("pointwise", 2 * B, B)]),
    ("where.self", (spec(64, 128, dtype="bool"), X, X), X, [("pointwise", 2 * B + 8192, B)]),
    ("gt.Scalar", (X, 0.0), spec(64, 128, dtype="bool"), [("pointwise", B, 8192)]),
    ("zero_", (X,), X, [("pointwise", 0, B)]),
    ("fill_.Scalar", (X, 1.0), X, [("pointwise", 0, B)]),
    ("zeros", ((64, 128),), X, [("pointwise", 0, B)]),
    ("zeros_like", (X,), X, [("pointwise", 0, B)]),
    ("add.Tensor", (spec(0, 4), spec(0, 4)), spec(0, 4), []),
    # drawn
    ("normal_", (X,), X, [("random", 0, B)]),
    ("bernoulli_.float", (X, 0.1), X, [("random", 0, B)]),
    ("native_dropout", (X, 0.1, True), (X, spec(64, 128, dtype="bool")), [("random", B, B + 8192)]),
    # moved
    ("copy_", (X, X), X, [("copy", B, B)]),
    ("_to_copy", (X,), spec(64, 128, dtype="bf16"), [("copy", B, B / 2)]),
    ("clone", (spec(128, 64, stride=(1, 128)),), spec(128, 64), [("transpose", B, B)]),
    ("copy_", (X, spec(1, 128)), X, [("copy", 512, B)]),
    ("cat", ((X, X),), spec(128, 128), [("copy", 2 * B, 2 * B)]),
    ("constant_pad_nd", (X, (1, 1)), spec(64, 130), [("copy", B, 64 * 130 * 4)]),
    ("slice_backward", (ROW, (64, 128), 0, 0, 1, 1), X, [("pointwise", 0, B), ("copy", 512, 512)]),
    ("contiguous", (X,), X, []),
    # by index
    ("embedding", (TABLE, INDEX), spec(10, 64), [("gather", 2560 + 80, 2560)]),
    ("embedding", (spec(3, 64), INDEX), spec(10, 64), [("gather", 768 + 80, 2560)]),
    ("index.Tensor", (TABLE, (INDEX,)), spec(10, 64), [("gather", 2560 + 80, 2560)]),
    ("gather", (X, 1, spec(64, 2, dtype="int64")), spec(64, 2), [("gather", 512 + 1024, 512)]),
    ("index_add_", (TABLE, 0, INDEX, spec(10, 64)), TABLE, [("scatter", 80 + 2560 + 2560, 2560)]),
    ("scatter.src", (X, 1, spec(64, 2, dtype="int64"), spec(64, 2)), X, [("copy", B, B), ("scatter", 1024 + 512, 512)]),
    ("index_put_", (TABLE, (INDEX,), spec(10, 64)), TABLE, [("scatter", 80 + 2560, 2560)]),
    ("index_put_", (TABLE, (INDEX,), spec(10, 64), True), TABLE, [("scatter", 80 + 2560 + 2560, 2560)]),
    ("embedding_dense_backward", (spec(10, 64), INDEX, 1000, -1, False), TABLE,
     [("pointwise", 0, TABLE.bytes), ("scatter", 2560 + 80 + 2560, 2560)]),
    # folded
    ("sum.dim_IntList", (X, (1,)), spec(64), [("reduction", B, 256)]),
    ("mean", (X,), spec(), [("reduction", B, 4)]),
    ("argmax", (X, 1), spec(64, dtype="int64"), [("reduction", B, 512)]),
    ("max.other", (X, X), X, [("pointwise", 2 * B, B)]),
    ("cumsum", (X, 1), X, [("scan", B, B)]),
    ("topk", (X, 2), (spec(64, 2), spec(64, 2, dtype="int64")), [("sort", B, 512 + 1024)]),
    ("sort", (X,), (X, spec(64, 128, dtype="int64")), [("sort", B, 3 * B)]),
    # normalised: rows that fit are read once, longer ones twice
    ("native_layer_norm", (X, (128,), ROW, ROW, 1e-5), (X, spec(64, 1), spec(64, 1)), [("norm", B + 1024, B + 512)]),
    ("_fused_rms_norm", (X, (128,), ROW, 1e-5), (X, spec(64, 1)), [("norm", B + 512, B + 256)]),
    ("_softmax", (X, -1, False), X, [("softmax", B, B)]),
    ("_softmax", (LONG, -1, False), LONG, [("softmax", 2 * LONG.bytes, LONG.bytes)]),
    ("_log_softmax_backward_data", (X, X, 1, "fp32"), X, [("softmax", 2 * B, B)]),
    ("native_layer_norm_backward", (X, X, (128,), spec(64, 1), spec(64, 1), ROW, ROW, (True, True, True)), (X, ROW, ROW),
     [("norm", 2 * B + 512 + 1024, B), ("reduction", 2 * B, 1024)]),
    ("native_group_norm", (IMAGE, spec(16), spec(16), 2, 16, 64, 4, 1e-5), (IMAGE, spec(2, 4), spec(2, 4)),
     [("norm", I + 128, I + 64)]),
    ("native_batch_norm", (IMAGE, *[spec(16)] * 4, True, 0.1, 1e-5), (IMAGE, spec(16), spec(16)),
     [("norm", 2 * I + 256, I + 128 + 256)]),
    ("native_batch_norm", (IMAGE, *[spec(16)] * 4, False, 0.1, 1e-5), (IMAGE, spec(0), spec(0)), [("pointwise", I + 256, I)]),
    ("native_batch_norm_backward", (IMAGE, IMAGE, *[spec(16)] * 5, True, 1e-5, (True, True, True)), (IMAGE, spec(16), spec(16)),
     [("norm", 4 * I + 320, I + 128)]),
    ("nll_loss_forward", (TABLE, spec(1000, dtype="int64"), None, 1, -100), (spec(), spec()), [("reduction", 12_000, 8)]),
    ("mse_loss", (X, X), spec(), [("reduction", 2 * B, 4)]),
    ("mse_loss_backward", (spec(), X, X, 1), X, [("pointwise", 2 * B + 4, B)]),
    # images
    ("max_pool2d_with_indices", (IMAGE, (2, 2)), (spec(2, 16, 4, 4), spec(2, 16, 4, 4, dtype="int64")),
     [("pool", I, I / 4 + I / 2)]),
    ("avg_pool2d_backward", (spec(2, 16, 4, 4), IMAGE, (2, 2), (2, 2), (0, 0), False, True, None), IMAGE, [("pool", I / 4, I)]),
    ("upsample_nearest2d", (IMAGE, (16, 16)), spec(2, 16, 16, 16), [("resample", I, 4 * I)]),
    ("upsample_bilinear2d_backward", (spec(2, 16, 16, 16), (16, 16), (2, 16, 8, 8), False), IMAGE,
     [("pointwise", 0, I), ("resample", 4 * I, I)]),
    # many at once
    ("_foreach_add_.List", ((X, ROW), (X, ROW)), (), [("optimizer", 2 * (B + 512), B + 512)]),
    ("_foreach_sqrt", ((X, ROW),), (X, ROW), [("optimizer", B + 512, B + 512)]),
    ("_foreach_zero_", ((X, ROW),), (), [("optimizer", 0, B + 512)]),
    ("_foreach_copy_", ((X,), (spec(64, 128, dtype="bf16"),)), (), [("optimizer", B / 2, B)]),
    ("_foreach_norm.Scalar", ((X, ROW), 2), (spec(), spec()), [("reduction", B + 512, 8)]),
    ("_fused_adamw_", ((X,), (X,), (X,), (X,), (), (spec(),)), (), [("optimizer", 4 * B, 3 * B)]),
    ("_fused_sgd_", ((X,), (X,), ()), (), [("optimizer", 2 * B, B)]),
    ("_amp_foreach_non_finite_check_and_unscale_", ((X, ROW), spec(), spec()), (), [("optimizer", B + 512, B + 512)]),
    # of which nothing is known
    ("an_operator_of_tomorrow", (X, ROW), X, [("other", B + 512, B)]),
]  # fmt: skip


@pytest.mark.parametrize(("op", "args", "out", "expected"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_bytes_by_hand(op: str, args: tuple[Any, ...], out: Any, expected: list[tuple[str, float, float]]) -> None:
    assert moved(op, *args, out=out) == expected


def test_an_out_operand_is_only_written() -> None:
    found = work(Call("aten.add.out", (X, X), (("out", X),), (X,)))
    assert [op.bytes for op in found] == [3 * B]


@pytest.mark.parametrize(
    "op",
    [
        "view",
        "t",
        "transpose.int",
        "expand",
        "slice.Tensor",
        "select.int",
        "unsqueeze",
        "detach",
        "alias",
        "_unsafe_view",
        "split.Tensor",
    ],
)
def test_views_launch_nothing(op: str) -> None:
    full = f"aten.{op}" if "." in op else f"aten.{op}.default"
    assert work(Call(full, (X,), (), (X,))) == ()
    assert is_view(full)
    assert not is_view("aten.add.Tensor")


def test_neighbours_that_part_are_told() -> None:
    turned = spec(64, 128, stride=(1, 64))
    assert passes("add.Tensor", X, X, out=X)[0].contiguous
    assert not passes("add.Tensor", X, turned, out=X)[0].contiguous
    assert passes("add.Tensor", turned, turned, out=turned)[0].contiguous
    assert not passes("neg", spec(64, 64, stride=(256, 2)), out=spec(64, 64))[0].contiguous
    assert passes("sum.dim_IntList", X, (1,), out=spec(64))[0].contiguous
    assert not passes("sum.dim_IntList", X, (0,), out=ROW)[0].contiguous


def test_rows_are_what_is_folded_together() -> None:
    assert passes("sum.dim_IntList", X, (1,), out=spec(64))[0].row == 128
    assert passes("native_layer_norm", X, (128,), ROW, ROW, 1e-5, out=X)[0].row == 128
    assert passes("native_batch_norm", IMAGE, *[spec(16)] * 4, True, 0.1, 1e-5, out=IMAGE)[0].row == 2 * 64
    assert passes("_softmax", X, 0, False, out=X)[0].row == 64


def test_lists_say_how_many_they_hold() -> None:
    assert passes("_foreach_add_.Scalar", (X, ROW, ROW), 1.0)[0].tensors == 3
    assert passes("_fused_adam_", (X, ROW), (X, ROW), (X, ROW), (X, ROW), (), (spec(), spec()))[0].tensors == 2


def test_a_full_matrix_added_to_a_product_is_copied_first() -> None:
    a, b, c = spec(64, 32), spec(32, 128), X
    row = work(Call("aten.addmm.default", (ROW, a, b), (), (X,)))
    full = work(Call("aten.addmm.default", (c, a, b), (), (X,)))
    inside = work(Call("aten.addmm_.default", (c, a, b), (), (X,)))
    ignored = work(Call("aten.addmm.default", (c, a, b), (("beta", 0),), (X,)))
    assert [op.family for op in row] == [op.family for op in inside] == [op.family for op in ignored] == ["gemm"]
    assert [op.family for op in full] == ["pass", "gemm"]


def exchanged(op: str, *args: Any, ranks: int = 8) -> tuple[str, float] | None:
    call = Call(op, args, (), ())
    assert work(call) == ()
    assert known(op)
    found = collective(call, ranks)
    assert found is None or isinstance(found, Collective)
    return None if found is None else (found.kind, found.bytes)


def test_collectives_carry_the_bytes_of_their_convention() -> None:
    functional = "_c10d_functional"
    assert exchanged(f"{functional}.all_reduce.default", X, "sum", "0") == ("all_reduce", B)
    assert exchanged(f"{functional}.all_gather_into_tensor.default", X, 8, "0") == ("all_gather", 8 * B)
    assert exchanged(f"{functional}.reduce_scatter_tensor.default", X, "sum", 8, "0") == ("reduce_scatter", B)
    assert exchanged(f"{functional}.all_to_all_single.default", X, (8,), (8,), "0") == ("all_to_all", B)
    assert exchanged(f"{functional}.wait_tensor.default", X) is None
    assert exchanged(f"{functional}.all_reduce.default", X, "sum", "0", ranks=1) is None
    assert exchanged("c10d.allreduce_.default", (X, ROW), "group", "op", None) == ("all_reduce", B + 512)
    assert exchanged("c10d._allgather_base_.default", spec(512, 128), X, "group") == ("all_gather", 8 * B)
    assert exchanged("c10d.allgather_.default", ((X,) * 8,), (X,), "group") == ("all_gather", 8 * B)
    assert exchanged("c10d._reduce_scatter_base_.default", spec(8, 128), X, "group") == ("reduce_scatter", B)
    assert exchanged("c10d.alltoall_base_.default", ROW, X, "group", (), ()) == ("all_to_all", B)
    assert exchanged("c10d.broadcast_.default", (X,), "group", 0, 0) == ("all_gather", B)
    assert exchanged("c10d.send.default", (X,), "group", 1, 0) == ("p2p", B)


def test_operators_of_torch_npu() -> None:
    norm = work(Call("npu.npu_rms_norm.default", (X, ROW), (), (X, spec(64, 1))))
    assert [(op.family, op.bytes) for op in norm] == [("pass", 2 * B + 512 + 256)]
    q = spec(2, 64, 256, dtype="bf16")
    (attention,) = work(Call("npu.npu_fusion_attention.default", (q, q, q, 8, "BSH"), (("sparse_mode", 2),), (q,)))
    assert attention.flops == 2 * 2 * 8 * (64 * 65 / 2) * (32 + 32)
    rows, weights = spec(64, 32, dtype="bf16"), spec(8, 32, 16, dtype="bf16")
    (product,) = work(Call("npu.npu_grouped_matmul.default", ((rows,), (weights,)), (), (spec(64, 16),)))
    assert product.flops == 2 * 64 * 32 * 16
    assert known("npu.npu_swiglu.default")
    assert not known("npu.npu_something_new.default")
