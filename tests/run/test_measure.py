"""What measuring a device writes: rows that are read back as what was run, a chip that the catalogue's reader takes."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from windtunnel.catalog.chip import chip  # noqa: E402
from windtunnel.cost.model import CostModel  # noqa: E402
from windtunnel.errors import InvalidInputError  # noqa: E402
from windtunnel.fit.operator_rows import operator_row  # noqa: E402
from windtunnel.fit.validate import validate  # noqa: E402
from windtunnel.run import devices  # noqa: E402
from windtunnel.run import measure as measuring  # noqa: E402
from windtunnel.run.benchmarks import PASSES, Case, Run, cases  # noqa: E402
from windtunnel.run.devices import device_named  # noqa: E402
from windtunnel.run.measure import COLUMNS, Bench, Progress, measure  # noqa: E402
from windtunnel.workload.ops import Gemm  # noqa: E402

ALL = cases(("fp32", "bf16"), quick=False)
FEW = {"gemm-fp32-1x64x512x512", "gemm-bf16-1x64x512x512", "copy-fp32-8192x4096", "norm-fp32-256x1024",
       "attn_decode-fp32-1x512-8-8-64", "convolution-fp32-8x512x7-512-3-1"}  # fmt: skip


def few(*args: Any, **kwargs: Any) -> list[Case]:
    return [case for case in ALL if case.id in FEW]


def once(bench: Bench, runs: list[Run], budget: float) -> float:
    """In place of the clock: every run takes a millisecond."""
    runs[0]()
    return 1e-3


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(measuring, "cases", few)
    monkeypatch.setattr(measuring, "QUICK_S", 3600.0)
    monkeypatch.setattr(Bench, "time", once)
    monkeypatch.setattr(devices, "_host_cache", lambda: 2**20)
    monkeypatch.chdir(tmp_path)
    return Path("here.csv")


def test_rows_are_read_as_the_operators_that_were_run() -> None:
    assert len({case.id for case in ALL}) == len(ALL)
    for case in ALL:
        op, _ = operator_row({key: str(value) for key, value in case.row.items()})
        if case.flops:
            assert op.flops == pytest.approx(case.flops)
        elif case.row["op"] != "reduction":  # whose one result a row counts for nothing
            assert op.bytes == pytest.approx(case.bytes)


def test_any_beginning_has_something_of_every_kind() -> None:
    for quick in (True, False):
        found = {case.row["op"] for case in cases(("fp32", "bf16"), quick=quick)[:30]}
        assert {"gemm", "convolution"} <= found
        assert found & {"attn_prefill_causal", "attn_decode"}
        assert found & set(PASSES)
        assert {case.row["op"] for case in cases(("fp32", "bf16"), quick=quick)[:3]} == {"gemm", "copy"}


@pytest.mark.parametrize("op", ["gemm", "convolution", "attn_prefill_causal", "attn_decode", *PASSES])
def test_every_kind_runs_on_the_cpu(op: str) -> None:
    small = min((case for case in ALL if case.row["op"] == op), key=lambda case: case.flops + case.bytes)
    seconds, _ = Bench(device_named("cpu")).case(small, 0.01)
    assert 0 < seconds < math.inf


def test_what_is_measured_is_a_chip_that_predictions_take(quickly: Path) -> None:
    seen: list[Progress] = []
    report = measure("cpu", quickly, quick=True, progress=seen.append)
    assert (report.measured, report.left) == (len(FEW), 0)
    assert seen[-1].done == seen[-1].of == len(FEW)
    assert report.chip_file == Path("here.toml")
    found = chip("here.toml")
    assert (found.id, found.device) == ("measured-here", "cpu")
    assert {"fp32", "bf16"} <= set(found.dtypes)
    for figure in found.figures.values():
        assert figure.kind in ("measured", "reported")
        assert device_named("cpu").name in figure.source
    assert CostModel(found).cost(Gemm("g", 64, 64, 64, "fp32")).time_s > 0
    held = validate(quickly).to_json()
    assert (held["rows"], held["predicted"]) == (len(FEW), len(FEW))
    # 8 images of 512 to 512 channels, 7 x 7 places, 3 x 3 taps, in a millisecond; 32 Mi floats read and written
    assert found.value("matrix_flops_per_s.fp32") == pytest.approx(2 * 8 * 49 * 512 * 512 * 9 / 1e-3, rel=1e-3)
    assert found.value("matrix_flops_per_s.bf16") == pytest.approx(2 * 64 * 512 * 512 / 1e-3, rel=1e-3)
    assert found.value("memory_bytes_per_s") == pytest.approx(2 * 4 * 8192 * 4096 / 1e-3, rel=1e-3)
    # and no product is predicted to be faster than the fastest
    assert CostModel(found).cost(Gemm("g", 512, 512, 512, "bf16")).time_s >= 2 * 512**3 / (2 * 64 * 512 * 512 / 1e-3)


def test_a_measurement_goes_on_where_it_was(quickly: Path) -> None:
    first = measure("cpu", quickly, quick=True)
    before = quickly.read_text()
    again = measure("cpu", quickly, quick=True)
    assert (first.kept, again.kept, again.measured) == (0, len(FEW), 0)
    assert quickly.read_text() == before
    cut = before[: before.rindex("windtunnel measure") - 20]
    quickly.write_text(cut)
    mended = measure("cpu", quickly, quick=True)
    assert (mended.kept, mended.measured) == (len(FEW) - 1, 1)
    with quickly.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert sorted(row["id"] for row in rows) == sorted(FEW)


def test_an_interrupt_keeps_what_there_is(quickly: Path) -> None:
    def interrupt(now: Progress) -> None:
        if now.done == 2:
            raise KeyboardInterrupt

    report = measure("cpu", quickly, quick=True, progress=interrupt)
    assert (report.interrupted, report.measured, report.left) == (True, 2, len(FEW) - 2)
    assert len(quickly.read_text().splitlines()) == 3


def test_what_a_device_cannot_run_is_told(quickly: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(device: Any) -> Any:
        raise RuntimeError("no kernel\nfor this")

    broken = Case("x", {"op": "gemm", "dtype": "fp32"}, 1.0, 1.0, fails)
    monkeypatch.setattr(measuring, "cases", lambda *args, **kwargs: [broken])
    report = measure("cpu", quickly, quick=True)
    assert report.skipped == {"gemm in fp32: no kernel": 1}
    assert (report.measured, report.chip_file, quickly.exists()) == (0, None, False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a,b\n1,2\n", "is no file of `windtunnel measure`"),
        (",".join(COLUMNS) + "\nx,h20" + "," * (len(COLUMNS) - 2) + "y\n", "holds measurements of h20"),
    ],
)
def test_files_of_something_else_are_left_alone(quickly: Path, text: str, problem: str) -> None:
    quickly.write_text(text)
    with pytest.raises(InvalidInputError, match=problem):
        measure("cpu", quickly, quick=True)
    assert quickly.read_text() == text
