"""Which types a chip computes with: the three states, and what is no evidence."""

from __future__ import annotations

import pytest

from windtunnel.catalog import chip
from windtunnel.catalog.number_types import computes, lacking, type_name
from windtunnel.errors import UnknownNameError


@pytest.mark.parametrize(
    ("name", "dtype", "op", "state"),
    [
        # the facts' own list of traps
        ("ascend-910b2", "fp8", "aten._scaled_mm.default", "lacking"),
        ("ascend-910c", "torch.float8_e4m3fn", "", "lacking"),
        ("a100-sxm-80gb", "fp8", "aten._scaled_mm.default", "lacking"),
        ("ascend-310p", "bf16", "aten.add.Tensor", "lacking"),
        ("h100-sxm", "fp8", "aten._scaled_mm.default", "computed"),
        ("ascend-910b2", "bfloat16", "aten.mm.default", "computed"),
        # bytes may be held in any type
        ("a100-sxm-80gb", "fp8", "aten.view.default", "computed"),
        ("a100-sxm-80gb", "fp8", "aten.empty.memory_format", "computed"),
        ("a100-sxm-80gb", "fp8", "aten._to_copy.default", "unknown"),
        # a list of a matrix unit's types is no evidence against the vector unit, or against integers
        ("ascend-910b2", "fp64", "aten.add.Tensor", "unknown"),
        ("ascend-310p", "fp32", "aten.add.Tensor", "unknown"),
        ("ascend-910b2", "int64", "aten.add.Tensor", "unknown"),
        ("v100-sxm-32gb", "int8", "aten.add.Tensor", "unknown"),
        ("v100-sxm-32gb", "int8", "aten._int_mm.default", "lacking"),
        # software computes it through another type
        ("v100-sxm-32gb", "bf16", "aten.mm.default", "unknown"),
        ("tpu-v5e", "fp16", "aten.mm.default", "unknown"),
        # a record that says itself that its list is not complete
        ("mlu690", "fp8", "aten._scaled_mm.default", "unknown"),
    ],
)
def test_states(name: str, dtype: str, op: str, state: str) -> None:
    found = computes(chip(name), dtype, op)
    assert found.state == state, found
    assert found.reason
    assert found.source
    assert (lacking(chip(name), dtype, op) is not None) == (state == "lacking")


def test_the_reason_names_the_chip_the_type_and_the_source() -> None:
    assert lacking(chip("ascend-910b2"), "fp8") == (
        "ascend-910b2 does not compute fp8; it computes fp32, bf16, fp16, int8 "
        "(" + computes(chip("ascend-910b2"), "fp8").source + ")"
    )


def test_names() -> None:
    assert type_name("torch.float8_e5m2") == "fp8"
    with pytest.raises(UnknownNameError, match="nearest: bfloat16"):
        type_name("bfloat17")
