"""Rows of measured programs: what they mean, what is refused, and the time of recorded calls told by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from windtunnel.catalog import chip
from windtunnel.cost.host import host_cost
from windtunnel.cost.model import CostModel
from windtunnel.errors import InvalidInputError, UnknownNameError, WindtunnelError
from windtunnel.fit.program_rows import ASSUMED, program_row, program_times, time_of
from windtunnel.fit.validate import validate
from windtunnel.workload.ops import Pass
from windtunnel.workload.program.call import Call, Step, TensorSpec
from windtunnel.workload.program.work import work

ROW = {
    "chip": "rtx-4090", "program": "timm:resnet18", "image_size": "224", "batch": "64", "precision": "amp-fp16",
    "layout": "nhwc", "mode": "compiled", "torch": "2.9.1", "samples_per_s": "9000",
}  # fmt: skip
COLUMNS = tuple(ROW)

MODEL = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 32, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(32)
        self.head = torch.nn.Linear(32, 10)
    def forward(self, x):
        return self.head(torch.relu(self.norm(self.stem(x))).mean((2, 3)))
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a program that can be imported."""
    pytest.importorskip("torch")
    (tmp_path / "a_net_of_a_test.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    return "a_net_of_a_test:Net"


def write(path: Path, *changes: dict[str, str]) -> Path:
    rows = [",".join({**ROW, **change}[c] for c in COLUMNS) for change in changes]
    path.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    return path


def test_a_row_says_what_ran_where() -> None:
    row = program_row(ROW)
    assert (row.chip.id, row.program, row.image_size, row.batch) == ("rtx-4090", "timm:resnet18", 224, 64)
    assert (row.precision, row.layout, row.compiled, row.folded, row.notes) == ("amp-fp16", "nhwc", True, True, ())
    assert not program_row({**ROW, "torch": "2.4.0"}).folded
    assert not program_row({**ROW, "torch": "nightly"}).folded


def test_what_a_row_leaves_out_is_pytorchs_own_and_said() -> None:
    row = program_row({**ROW, "precision": "", "layout": "", "mode": ""})
    assert (row.precision, row.layout, row.compiled, row.notes) == ("fp32", "nchw", False, (ASSUMED,))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"program": "resnet18"}, "timm:NAME or module:factory"),
        ({"program": ""}, "timm:NAME or module:factory"),
        ({"chip": "rtx-4091"}, "rtx-4090"),
        ({"precision": "fp17"}, "fp16"),
        ({"layout": "hwcn"}, "nhwc"),
        ({"mode": "fast"}, "mode"),
        ({"batch": ""}, "batch: missing"),
        ({"batch": "0"}, "batch"),
        ({"image_size": "big"}, "not a number"),
    ],
)
def test_a_row_that_means_nothing_is_refused_by_name(change: dict[str, str], problem: str) -> None:
    with pytest.raises((InvalidInputError, UnknownNameError), match=problem):
        program_row({**ROW, **change})


def test_the_time_is_that_of_kernels_or_of_the_host_that_launches_them() -> None:
    costs = CostModel(chip("rtx-4090"))
    host = host_cost("cuda")
    small, large = TensorSpec((4,), "fp16"), TensorSpec((64, 1024, 1024), "fp16")

    def steps(of: TensorSpec, n: int) -> list[Step]:
        call = Call("aten.relu.default", (of,), outputs=(of,))
        return [Step(call, (i,), (i + 1,)) for i in range(n)]

    (op,) = work(steps(large, 1)[0].call)
    assert isinstance(op, Pass)
    kernel = costs.cost(op).time_s
    long = time_of(steps(large, 50), costs)
    assert long.seconds == pytest.approx(host.step_s + host.call_s + 50 * kernel)
    assert long.spread == pytest.approx(costs.family("pass").spread)
    short = time_of(steps(small, 1000), costs)
    assert short.seconds == pytest.approx(host.step_s + 1000 * host.call_s, rel=0.01)
    fused = time_of(steps(large, 50), costs, compiled=True)
    assert fused.seconds < 0.1 * long.seconds


def test_programs_of_a_module_are_recorded_once_and_held_against_what_was_measured(net: str, tmp_path: Path) -> None:
    changes = [{"program": net, "image_size": "32", "batch": b, "mode": m} for b in ("8", "512") for m in ("eager", "compiled")]
    report = validate(write(tmp_path / "programs.csv", *changes))
    assert report.predicted == 4
    rates = [result.values["samples_per_s"] for result in report.results]
    assert all(0.0 < rate.low < rate.predicted < rate.high for rate in rates)
    assert rates[2].predicted > 10 * rates[0].predicted  # eight images wait for the host


def test_the_report_says_why_a_program_is_not_predicted(net: str, tmp_path: Path) -> None:
    module = net.partition(":")[0]
    changes = [{"program": "no_such_module:Net"}, {"program": f"{module}:Ned"}, {"program": f"{module}:MODEL"}, {"program": "x"}]
    report = validate(write(tmp_path / "programs.csv", *changes))
    assert report.predicted == 0
    assert sum(report.refused.values()) == 4
    assert all("program" in reason for reason in report.refused)


def test_without_pytorch_the_refusal_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (told,) = program_times([ROW])
    assert isinstance(told, WindtunnelError)
    assert "pip install" in str(told)
