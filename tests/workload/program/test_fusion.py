"""Which calls of a region become one kernel, and what that kernel still moves: counted by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from windtunnel.workload.ops import Convolution, Pass
from windtunnel.workload.program.call import Call, Step, TensorSpec
from windtunnel.workload.program.fusion import channels_go_last, fuse
from windtunnel.workload.program.work import work

SHAPE = (8, 64, 32, 32)
BYTES = 2.0 * 8 * 64 * 32 * 32


def spec(*shape: int, dtype: str = "fp16") -> TensorSpec:
    return TensorSpec(shape, dtype)


def image(dtype: str = "fp16") -> TensorSpec:
    return spec(*SHAPE, dtype=dtype)


def pointwise(name: str, reads: tuple[int, ...], writes: int, of: TensorSpec | None = None) -> Step:
    made = of or image()
    return Step(Call(f"aten.{name}", tuple(made for _ in reads), outputs=(made,)), reads, (writes,))


def convolution(reads: tuple[int, int], writes: int, groups: int = 1, channels: int = 64, kernel: int = 3) -> Step:
    weight = spec(channels, 64 // groups, kernel, kernel)
    args = (image(), weight, None, (1, 1), (1, 1), (1, 1), False, (0, 0), groups)
    return Step(Call("aten.convolution.default", args, outputs=(spec(8, channels, 32, 32),)), reads, (writes,))


def test_a_chain_reads_what_enters_and_writes_what_leaves() -> None:
    steps = [pointwise("relu.default", (0,), 1), pointwise("mul.Tensor", (1, 2), 3), pointwise("sigmoid.default", (3,), 4)]
    (kernel,) = fuse(steps)
    assert kernel.calls == (0, 1, 2)
    (op,) = kernel.ops
    assert isinstance(op, Pass)
    assert (op.read_bytes, op.written_bytes) == (2 * BYTES, BYTES)


def test_what_somebody_else_reads_is_written_too() -> None:
    steps = [pointwise("relu.default", (0,), 1), pointwise("sigmoid.default", (1,), 2), convolution((1, 9), 3)]
    first, last = fuse(steps)
    assert first.calls == (0, 1)
    assert first.ops[0].written_bytes == 2 * BYTES  # type: ignore[union-attr]
    assert isinstance(last.ops[0], Convolution)


def test_products_stay_with_their_library_and_passes_after_them_are_one_kernel() -> None:
    steps = [convolution((0, 1), 2), pointwise("add.Tensor", (2, 0), 3), pointwise("relu.default", (3,), 4)]
    assert [kernel.calls for kernel in fuse(steps)] == [(0,), (1, 2)]


def test_nothing_is_fused_across_a_kernel_that_needs_its_result() -> None:
    # a gate: x * sigmoid(convolution(relu(x))) must read relu(x) again after the convolution
    steps = [pointwise("relu.default", (0,), 1), convolution((1, 9), 2), pointwise("mul.Tensor", (1, 2), 3)]
    assert [kernel.calls for kernel in fuse(steps)] == [(0,), (1,), (2,)]


def test_views_launch_nothing_and_pass_values_on() -> None:
    flat = spec(8, 64 * 32 * 32)
    view = Step(Call("aten.view.default", (image(), (8, -1)), outputs=(flat,)), (1,), (1,))
    steps = [pointwise("relu.default", (0,), 1), view, pointwise("sigmoid.default", (1,), 2, flat)]
    (kernel,) = fuse(steps)
    assert kernel.calls == (0, 2)
    assert kernel.ops[0].written_bytes == BYTES  # type: ignore[union-attr]


def test_a_normalisation_takes_in_what_comes_before_and_after() -> None:
    norm = Call("aten.native_layer_norm.default", (image("fp32"), (32,), None, None, 1e-5), outputs=(image("fp32"),))
    cast = Call("aten._to_copy.default", (image("fp32"),), (("dtype", "fp16"),), (image(),))
    steps = [pointwise("add.Tensor", (0, 1), 2, image("fp32")), Step(norm, (2,), (3,)), Step(cast, (3,), (4,))]
    (kernel,) = fuse(steps)
    (op,) = kernel.ops
    assert isinstance(op, Pass)
    assert op.kind == "norm"
    assert (op.read_bytes, op.written_bytes) == (4 * BYTES, BYTES)


def test_two_halves_of_one_value_are_read_once_each() -> None:
    half = spec(8, 32, 32, 32)
    steps = [
        Step(Call("aten.sigmoid.default", (half,), outputs=(half,)), (0,), (1,)),
        Step(Call("aten.mul.Tensor", (half, half), outputs=(half,)), (0, 1), (2,)),
        Step(Call("aten.relu.default", (image(),), outputs=(image(),)), (0,), (3,)),
    ]
    gated = fuse(steps)[0]
    assert gated.ops[0].read_bytes == BYTES  # type: ignore[union-attr]


def test_channels_go_innermost_unless_groups_of_several_do_most_of_the_work() -> None:
    assert channels_go_last([convolution((0, 1), 2)])
    assert not channels_go_last([convolution((0, 1), 2, groups=8)])
    assert channels_go_last([convolution((0, 1), 2, groups=64)])
    assert not channels_go_last([pointwise("relu.default", (0,), 1)])
    (kernel,) = fuse([convolution((0, 1), 2)])
    assert kernel.ops[0].channels_last  # type: ignore[union-attr]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from(["relu", "add", "conv"])), min_size=1, max_size=25)
)
def test_every_call_is_in_one_kernel_and_kernels_come_after_what_they_read(picks: list[tuple[int, int, str]]) -> None:
    steps: list[Step] = []
    for i, (a, b, kind) in enumerate(picks):
        one, two = max(i - a, 0), max(i - b, 0)
        if kind == "conv":
            steps.append(convolution((one, 1000), i + 1))
        else:
            reads = (one,) if kind == "relu" else (one, two)
            steps.append(pointwise(f"{kind}.default", reads, i + 1))
    kernels = fuse(steps)
    assert sorted(i for kernel in kernels for i in kernel.calls) == list(range(len(steps)))
    done: set[int] = {0, 1000}
    for kernel in kernels:
        own = {v for i in kernel.calls for v in steps[i].writes}
        assert {v for i in kernel.calls for v in steps[i].reads} <= done | own
        done |= own
    apart = sum(op.bytes for step in steps for op in work(step.call))
    assert sum(op.bytes for kernel in kernels for op in kernel.ops) <= apart * (1 + 1e-9)
