"""A program on the CPU of this machine: the prediction for a chip beside what was measured, or none."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip("torch")

from windtunnel.catalog.chip import chip
from windtunnel.cost.evidence import Evidence
from windtunnel.cost.model import CostModel
from windtunnel.errors import UnknownNameError, UnsupportedError
from windtunnel.run.compare import compare
from windtunnel.run.devices import present
from windtunnel.run.observer import Ran
from windtunnel.run.real import run_real
from windtunnel.workload.ops import Gemm
from windtunnel.workload.program.call import Call, TensorSpec

TRAIN = """
import sys, torch
model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.GELU(), torch.nn.Linear(128, 64))
optimizer = torch.optim.AdamW(model.parameters())
for step in range(int(sys.argv[1])):
    model(torch.ones(32, 64)).pow(2).mean().backward()
    optimizer.step()
    optimizer.zero_grad()
print("done")
"""


def product(m: int, n: int, k: int, dtype: str = "bf16") -> Call:
    specs = [TensorSpec((m, k), dtype, (k, 1)), TensorSpec((k, n), dtype, (n, 1))]
    return Call("aten.mm.default", tuple(specs), (), (TensorSpec((m, n), dtype, (n, 1)),))


def unpriced(m: int) -> Call:
    spec = TensorSpec((m, m), "fp4", (m, 1))
    return Call("aten.mm.default", (spec, spec), (), (spec,))


@pytest.fixture
def train(tmp_path: Path) -> str:
    path = tmp_path / "train.py"
    path.write_text(TRAIN, encoding="utf-8")
    return str(path)


def test_measured_is_the_median_of_steps_and_predicted_their_mean() -> None:
    call = product(1024, 4096, 4096)
    one = CostModel(chip("h20")).cost(Gemm("mm", 1024, 4096, 4096, "bf16")).time_s
    operators, told = compare([[Ran(call, 1.0), Ran(call, 1.0)], [Ran(call, 9.0)], [Ran(call, 3.0)]], CostModel(chip("h20")))
    assert told is not None
    assert [(o.op, o.measured_s) for o in operators] == [("aten.mm.default", 3.0)]
    assert operators[0].calls == pytest.approx(4 / 3)
    assert operators[0].predicted_s == pytest.approx(4 / 3 * one)
    assert told.seconds == pytest.approx(4 / 3 * one)
    assert told.flops == pytest.approx(4 / 3 * 2 * 1024 * 4096 * 4096)
    assert (told.dtype, told.by_bound[0].name) == ("bf16", "matrix unit")


def test_what_cannot_be_priced_is_told_and_not_guessed() -> None:
    operators, told = compare([[Ran(product(64, 64, 64), 1.0), Ran(unpriced(64), 2.0)]], CostModel(chip("tpu-v5e")))
    assert told is not None
    assert operators[0].predicted_s is None
    assert told.by_operator == ()
    assert [seconds for _, seconds in told.missing] == [2.0]


def test_without_a_chip_nothing_is_predicted() -> None:
    operators, told = compare([[Ran(product(64, 64, 64), 1.0)]], None)
    assert told is None
    assert operators[0].predicted_s is None


def test_a_script_runs_here_beside_the_prediction_for_a_chip(train: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = run_real(train, ["6"], device="cpu", chip="h20")
    assert capsys.readouterr().out == "done\n"
    assert (report.status, report.exit_status, report.step_kind, report.chip) == ("finished", 0, "optimizer step", "h20")
    measured = report.measured
    assert measured is not None
    assert (measured.chip, measured.steps) == ("h20", 3)
    assert measured.step_s > 0
    assert measured.busy_s is not None
    found = {o.op: o for o in measured.operators}
    assert found["aten.addmm.default"].calls == 2
    assert found["aten.gelu.default"].calls == 1
    assert all(o.predicted_s is not None and math.isfinite(o.predicted_s) for o in measured.operators)
    assert report.step_s == pytest.approx(sum(o.predicted_s or 0 for o in measured.operators))
    assert report.interval_s[0] < report.step_s < report.interval_s[1]
    assert report.evidence < Evidence.MEASURED
    # forward and both gradients of the second layer; of the first no gradient by its input
    products = [share for share in report.by_operator if share.name in ("aten.addmm.default", "aten.mm.default")]
    assert sum(share.flops for share in products) == 2 * 32 * 64 * 128 * 5
    assert len(report.steps) == 6


def test_a_device_that_is_no_chip_of_the_catalogue_says_so(train: str) -> None:
    report = run_real(train, ["3"], device="cpu")
    assert report.measured is not None
    if report.measured.chip == "":
        assert any("not known: the catalogue has no chip called" in note for note in report.measured.notes)
        assert (report.step_s, report.by_operator) == (0.0, ())


def test_steps_end_a_program_early(train: str) -> None:
    report = run_real(train, ["100000"], device="cpu", steps=3)
    assert (report.status, report.exit_status) == ("stopped", 0)
    assert report.measured is not None
    assert report.measured.steps == 1


def test_a_crash_keeps_its_traceback_and_the_report_what_there_was(train: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = run_real(train, ["many"], device="cpu")
    assert (report.status, report.exit_status) == ("failed", 1)
    assert report.failure is not None
    assert report.failure.site is not None
    assert (report.failure.error, report.failure.site.line) == ("ValueError", 5)
    told = capsys.readouterr().err
    assert told.startswith("Traceback (most recent call last):")
    assert "windtunnel" not in told


def test_a_call_that_does_not_fit_is_the_script_s_own_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.py"
    path.write_text("import torch\ntorch.ones(2, 3) @ torch.ones(2, 3)\n", encoding="utf-8")
    report = run_real(str(path), device="cpu")
    assert report.exit_status == 1
    told = capsys.readouterr().err
    assert "torch.ones(2, 3) @ torch.ones(2, 3)" in told
    assert "torch_dispatch" not in told


def test_bad_requests_are_refused_before_anything_runs(train: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown chip 'h2o'"):
        run_real(train, ["1"], device="cpu", chip="h2o")
    with pytest.raises(UnknownNameError, match="unknown script"):
        run_real(train + "x", device="cpu")
    if "cuda" not in present():
        with pytest.raises(UnsupportedError, match="this machine has no cuda device; it has: cpu"):
            run_real(train, device="cuda")
