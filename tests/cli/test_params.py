"""What is typed after an option: either a sound value, or one line that names the option."""

from __future__ import annotations

import math

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.cli.params import CHIPS, TOKENS, Duration, OnChip, OnChips, Precision, Rate, Version
from windtunnel.cli.predict import attention_degrees, expert_degrees
from windtunnel.errors import InvalidInputError, ParallelismError, WindtunnelError

RATE = Rate(1e6, "requests/s")
OPTION = click.Option(["--x"])


def read(kind: click.ParamType, text: str) -> object:  # type: ignore[type-arg]
    return kind.convert(text, OPTION, None)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e99", "1.5", "", "many", "10000001", "9" * 5000, "0x10"])
def test_a_count_is_a_whole_number_in_range(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^--x: "):
        read(TOKENS, text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "-inf", "1e99", "", "many", "1e7"])
def test_a_rate_is_positive_and_finite(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^--x: "):
        read(RATE, text)


@pytest.mark.parametrize("text", ["0s", "-1s", "nan", "1e99", "2 parsecs", "", "infs", "2d", "100h"])
def test_a_time_is_positive_and_has_a_unit_that_is_known(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^--x: "):
        read(Duration(), text)


def test_sound_values() -> None:
    assert read(TOKENS, "4096") == 4096
    assert read(RATE, "20") == 20.0
    assert read(Rate(1.0, "as a share of one", zero=True), "0") == 0.0
    assert read(Duration(), "2s") == 2.0
    assert read(Duration(), "50ms") == pytest.approx(0.05)
    assert read(OnChip(), "h20") == ("h20", 0)
    assert read(OnChip(), "h20:8") == ("h20", 8)
    assert read(OnChip(), "./my.toml:8") == ("./my.toml", 8)
    assert read(OnChips(), "h20, h100-sxm:16,h20") == ("h20", "h100-sxm:16")
    assert read(Precision(), "FP8") == "fp8"
    assert read(Precision(), "native") == ""


@pytest.mark.parametrize("text", ["", ":8", "h20:", "h20:0", "h20:-1", "h20:x", "h20:8:", "h20,,h100-sxm"])
def test_a_chip_with_a_bad_count_or_no_name(text: str) -> None:
    with pytest.raises(InvalidInputError):
        read(OnChips(), text)


def test_an_unknown_precision_names_the_nearest() -> None:
    with pytest.raises(WindtunnelError, match="unknown x 'fp88'; nearest: fp8"):
        read(Precision(), "fp88")


def test_a_precision_may_be_typed_as_it_is_shown() -> None:
    assert [read(Precision(), text) for text in ("FP8", "W8A8", "w8a8-dynamic", "native")] == [
        "fp8",
        "w8a8_dynamic",
        "w8a8_dynamic",
        "",
    ]


@pytest.mark.parametrize("text", ["nan", "-1", "newest", "v", "."])
def test_a_version_has_a_number(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^--x: .* is no version"):
        read(Version(), text)
    assert read(Version(), "0.11") == "0.11"


@given(st.text(max_size=40))
def test_no_text_is_a_traceback(text: str) -> None:
    for kind in (TOKENS, CHIPS, RATE, Duration(), OnChip(), OnChips(), Precision()):
        try:
            value = read(kind, text)
        except WindtunnelError as error:
            assert "\n" not in str(error)  # noqa: PT017  (either outcome is right)
        else:
            assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize(
    ("chips", "tp", "pp", "dp", "result"),
    [
        (0, None, None, None, (1, 1, 1)),
        (8, None, None, None, (8, 1, 1)),
        (16, None, 2, None, (8, 2, 1)),
        (32, 4, None, 8, (4, 1, 8)),
        (0, 4, None, 8, (4, 1, 8)),
    ],
)
def test_degrees_of_attention(chips: int, tp: int | None, pp: int | None, dp: int | None, result: tuple[int, int, int]) -> None:
    assert attention_degrees(chips, tp, pp, dp) == result


@pytest.mark.parametrize(
    ("chips", "tp", "pp", "dp", "message"),
    [
        (16, 4, None, None, "--on: 16 chips, but --tp 4 x --pp 1 x --dp 1 = 4; --dp 4 would do"),
        (10, 4, None, None, "--on: 10 chips, but --tp 4 x --pp 1 x --dp 1 = 4; --on ...:4 would do"),
        (10, None, 3, None, "--on: 10 chips are not divided by --pp 3 x --dp 1 = 3"),
        (0, 100_000, 100_000, None, "--tp: 10,000,000,000 chips in one instance; at most 100,000"),
    ],
)
def test_degrees_that_do_not_agree(chips: int, tp: int | None, pp: int | None, dp: int | None, message: str) -> None:
    with pytest.raises(ParallelismError) as caught:
        attention_degrees(chips, tp, pp, dp)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("ranks", "ep", "moe_tp", "result"),
    [(16, None, None, (0, 0)), (16, 16, None, (16, 1)), (16, 4, None, (4, 4)), (16, None, 2, (8, 2))],
)
def test_degrees_of_experts(ranks: int, ep: int | None, moe_tp: int | None, result: tuple[int, int]) -> None:
    assert expert_degrees(ranks, ep, moe_tp) == result


@pytest.mark.parametrize(
    ("ranks", "ep", "moe_tp", "message"),
    [
        (16, 3, None, "--ep: 3 does not divide --tp x --dp = 16; nearest: 2"),
        (16, None, 5, "--moe-tp: 5 does not divide --tp x --dp = 16; nearest: 4"),
        (16, 4, 2, "--moe-tp: --ep 4 x --moe-tp 2 is not --tp x --dp = 16"),
    ],
)
def test_degrees_of_experts_that_do_not_agree(ranks: int, ep: int | None, moe_tp: int | None, message: str) -> None:
    with pytest.raises(ParallelismError) as caught:
        expert_degrees(ranks, ep, moe_tp)
    assert str(caught.value) == message
