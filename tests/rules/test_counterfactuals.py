"""Launch intervals, timelines, limits that are not there, and who overtakes whom."""

from __future__ import annotations

import datetime
from itertools import pairwise

import pytest

from windtunnel.catalog import chip, chips
from windtunnel.errors import InvalidInputError, MissingFactError, UnknownNameError
from windtunnel.rules.crossover import Step, crossings, crossover
from windtunnel.rules.launch import launch, was_sold
from windtunnel.rules.threshold import Best, threshold
from windtunnel.rules.timeline import timeline
from windtunnel.rules.verdict import Status

D = datetime.date


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("h100-sxm", D(2022, 9, 20), D(2022, 9, 20)),
        ("h20", D(2023, 11, 9), D(2024, 12, 31)),
        ("h200-sxm", D(2024, 11, 18), D(2024, 11, 18)),
        ("ascend-910c", D(2024, 10, 1), D(2025, 3, 31)),
        ("ascend-910b2", D(2022, 1, 1), D(2023, 12, 31)),
        ("ascend-960", D(2027, 10, 1), D(2027, 12, 31)),
        ("rtx-4090d", D(2023, 12, 1), D(2023, 12, 31)),
        ("ascend-920", D(2025, 7, 1), D(2025, 12, 31)),
    ],
)
def test_launches(name: str, first: datetime.date, last: datetime.date) -> None:
    came = launch(chip(name))
    assert came is not None
    assert (came.earliest, came.latest) == (first, last)


def test_every_chip_has_a_launch() -> None:
    for each in chips():
        came = launch(each)
        assert came is not None, each.id
        assert came.earliest <= came.latest


def test_what_never_came_in_volume_was_not_sold() -> None:
    assert {c.id for c in chips() if not was_sold(c)} == {"ascend-910d", "ascend-920", "br100"}


def test_a_timeline_is_whole_and_every_span_differs_from_the_next() -> None:
    for each in timeline(["h20", "h200-sxm", "mi308x", "rtx-4090", "gb200-nvl72", "ascend-910c"]):
        assert each.spans[0].start == D(2022, 10, 7)
        assert each.spans[-1].end == D(2026, 8, 14)
        for one, two in pairwise(each.spans):
            assert one.end == two.start
            assert (one.verdict.status, one.verdict.clause) != (two.verdict.status, two.verdict.clause)


def test_the_timeline_of_an_h20() -> None:
    (h20,) = timeline(["h20"])
    assert [(span.start, span.verdict.status) for span in h20.spans] == [
        (D(2022, 10, 7), Status.FREE),
        (D(2023, 11, 17), Status.FREE),
        (D(2025, 4, 9), Status.LICENCE),
    ]


def test_half_again_above_the_best_domestic_chip() -> None:
    report = threshold(["ascend-910c", "mlu590"], 0.5)
    by_year = {year.day.year: year for year in report.years}
    assert list(by_year) == [2023, 2024, 2025, 2026]
    assert by_year[2023].low == pytest.approx(1.5 * 4492.8)
    assert by_year[2024].low == pytest.approx(1.5 * 4492.8)
    assert by_year[2024].high == pytest.approx(1.5 * 12800)
    assert by_year[2025].low == by_year[2025].high == pytest.approx(19200)
    passes = {held.chip: held.passes for held in by_year[2025].held}
    assert (passes["h200-sxm"], passes["mi325x"], passes["b200-sxm"]) == (True, False, False)  # 15832, 20919, 36000
    assert {held.chip: held.passes for held in by_year[2024].held}["h100-sxm"] is None
    assert "h200-sxm" not in {held.chip for held in by_year[2023].held}


def test_a_wider_buffer_passes_no_fewer() -> None:
    passing = [
        {held.chip for held in threshold(["ascend-910c"], buffer, date="2026-01-20").years[0].held if held.passes}
        for buffer in (0.0, 0.25, 0.5, 1.0, 3.0)
    ]
    assert all(one <= two for one, two in pairwise(passing))
    assert len(passing[0]) < len(passing[-1])


def test_by_memory_bandwidth() -> None:
    (year,) = threshold(["ascend-910c"], 0.5, "dram", "2025-12-31").years
    assert year.low == pytest.approx(4800)
    assert {held.chip: held.passes for held in year.held}["h200-sxm"] is True  # 4,800 is up to the limit


@pytest.mark.parametrize(
    ("best_of", "buffer", "metric", "date", "message"),
    [
        ([], 0.5, "tpp", None, "best-of: names no chip"),
        (["ascend-910c"], -0.1, "tpp", None, "buffer: -0.1 is not a share"),
        (["ascend-910c"], float("nan"), "tpp", None, "buffer: nan is not a share"),
        (["ascend-910d"], 0.5, "tpp", None, "none of the chips counts: ascend-910d: a compute figure is not known"),
        (["ascend-920"], 0.5, "tpp", None, "none of the chips counts: ascend-920: not seen shipping"),
        (["mlu590"], 0.5, "pd", None, "none of the chips counts: mlu590: die area is not known"),
        (["ascend-960"], 0.5, "tpp", "2026-01-01", "no chip of the set was on sale; nearest: 2027-10-01, ascend-960"),
        (["ascend-910c"], 0.5, "tpp", "2025-1-1", "nearest: 2025-01-01"),
    ],
)
def test_thresholds_that_cannot_be(best_of: list[str], buffer: float, metric: str, date: str | None, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        threshold(best_of, buffer, metric, date)


def test_a_metric_that_is_none() -> None:
    with pytest.raises(UnknownNameError, match="unknown metric 'dramm'; nearest: dram"):
        threshold(["ascend-910c"], 0.5, "dramm")


def step(day: int, maker: tuple[float, float], seller: tuple[float, float]) -> Step:
    (a, b), (c, d) = maker, seller
    return Step(D(2024, 1, day), D(2024, 1, day + 1), Best("a", a), Best("b", b), Best("c", c), Best("d", d))


def test_a_crossing_spans_the_days_on_which_it_is_open() -> None:
    steps = [
        step(1, (1, 1), (2, 2)),
        step(2, (1, 3), (2, 2)),  # perhaps
        step(3, (1, 3), (2, 4)),  # perhaps
        step(4, (5, 5), (4, 4)),
        step(5, (5, 5), (4, 6)),  # perhaps, and then no more
        step(6, (5, 5), (4, 4)),
        step(7, (5, 5), (5, 5)),  # level: not overtaken
    ]
    told = [(c.leader, c.first.day, c.last.day) for c in crossings(steps)]
    assert told == [("maker", 2, 4), ("seller", 7, 7)]


def test_huawei_and_nvidia() -> None:
    freely, licensed = crossover().tracks
    assert [(c.leader, c.first, c.last) for c in freely.crossings] == [("maker", D(2023, 11, 17), D(2023, 11, 17))]
    assert [(c.leader, c.first, c.last, c.planned) for c in licensed.crossings] == [
        ("maker", D(2023, 11, 17), D(2023, 12, 31), False),  # 910B1 6400 against RTX 4090 5285
        ("seller", D(2026, 1, 15), D(2026, 1, 15), False),  # H200 15832 against 910C 12800
        ("maker", D(2027, 10, 1), D(2027, 12, 31), True),  # 960 16000 against H200 15832
    ]
    for track in (freely, licensed):
        assert all(s.maker_low.value <= s.maker_high.value and s.seller_low.value <= s.seller_high.value for s in track.steps)


def test_crossovers_that_cannot_be() -> None:
    with pytest.raises(UnknownNameError, match="unknown maker 'Huaway'; nearest: Huawei"):
        crossover("Huaway")
    with pytest.raises(InvalidInputError, match="Nvidia is on both sides"):
        crossover("nvidia", "Nvidia")
    with pytest.raises(MissingFactError, match="Cambricon's chips"):
        crossover("Cambricon", metric="pd")
