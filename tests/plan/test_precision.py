"""In which number type a checkpoint is planned on a chip that cannot compute its own."""

from __future__ import annotations

import pytest

from windtunnel.catalog.chip import chip
from windtunnel.catalog.models import model
from windtunnel.plan.precision import chosen_precision


@pytest.mark.parametrize(
    ("on", "expected"), [("h100-sxm", ""), ("a100-sxm-80gb", "w8a8_dynamic"), ("ascend-910b2", "w8a8_dynamic")]
)
def test_fp8_that_a_chip_cannot_compute_is_planned_as_int8(on: str, expected: str) -> None:
    found, told = chosen_precision(model("deepseek-ai/DeepSeek-R1"), chip(on), None)
    assert found == expected
    assert (f"{on} cannot compute fp8" in told) == bool(expected)


def test_fp8_is_widened_where_it_is_asked_for() -> None:
    assert chosen_precision(model("deepseek-ai/DeepSeek-R1"), chip("a100-sxm-80gb"), "fp8") == ("fp8", "")


def test_four_bits_run_as_stored_where_engines_widen_them() -> None:
    assert chosen_precision(model("openai/gpt-oss-120b"), chip("h100-sxm"), None) == ("", "")
