"""Real tensors as records: names of types, strides, arguments without PyTorch in them."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from windtunnel.workload.program.call import ITEM_BYTES, TensorSpec  # noqa: E402
from windtunnel.workload.program.observe import call_of, dtype_name, name_of, spec_of  # noqa: E402

NAMES = {
    "float64": "fp64", "float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "float8_e4m3fn": "fp8", "float8_e5m2": "fp8",
    "int64": "int64", "int8": "int8", "uint8": "uint8", "bool": "bool", "complex64": "complex64",
}  # fmt: skip


@pytest.mark.parametrize(("theirs", "ours"), NAMES.items())
def test_types_have_short_names(theirs: str, ours: str) -> None:
    assert dtype_name(getattr(torch, theirs)) == ours


def test_every_type_of_pytorch_has_a_name_of_known_width() -> None:
    for dtype in {value for value in vars(torch).values() if isinstance(value, torch.dtype)}:
        assert ITEM_BYTES[dtype_name(dtype)] in (1, 2, 4, 8, 16)


def test_an_expanded_dimension_is_read_once() -> None:
    spec = spec_of(torch.zeros(3, 1).expand(3, 5))
    assert spec == TensorSpec((3, 5), "fp32", (1, 0))
    assert (spec.numel, spec.bytes) == (15, 12)


def test_layouts_without_strides_have_none() -> None:
    assert spec_of(torch.eye(3).to_sparse()) == TensorSpec((3, 3), "fp32")


def test_a_call_holds_what_was_given_and_what_came_back() -> None:
    a, b = torch.zeros(2, 3), torch.zeros(3, 4)
    call = call_of(torch.ops.aten.mm.default, (a, b), {}, torch.zeros(2, 4))
    assert (call.op, call.name) == ("aten.mm.default", "mm")
    assert [t.shape for t in call.inputs] == [(2, 3), (3, 4)]
    assert call.outputs == (TensorSpec((2, 4), "fp32", (4, 1)),)
    assert hash(call) == hash(call_of(torch.ops.aten.mm.default, (a, b), {}, torch.zeros(2, 4)))


def test_lists_types_and_devices_become_plain() -> None:
    args = ([torch.zeros(2), torch.ones(3, dtype=torch.int64)], 1)
    kwargs = {"dtype": torch.bfloat16, "device": torch.device("cpu"), "memory_format": torch.channels_last, "alpha": 2.0}
    call = call_of(torch.ops.aten.cat.default, args, kwargs, (torch.zeros(5), None))
    assert [t.dtype for t in call.inputs] == ["fp32", "int64"]
    assert dict(call.kwargs) == {"dtype": "bf16", "device": "cpu", "memory_format": "channels_last", "alpha": 2.0}
    assert len(call.outputs) == 1


def test_overloads_keep_their_names() -> None:
    assert name_of(torch.ops.aten.add.Tensor) == "aten.add.Tensor"
    assert name_of(torch.ops.aten._foreach_add_.List) == "aten._foreach_add_.List"
