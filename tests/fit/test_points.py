"""Points of the operators that programs have: a family's formula over them says what the cost model says of the operator."""

from __future__ import annotations

from typing import Any

import pytest

np: Any = pytest.importorskip("numpy")
pytest.importorskip("scipy")

from windtunnel.catalog.chip import chip  # noqa: E402
from windtunnel.cost.model import CostModel  # noqa: E402
from windtunnel.fit.operator_rows import operator_row  # noqa: E402
from windtunnel.fit.parameter_file import family_of  # noqa: E402
from windtunnel.fit.points import point_of  # noqa: E402

PASSES = [
    {"op": kind, "dtype": "bf16", "m": "4096", "n": "4096"}
    for kind in ("pointwise", "copy", "transpose", "reduction", "norm", "softmax")
]
CONVOLUTIONS = [
    {"op": "convolution", "dtype": "bf16", "batch": "32", "in_channels": "64", "out_channels": "128", "image": "56",
     "result": "28", "kernel": kernel, "channels_last": last}
    for kernel in ("1", "3") for last in ("true", "false")
]  # fmt: skip


@pytest.mark.parametrize("row", [*PASSES, *CONVOLUTIONS], ids=lambda r: "-".join(r.values())[:40])
def test_a_family_prices_its_points_as_the_cost_model_does(row: dict[str, str]) -> None:
    costs = CostModel(chip("h20"))
    op, warm = operator_row(row)
    point, today = point_of(costs, op, warm, 1e-3)
    family = family_of(point.family)
    assert family is not None
    assert set(today.values) == {p.name for p in family.parameters}
    arrays = {key: np.array([value]) for key, value in point.values.items()}
    assert float(family.time(np, today.values, arrays)[0]) == pytest.approx(costs.cost(op).time_s, rel=1e-6)
