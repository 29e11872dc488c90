"""Errors, ranks and intervals, worked out by hand."""

from __future__ import annotations

import pytest

from windtunnel.fit.report import Compared, RowResult, ValidationReport, quantile, spearman


def result(number: int, group: str, measured: float, predicted: float, width: float = 0.25, chip: str = "h20") -> RowResult:
    value = Compared(measured, predicted, predicted * (1 - width), predicted * (1 + width))
    return RowResult(number, {}, chip, (group,), {"latency_us": value})


def report(*results: RowResult) -> ValidationReport:
    chips = {r.chip: 1 for r in results}
    return ValidationReport("a.csv", "operators", len(results) + 1, {"unknown chip 'x'": 1}, {}, chips, ("latency_us",), results)


def test_errors_are_shares_of_what_was_measured() -> None:
    found = report(
        result(1, "a", 100.0, 110.0), result(2, "a", 200.0, 180.0), result(3, "a", 50.0, 65.0), result(4, "a", 80.0, 40.0)
    ).errors("latency_us")
    # 10, 10, 30 and 50 percent
    assert found["mape"] == pytest.approx(25.0)
    assert found["median"] == pytest.approx(20.0)
    assert found["p90"] == pytest.approx(30.0 + 0.7 * 20.0)
    # 100 in 82.5-137.5, 200 in 135-225, 50 in 48.75-81.25, 80 not in 30-50
    assert found["within_interval"] == pytest.approx(0.75)


def test_ranks_are_compared_within_groups_and_weighted_by_rows() -> None:
    ordered = [result(i, "a", float(i), float(i)) for i in range(1, 4)]
    reversed_ = [result(9, "b", 1.0, 2.0), result(10, "b", 2.0, 1.0)]
    assert report(*ordered, *reversed_).errors("latency_us")["rank_correlation"] == pytest.approx((3 * 1.0 + 2 * -1.0) / 5)


def test_spearman_shares_the_ranks_of_equal_values() -> None:
    assert spearman([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]) == pytest.approx(1.0)
    # ranks 0.5 0.5 2 against 0 1 2
    assert spearman([5.0, 5.0, 9.0], [1.0, 2.0, 3.0]) == pytest.approx(0.8660254)
    assert spearman([5.0, 5.0], [1.0, 2.0]) == 0.0
    assert spearman([1.0, 2.0], [3.0, 3.0]) is None
    assert spearman([1.0], [3.0]) is None


def test_a_quantile_lies_between_neighbours() -> None:
    assert quantile([4.0], 0.9) == 4.0
    assert quantile([0.0, 10.0], 0.9) == pytest.approx(9.0)


def test_the_object_has_the_keys_of_the_design() -> None:
    found = report(result(1, "a", 100.0, 110.0)).to_json()
    assert {"rows", "predicted", "refused", "by_chip", "latency_us"} <= set(found)
    assert (found["rows"], found["predicted"], found["refused"]) == (2, 1, {"unknown chip 'x'": 1})
    metric = {"mape", "median", "p90", "rank_correlation", "within_interval"}
    assert set(found["latency_us"]) == metric
    assert set(found["by_chip"]["h20"]) == {"rows", "predicted", "latency_us"}
    assert set(found["by_chip"]["h20"]["latency_us"]) == metric


def test_where_nothing_was_predicted_nothing_is_claimed() -> None:
    assert set(report().errors("latency_us").values()) == {None}
