"""Programs by name: one recording for every batch is what a recording at that batch says, to the number."""

from __future__ import annotations

import importlib.util

import pytest

torch = pytest.importorskip("torch")

from windtunnel.errors import InvalidInputError, UnknownNameError  # noqa: E402
from windtunnel.run.programs import BATCH, _record, at_batch, numbers, record_program  # noqa: E402
from windtunnel.workload.ops import Convolution, Gemm  # noqa: E402
from windtunnel.workload.program.call import Call, Step, TensorSpec  # noqa: E402
from windtunnel.workload.program.work import work  # noqa: E402

timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")


def test_numbers_that_hold_the_batch_become_those_of_another() -> None:
    image = TensorSpec((BATCH, 3, 8), "fp16", (24, 8, 1))
    step = Step(
        Call("aten.view.default", (image, (BATCH * 3, 8), True, 1.5), outputs=(TensorSpec((BATCH * 3, 8), "fp16"),)), (0,), (0,)
    )
    (told,) = at_batch([step], 5)
    assert told.call.args == (TensorSpec((5, 3, 8), "fp16", (24, 8, 1)), (15, 8), True, 1.5)
    assert told.call.outputs == (TensorSpec((15, 8), "fp16"),)
    assert numbers([told]) >= {5, 3, 8, 24, 15}


@timm
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_one_recording_serves_every_batch(name: str) -> None:
    told = record_program(f"timm:{name}", 224, 6, "amp-fp16", "nhwc")
    plain = _record(f"timm:{name}", 224, 6, "amp-fp16", "nhwc", False)
    assert [step.call for step in told] == [step.call for step in plain]
    assert [(step.reads, step.writes) for step in told] == [(step.reads, step.writes) for step in plain]


@timm
def test_a_known_models_flops_are_those_of_its_paper() -> None:
    ops = [op for step in record_program("timm:resnet18", 224, 1, "amp-fp16") for op in work(step.call)]
    products = sum(op.flops for op in ops if isinstance(op, Convolution | Gemm))
    assert products == pytest.approx(2 * 1.82e9, rel=0.01)  # torchvision's table: 1.81 GMAC and the head
    assert {op.dtype for op in ops if isinstance(op, Convolution | Gemm)} == {"fp16"}
    single = [op for step in record_program("timm:resnet18", 224, 1, "fp32") for op in work(step.call)]
    assert {op.dtype for op in single if isinstance(op, Convolution | Gemm)} == {"fp32"}
    assert len(single) < len(ops)  # nothing is cast


@timm
def test_channels_lie_innermost_where_asked() -> None:
    for layout, last in (("nchw", False), ("nhwc", True)):
        ops = [op for step in record_program("timm:resnet18", 224, 2, "fp16", layout) for op in work(step.call)]
        assert {op.channels_last for op in ops if isinstance(op, Convolution)} == {last}


@timm
def test_unknown_names_and_sizes_are_refused_in_one_line() -> None:
    with pytest.raises(UnknownNameError, match="resnet50"):
        record_program("timm:resnett50", 224, 1)
    with pytest.raises(InvalidInputError, match="does not run at 4 x 4"):
        record_program("timm:vit_tiny_patch16_224", 4, 1)
    with pytest.raises(UnknownNameError, match="amp-fp16"):
        record_program("timm:resnet18", 224, 1, "amp-fp8")
    with pytest.raises(InvalidInputError, match="module:factory"):
        record_program("resnet18", 224, 1)
