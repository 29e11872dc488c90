"""Parameters that are fitted back from what they made, and what a few points are worth."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from windtunnel.catalog.chip import chip
from windtunnel.cost.evidence import Evidence
from windtunnel.cost.model import CostModel
from windtunnel.errors import InvalidInputError, UnknownNameError
from windtunnel.fit.fitting import fit
from windtunnel.fit.operator_rows import operator_row
from windtunnel.fit.parameter_file import read_parameters
from windtunnel.sim.predict import predict
from windtunnel.sim.prediction import Deployment, Load
from windtunnel.workload.ops import Gemm

pytest.importorskip("scipy")

COLUMNS = ("chip", "op", "dtype", "m", "n", "k", "batch", "seq", "q_heads", "kv_heads", "head_dim", "latency_us", "cache_warm")
NEW_CHIP = """
id = "newcomer"
vendor = "Nobody"
dtypes = ["bf16", "fp16"]
memory_type = "HBM2e"
[matrix_flops_per_s.bf16]
value = 200e12
unit = "flop/s"
kind = "vendor"
source = "made up"
[matrix_flops_per_s.fp16]
value = 200e12
unit = "flop/s"
kind = "vendor"
source = "made up"
[memory_bytes]
value = 64e9
unit = "byte"
kind = "vendor"
source = "made up"
[memory_bytes_per_s]
value = 1.2e12
unit = "byte/s"
kind = "vendor"
source = "made up"
"""


def truth(name: str) -> dict[str, Any]:
    """A chip whose products are slower than those of any other: 45 % of its peak, 60 % of its bandwidth."""
    values = dict(CostModel(chip(name)).family("gemm", "bf16").values)
    values |= {"compute": 0.45, "memory": 0.6, "start_us": 6.0}
    return {"gemm_wide": {"values": values, "spread": 0.1}}


def rows(name: str, shapes: Iterable[tuple[int, int, int]], noise: float = 0.0, seed: int = 1) -> list[dict[str, Any]]:
    """Products as that chip would run them, with log-normal noise."""
    costs, rng = CostModel(chip(name), own=truth(name)), random.Random(seed)
    return [
        {
            "chip": chip(name).id, "op": "gemm", "dtype": "bf16", "m": m, "n": n, "k": k,
            "latency_us": costs.cost(Gemm("g", m, n, k, "bf16")).time_s * 1e6 * math.exp(noise * rng.gauss(0, 1)),
        }
        for m, n, k in shapes
    ]  # fmt: skip


def file(folder: Path, content: Iterable[Mapping[str, Any]], name: str = "operators.csv") -> Path:
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(content)
    return path


def grid(*m: int) -> list[tuple[int, int, int]]:
    return [(i, n, k) for i in m for n, k in ((4096, 4096), (7168, 2048), (2048, 7168), (14336, 4096), (8192, 8192))]


def error(costs: CostModel, content: Iterable[Mapping[str, Any]]) -> float:
    found = []
    for row in content:
        op, warm = operator_row({k: str(v) for k, v in row.items()})
        found.append(abs(costs.cost(op, warm=warm).time_s * 1e6 / row["latency_us"] - 1.0))
    return float(sum(found) / len(found))


def test_known_parameters_are_fitted_back(tmp_path: Path) -> None:
    report = fit(file(tmp_path, rows("l40s", grid(1, 16, 128, 512, 2048, 8192))), chip="l40s")
    (found,) = report.families
    assert (found.family, found.points, found.groups) == ("gemm_wide", 30, 5)
    assert found.after < 2.0 < found.before
    assert found.held_out is not None
    assert found.held_out < 3.0
    assert found.values["compute"] == pytest.approx(0.45, rel=0.12)
    assert found.values["memory"] == pytest.approx(0.6, rel=0.08)


def test_ten_noisy_points_of_a_new_chip_beat_its_datasheet_alone(tmp_path: Path) -> None:
    described = tmp_path / "newcomer.toml"
    described.write_text(NEW_CHIP, encoding="utf-8")
    few = rows(str(described), grid(8, 1024), noise=0.08)
    report = fit(file(tmp_path, few), chip=described)
    unseen = rows(str(described), grid(1, 64, 300, 4096))
    new = chip(str(described))
    before = error(CostModel(new), unseen)
    after = error(CostModel(new, own=report.parameters["newcomer"]), unseen)
    assert after < 0.5 * before
    (found,) = report.families
    assert found.held_out is not None
    assert found.held_out < found.before


def test_what_was_fitted_is_written_read_and_used(tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    fit(file(tmp_path, rows("h20", grid(1, 128, 2048))), chip="h20", output=out)
    own = read_parameters(out)
    assert own["chip"] == "h20"
    assert "operators.csv: 15 measured operators" in own["source"]
    cost = CostModel(chip("h20"), own=own).cost(Gemm("g", 4096, 8192, 8192, "bf16"))
    assert cost.evidence == Evidence.FITTED
    deployment, load = Deployment("Qwen/Qwen3-8B", "h20", precision="bf16"), Load(1024, 128, 4)
    slower = predict(deployment, load, parameters=own, operators=False)
    assert slower.ttft.value > predict(deployment, load, operators=False).ttft.value
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["mine.toml", "operators.csv"]


def test_every_chip_of_a_file_is_fitted_where_none_is_named(tmp_path: Path) -> None:
    both = file(tmp_path, [*rows("h20", grid(1, 128)), *rows("l40s", grid(1, 128))])
    report = fit(both)
    assert [f.chip for f in report.families] == ["h20", "l40s"]
    assert set(report.parameters) == {"h20", "l40s"}
    with pytest.raises(InvalidInputError, match="choose whose parameters to write"):
        fit(both, output=tmp_path / "out.toml")
    assert not (tmp_path / "out.toml").exists()
    assert [f.chip for f in fit(both, chip="l40s").families] == ["l40s"]


def test_the_report_is_one_object(tmp_path: Path) -> None:
    content = [
        *rows("h20", grid(1, 128)),
        {"chip": "h21", "op": "gemm", "latency_us": 3},
        {"chip": "h20", "op": "hop", "latency_us": 3},
    ]
    told = fit(file(tmp_path, content)).to_json()
    assert (told["rows"], told["rows_fitted"]) == (12, 10)
    assert told["refused"] == {"unknown chip 'h21'": 1, "unknown operator 'hop'": 1}
    assert set(told["families"][0]) == {
        "chip", "family", "points", "shapes", "error_before", "error_after", "error_held_out", "spread",
    }  # fmt: skip


def test_what_cannot_be_fitted_is_said_in_one_line(tmp_path: Path) -> None:
    two = file(tmp_path, rows("h20", grid(1, 128)[:2]))
    with pytest.raises(InvalidInputError, match="too few points to fit \\(h20: 2 points, of at least 3\\)"):
        fit(two)
    with pytest.raises(InvalidInputError, match="no row names h100-sxm; it holds h20"):
        fit(two, chip="h100-sxm")
    with pytest.raises(UnknownNameError, match="unknown chip 'h21'"):
        fit(two, chip="h21")
    serving = tmp_path / "serving.csv"
    serving.write_text("chip,model,isl,osl,concurrency,tpot_ms\n", encoding="utf-8")
    with pytest.raises(InvalidInputError, match="holds serving; parameters are fitted on operators"):
        fit(serving)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "chip: missing"),
        ('chip = "h20"', "holds no parameters"),
        ('chip = "h20"\n[gem_wide]\nspread = 0.1', "gem_wide: no such field"),
        ('chip = "h20"\n[elementwise]\nspread = 0.1\nvalues = { memory = 0.8 }', "start_us: should be a number"),
        (
            'chip = "h20"\n[elementwise]\nspread = 0.1\nvalues = { memory = 8, start_us = 2 }',
            "memory: should be a number from 0.1",
        ),
        ('chip = "h20"\n[elementwise]\nvalues = { memory = 0.8, start_us = 2 }', "spread: missing"),
        ('chip = "h20"\nelementwise = 3', "elementwise: should be a table"),
        ("chip = ", "not valid TOML"),
    ],
)
def test_a_parameter_file_is_checked_field_by_field(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInputError) as refused:
        read_parameters(path)
    assert message in str(refused.value)
