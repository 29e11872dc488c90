"""Every row of the collected table, and the vectors beside it."""

from __future__ import annotations

import pytest

from tests.rules.table import Row, rows
from windtunnel.catalog import chip
from windtunnel.rules.check import check
from windtunnel.rules.classify import below_2026, classify_2022, classify_2023, classify_hbm, letter_hit
from windtunnel.rules.metrics import dram_bandwidth, io_bandwidth, performance_density, total_processing_performance
from windtunnel.rules.verdict import Status

ROWS = [pytest.param(row, id=row.chip) for row in rows()]
SHORT = {"DRAM bandwidth": "dram", "I/O bandwidth": "io", "DRAM + I/O": "sum"}


def test_the_table_is_whole() -> None:
    assert len(ROWS) == 45
    assert {row.eccn for row in rows()} == {"none", "3A090.a.1", "3A090.a.2", "NAC", "Note 2", "area", "compute"}


@pytest.mark.parametrize("row", ROWS)
def test_numbers(row: Row) -> None:
    of = chip(row.chip)
    tpp, pd = total_processing_performance(of), performance_density(of)
    assert (tpp.value is None) == (row.tpp is None)
    assert (pd.value is None) == (row.pd is None)
    if tpp.value is not None and row.tpp is not None:
        assert abs(tpp.value - row.tpp) <= 0.5
        assert row.precision in tpp.basis.split(" = ")
    if pd.value is not None and row.pd is not None:
        printed = 0.005 + (0.5 / row.area if row.area else 0.0)  # PD to two digits, of a TPP to whole ones
        assert abs(pd.value - row.pd) <= printed
    if row.area is not None:
        assert of.value("die_area_m2") == pytest.approx(row.area * 1e-6, rel=2e-4)
    assert dram_bandwidth(of).value == pytest.approx(row.dram)
    assert io_bandwidth(of).value == pytest.approx(row.io)


@pytest.mark.parametrize("row", ROWS)
def test_classes(row: Row) -> None:
    of = chip(row.chip)
    old, new = classify_2022(of), classify_2023(of)
    assert (old.eccn, old.missing) == ("3A090.a" if row.controlled_2022 else "", "")
    assert (new.missing, new.eccn, new.exception) == {
        "none": ("", "", False),
        "NAC": ("", "3A090.a", True),
        "Note 2": ("", "", False),
        "area": ("die area", "", False),
        "compute": ("a compute figure", "", False),
    }.get(row.eccn, ("", row.eccn, False))
    assert new.note.startswith("Note 2") == (row.eccn == "Note 2" or (row.eccn == "none" and not of.datacenter))


@pytest.mark.parametrize("row", ROWS)
def test_letter_and_review(row: Row) -> None:
    of = chip(row.chip)
    letter = letter_hit(of)
    assert {SHORT[test.name] for test in letter.tests if test.met} == row.letter
    assert letter.hit is bool(row.letter)
    if classify_2023(of).eccn.startswith("3A090.a"):
        assert below_2026(of).hit is (row.review == "case")
    else:
        assert row.review == "n/a"


@pytest.mark.parametrize(
    ("name", "eccn", "status"),
    [
        ("a100-sxm-80gb", "3A090.a.1", Status.CASE_BY_CASE),
        ("h20", "", Status.LICENCE),
        ("l20", "", Status.FREE),
        ("mi308x", "", Status.LICENCE),
        ("rtx-4090d", "", Status.FREE),
        ("h200-sxm", "3A090.a.1", Status.CASE_BY_CASE),
        ("b200-sxm", "3A090.a.1", Status.DENIAL),
        ("rtx-4090", "3A090.a", Status.EXCEPTION),
        ("rtx-5090", "3A090.a", Status.CASE_BY_CASE),
        ("rtx-5090d-v2", "", Status.FREE),
        ("mi325x", "3A090.a.1", Status.CASE_BY_CASE),
        ("tpu-v5e", "3A090.a.2", Status.CASE_BY_CASE),
        ("trainium2", "3A090.a.1", Status.CASE_BY_CASE),
    ],
)
def test_china_in_2026(name: str, eccn: str, status: Status) -> None:
    verdict = check(name, "CN", "2026-02-01")
    assert (verdict.eccn, verdict.status, verdict.hypothetical) == (eccn, status, False)


@pytest.mark.parametrize(
    ("stack", "gb_per_s", "mm2", "density", "exception"),
    [
        ("HBM2", 307, 110, 2.8, True),
        ("HBM2E", 460, 110, 4.2, False),
        ("HBM3", 819, 121, 6.8, False),
        ("HBM3E", 1180, 121, 9.8, False),
    ],
)
def test_stacks_of_memory(stack: str, gb_per_s: float, mm2: float, density: float, exception: bool) -> None:
    found = classify_hbm(gb_per_s, mm2)
    assert found.tests[0].value == pytest.approx(density, abs=0.05)
    assert (found.eccn, found.exception) == ("3A090.c", exception)


def test_a_slow_memory_is_not_covered() -> None:
    assert classify_hbm(200, 100).eccn == ""  # exactly 2 GB/s/mm2: the rule says more than
    assert classify_hbm(200.1, 100).eccn == "3A090.c"
    assert not classify_hbm(330, 100).exception  # exactly 3.3: the exception is for less
