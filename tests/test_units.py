"""What people type for a time."""

from __future__ import annotations

import pytest

from windtunnel.errors import InvalidInputError
from windtunnel.units import parse_duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2s", 2), ("1.5", 1.5), ("50ms", 0.05), ("300us", 3e-4), ("5min", 300), ("5m", 300), ("3h", 10_800), ("10d", 864_000)],
)
def test_a_time_in_any_unit_that_people_type(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


def test_what_is_no_time_is_told_with_one_of_each_unit() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_duration_s("10w", "--restart")
    assert str(caught.value) == "--restart: '10w' is not a time; write it as 300us, 50ms, 2s, 5min, 3h or 10d"
