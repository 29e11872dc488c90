"""Wafers, dies, yield and packages against figures that were published or can be worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.catalog import chip
from windtunnel.catalog.market import market_row
from windtunnel.errors import InvalidInputError
from windtunnel.plan.fleets.dies import DieSupply, Interval, defects, gross_dies, murphy, negative_binomial, packages

areas = st.floats(20e-6, 900e-6)


def test_dies_on_a_wafer_are_what_analysts_count() -> None:
    # M011: 78 die sites a wafer for the 910B
    assert "78 die sites/wafer" in market_row("M011").notes
    assert gross_dies(chip("ascend-910c-die").value("die_area_m2")) == pytest.approx(78, rel=0.05)


def test_a_hundred_square_millimetres() -> None:
    # pi 294^2 / 400 - pi 294 / sqrt(200) = 678.9 - 65.3
    assert gross_dies(100e-6) == 613


def test_a_die_larger_than_the_wafer() -> None:
    with pytest.raises(InvalidInputError, match=r"die_mm2: no die of 60,000 mm2 fits on a wafer of 300 mm"):
        gross_dies(0.06)


def test_murphy_by_hand() -> None:
    # one defect a die: ((1 - 1/e) / 1)^2
    assert murphy(100e-6, 1e4) == pytest.approx((1 - math.exp(-1)) ** 2)
    assert murphy(100e-6, 0.0) == 1.0


@given(areas, st.floats(0.0, 3e4))
def test_yield_is_a_share_and_falls_with_defects(area: float, density: float) -> None:
    for model in (murphy, lambda a, d: negative_binomial(a, d, 2.0)):
        share = model(area, density)
        assert 0.0 < share <= 1.0
        assert model(area, density + 1e3) < share
        assert model(area * 1.1, density) <= share


@given(areas, st.floats(0.01, 0.99))
def test_defects_behind_a_yield(area: float, share: float) -> None:
    assert murphy(area, defects(area, share)) == pytest.approx(share, rel=1e-6)


@given(areas, st.floats(1.0, 3e4))
def test_without_clustering_the_negative_binomial_is_poissons(area: float, density: float) -> None:
    assert negative_binomial(area, density, 1e7) == pytest.approx(math.exp(-area * density), rel=1e-3)


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5])
def test_a_yield_that_is_none(share: float) -> None:
    with pytest.raises(InvalidInputError, match="yield"):
        defects(1e-4, share)


def test_two_dies_a_package_and_some_lost_in_assembly() -> None:
    assert packages(1_000_000, 2) == 500_000
    assert packages(1_000_000, 2, 0.75) == 375_000


def supply(**changes: object) -> DieSupply:
    values = {
        "wafers_per_month": 100.0, "die_area_m2": 100e-6, "dies_each": 2, "good": Interval(0.2, 0.4, 0.5),
        "survive": Interval(0.75, 0.75, 1.0), "share": 0.1,
    }  # fmt: skip
    return DieSupply(**{**values, **changes})  # type: ignore[arg-type]


def test_chips_a_quarter_keep_the_interval() -> None:
    # 300 wafers x 613 dies
    assert supply().chips(4) == pytest.approx(
        [183_900 * good * survive / 2 * 0.1 for good, survive in ((0.2, 0.75), (0.4, 0.75), (0.5, 1.0))]
    )


def test_a_stock_of_dies_is_spread_over_the_quarters() -> None:
    assert supply(stock_dies=80_000.0).chips(4).low - supply().chips(4).low == pytest.approx(20_000 / 2 * 0.75 * 0.1)


def test_memory_can_be_what_there_is_too_little_of() -> None:
    assert supply(memory_stacks=32_000.0, stacks_each=8).chips(4) == pytest.approx([100.0, 100.0, 100.0])
