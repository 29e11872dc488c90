"""What a plan refuses, and what one chip cannot do: one line that names the field and the nearest that would do."""

from __future__ import annotations

import math
from typing import Any

import pytest

from windtunnel.errors import InvalidInputError, UnknownNameError, WindtunnelError
from windtunnel.plan.place import Place, place
from windtunnel.plan.result import Targets
from windtunnel.plan.search import plan

MODEL, LARGE = "meta-llama/Llama-3.1-8B", "deepseek-ai/DeepSeek-V3"
GOOD = Targets(1000, 100)


@pytest.mark.parametrize(
    ("on", "options", "says"),
    [
        ("h21", {}, "h20"),
        ("cloudmatrix", {}, "cloudmatrix-384"),
        ("h20:0", {}, "'0' is not a number of chips"),
        ("h20:-3", {}, "'-3' is not a number of chips"),
        ("h20:many", {}, "'many' is not a number of chips"),
        ("h20:", {}, "'' is not a number of chips"),
        (":8", {}, "names no chip"),
        ("h20", {"max_chips": 0}, "max_chips"),
        ("h20", {"engine": "vlm"}, "vllm"),
        ("h20", {"precision": "fp9"}, "fp8"),
        ("h20", {"prices": "no-such-file.toml"}, "no-such-file.toml"),
        ("mine.toml", {}, "mine.toml"),
    ],
)
def test_malformed_requests_fail_whole(on: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(WindtunnelError) as caught:
        plan(MODEL, [on], GOOD, **options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["isl", "osl", "ttft_s", "tpot_s", "requests_per_s"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, 1e30, "2", None, True])
def test_numbers_that_are_none(field: str, value: Any) -> None:
    targets = {"isl": 1000, "osl": 100, field: value}
    with pytest.raises(InvalidInputError) as caught:
        plan(MODEL, ["h20"], Targets(**targets))
    assert caught.value.field == field


def test_no_tokens_no_chips_no_context() -> None:
    with pytest.raises(InvalidInputError, match="isl"):
        plan(MODEL, ["h20"], Targets(0, 100))
    with pytest.raises(InvalidInputError, match="names no chip"):
        plan(MODEL, [], GOOD)
    with pytest.raises(InvalidInputError, match="context of 131,072"):
        plan(MODEL, ["h20"], Targets(131_072, 1))
    with pytest.raises(UnknownNameError, match="nearest"):
        plan("meta-llama/Llama-3.1-9B", ["h20"], GOOD)


@pytest.mark.parametrize(
    ("model", "on", "wanted", "options", "why"),
    [
        (MODEL, "biren-br106", {}, {}, "not known: matrix_flops_per_s"),
        (MODEL, "ascend-910b2", {}, {"precision": "fp8"}, "cannot compute fp8; it can: "),
        (MODEL, "h20", {}, {"engine": "mindie"}, "mindie does not serve h20; what does: vllm"),
        (LARGE, "h20:4", {}, {}, "does not fit 4 x h20; nearest that would do: 8 chips"),
        (LARGE, "h20:32", {"tpot_s": 0.001}, {}, "TPOT"),
        (LARGE, "h20:32", {"ttft_s": 0.001}, {}, "TTFT"),
        (LARGE, "h20:32", {"requests_per_s": 1e4, "tpot_s": 0.05, "ttft_s": 2.0}, {}, "10,000 requests/s need"),
    ],
)
def test_a_chip_that_cannot_says_why(model: str, on: str, wanted: dict[str, float], options: dict[str, Any], why: str) -> None:
    (chip,) = plan(model, [on], Targets(1000, 100, **wanted), **options).chips
    assert chip.best is None
    assert why in chip.why_not
    assert "\n" not in chip.why_not
    if wanted:
        assert "against" in chip.why_not or "are allowed: they carry" in chip.why_not


def test_one_chip_that_fails_does_not_fail_the_others() -> None:
    found = plan(MODEL, ["biren-br106", "h20"], GOOD)
    assert [c.best is None for c in found.chips] == [True, False]


def test_what_a_name_stands_for() -> None:
    def where(name: str) -> tuple[str, int, int, int]:
        at: Place = place(name)
        return at.system, at.domain, at.most, at.largest

    assert where("h20") == ("", 8, 0, 64)
    assert where("h20:12") == ("", 8, 12, 12)
    assert where("ascend-910c") == ("atlas-800t-a3", 8, 0, 64)
    assert where("cloudmatrix-384") == ("cloudmatrix-384", 384, 0, 256)
    assert where("cloudmatrix-384:48") == ("cloudmatrix-384", 384, 48, 48)
    assert place("h20:64", 8).most == 8
    assert place("cloudmatrix-384").systems([256, 128, 64, 64]) == 2
