"""The proof: what is the same, what differs and where first, what varies by itself; the verdict; a program from end to end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import windtunnel
from windtunnel.cli.port.prove import prove_json
from windtunnel.cli.port.render_prove import prove_sheet, verdict
from windtunnel.port import prove as proving
from windtunnel.port.evidence import Item, Run, compared
from windtunnel.port.prove import REPEATS, ProveReport, TargetRun, _held
from windtunnel.run.observed import Observer, on_virtual, seed
from windtunnel.run.script import Ended

RECORD: dict[str, Any] = {
    "losses": [["a", "0.5"], ["b", "0.25"]],
    "outputs": [["c", "float32 2x2, sum 1"]],
    "gradients": [],
    "parameters": [["d", "float32 2, sum 3"]],
    "random": [["e", "python"], ["f", "torch"]],
    "failure": None,
    "modules": [],
}


def a_run(stdout: str = "loss 0.5\n", status: int = 0, written: dict[str, str] | None = None, **record: Any) -> Run:
    return Run(status, stdout.encode(), "", {**RECORD, **record}, written or {})


def status_of(items: tuple[Item, ...], name: str) -> tuple[str, str]:
    (found,) = [item for item in items if name in item.name]
    return found.status, found.detail


def test_the_same_is_the_same_and_what_neither_has_is_none() -> None:
    items = compared(a_run(), a_run())
    assert {item.status for item in items} == {"same", "none"}
    assert status_of(items, "gradients")[0] == "none"


@pytest.mark.parametrize(
    ("after", "name", "detail"),
    [
        (a_run(status=1), "exit status", "0 before, 1 after"),
        (a_run("loss 0.6\n"), "standard output", "line 1: 'loss 0.5' before, 'loss 0.6' after"),
        (a_run("loss 0.5\nmore\n"), "standard output", "1 before, 2 after lines"),
        (a_run(losses=[["a", "0.5"], ["x", "0.26"]]), "backward", "number 2: 0.25 before, 0.26 after"),
        (a_run(losses=[["a", "0.5"], ["x", "0.25"]]), "backward", "number 2: 0.25, other bits"),
        (a_run(losses=[["a", "0.5"]]), "backward", "2 before, 1 after"),
        (a_run(random=[["e", "python"], ["g", "torch"]]), "random", "number 2: torch, other bits"),
        (a_run(written={"m.pt": "1"}), "files", "m.pt is written only after"),
    ],
)
def test_the_first_difference_is_told(after: Run, name: str, detail: str) -> None:
    """Also where a second run of the program as it was is there, and is the same as the first."""
    for again in ([], [a_run()], [a_run(), a_run()]):
        assert status_of(compared(a_run(), after, again), name) == ("different", detail)


def test_what_varies_by_itself_proves_nothing_either_way() -> None:
    before, after, again = a_run(losses=[["x", "1"]]), a_run(losses=[["y", "2"]]), a_run(losses=[["z", "3"]])
    assert status_of(compared(before, after, [again]), "backward")[0] == "varies"


@pytest.mark.parametrize(
    ("before", "after", "again", "status"),
    [
        ("loss 0.5 in 1.1 s\n", "loss 0.5 in 1.2 s\n", "loss 0.5 in 1.3 s\n", "same"),
        ("loss 0.5 in 1.1 s\n", "loss 0.6 in 1.2 s\n", "loss 0.5 in 1.3 s\n", "different"),
        ("a\nt 1\n", "b\nt 2\n", "a\nt 3\n", "different"),
        ("a\n", "b\n", "a\nb\n", "varies"),
    ],
)
def test_of_output_only_the_words_that_vary_are_left_out(before: str, after: str, again: str, status: str) -> None:
    items = compared(a_run(before), a_run(after), [a_run(again)])
    assert status_of(items, "standard output")[0] == status


def test_a_short_time_may_be_the_same_in_two_runs_and_another_in_the_third() -> None:
    def held(*again: str) -> tuple[str, int]:
        runs = [a_run(f"done\nloss 0.5 in {time} s\n") for time in again]
        left = list(runs)
        items = _held(a_run("done\nloss 0.5 in 0.013 s\n"), a_run("done\nloss 0.5 in 0.012 s\n"), lambda: left.pop(0))
        return status_of(items, "standard output")[0], len(runs) - len(left)

    assert held("0.012", "0.013") == ("same", 1)
    assert held("0.013", "0.013", "0.014", "0.013") == ("same", 3)
    assert held(*["0.013"] * REPEATS) == ("different", REPEATS)


def test_files_whose_contents_vary() -> None:
    def items(after: dict[str, str]) -> tuple[str, str]:
        return status_of(
            compared(a_run(written={"log": "1", "m": "1"}), a_run(written=after), [a_run(written={"log": "2", "m": "1"})]),
            "files",
        )

    assert items({"log": "3", "m": "1"})[0] == "same"
    assert items({"log": "3", "m": "2"}) == ("different", "m differs")
    assert items({"m": "1"})[0] == "varies"


SAME = (Item("losses", "same", 2),)
RAN = (TargetRun("npu", "virtual ascend-910b2", False, True, "9 operators"),)
PROVEN = ProveReport("train.py", ("train.py",), ("train.py",), 0, SAME, SAME, "virtual h100-sxm", RAN)


@pytest.mark.parametrize(
    ("report", "proven", "told"),
    [
        (PROVEN, True, "proven: it computes the same"),
        (replace(PROVEN, items=(), needs_cuda="no CUDA"), True, "proven"),
        (replace(PROVEN, items=(Item("losses", "different", 2, "x"),)), False, "not proven: losses differ"),
        (replace(PROVEN, items=(Item("losses", "varies", 2, "x"),)), False, "nothing can be told"),
        (replace(PROVEN, items=(), cuda_items=()), False, "nothing to compare"),
        (replace(PROVEN, obstacles=("it failed",)), False, "see below"),
        (replace(PROVEN, targets=()), False, "not"),
        (replace(PROVEN, targets=(replace(RAN[0], ran=False),)), False, "not shown to run on npu"),
        (replace(PROVEN, targets=(*RAN, TargetRun("xpu", "", False, None))), False, "not shown to run on xpu"),
    ],
)
def test_the_verdict(report: ProveReport, proven: bool, told: str) -> None:
    assert report.proven == proven
    assert told in verdict(report)
    text = prove_sheet(Path("repo"), report, width=80, terminal=False).text()
    assert max(map(len, text.splitlines())) <= 80
    assert prove_json(Path("repo"), report)["proven"] == proven


@pytest.mark.parametrize(
    ("run", "failed"),
    [
        (a_run(), False),
        (a_run(status=3), False),  # it did its work, and leaves as it likes
        (a_run(status=3, losses=[], outputs=[]), True),
        (a_run(status=1, failure=["ValueError", "x", "a.py:3"]), True),
        (Run(0, b"", ""), True),
        (Run(-9, b"", "", RECORD), True),
        (Run(0, b"", "", RECORD, timed_out_s=5.0), True),
    ],
)
def test_when_a_run_failed(run: Run, failed: bool) -> None:
    assert run.failed == failed


@pytest.mark.parametrize(
    ("failure", "needs"),
    [
        (["AssertionError", "Torch not compiled with CUDA enabled", "t/train.py:3"], True),
        (["RuntimeError", "Found no NVIDIA driver on your system", ""], True),
        (["FileNotFoundError", "data.csv", "t/cuda_train.py:3"], False),
    ],
)
def test_what_needs_cuda(failure: list[str], needs: bool) -> None:
    assert bool(proving._needs_cuda(a_run(status=1, failure=failure))) == needs


def test_every_key_of_the_json_is_documented() -> None:
    documented = set(re.findall(r"`(\w+)`", (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")))
    told = prove_json(Path("repo"), PROVEN)
    assert {*told, *told["on_cpu"][0], *told["targets"][0]} <= documented


def test_what_a_compiler_traces_is_not_observed() -> None:
    """A compiled model gives the same record as the model itself: its tracing calls modules and gradients of its own."""

    def observed(compiled: bool) -> dict[str, Any]:
        seed()
        observer = Observer()
        model: Any = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
        if compiled:
            model = torch.compile(model, backend="aot_eager", fullgraph=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with observer.watching():
            for _ in range(2):
                model(torch.ones(2, 4)).sum().backward()
                optimizer.step()
        record = observer.record(Ended("finished", 0))
        return {key: record[key] for key in ("losses", "outputs", "gradients", "parameters")}

    threads = torch.get_num_threads()
    try:
        assert observed(False) == observed(True)
    finally:
        torch.set_num_threads(threads)


def test_files_that_the_program_never_ran_are_named() -> None:
    report = replace(PROVEN, changed=("train.py", "other.py"))
    assert "nothing is shown of other.py" in prove_sheet(Path("repo"), report).text()


PROGRAM = """\
import sys
import torch
if torch.cuda.is_available():
    device = torch.device("cuda")
else:
    device = torch.device("cpu")
torch.cuda.manual_seed_all(1)
model = torch.nn.Linear(4, 2).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=float(sys.argv[1]))
for step in range(2):
    loss = model(torch.randn(8, 4, device=device)).square().mean()
    loss.backward()
    optimizer.step()
    print("loss", loss.item())
open("out.txt", "w").write("done")
"""


def test_a_program_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU alone, which takes two processes; the original is as it was."""
    root = tmp_path / "repo"
    root.mkdir()
    (root / "train.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.setattr(proving, "_on_cuda", lambda stage: ((), "", []))
    report = proving.prove(root, "train.py", ["0.1"], to=("cpu",))
    told = {item.name: (item.status, item.count) for item in report.items}
    assert report.changed == report.run_changed == ("train.py",)
    assert told["values that backward began from"] == ("same", 2)
    assert told["results of models"] == ("same", 2)
    assert told["gradients at optimizer steps"] == ("same", 4)
    assert told["parameters at the end"] == ("same", 2)
    assert told["lines of standard output"] == ("same", 2)
    assert told["files written"] == ("same", 1)
    assert report.proven
    assert [p.name for p in root.iterdir()] == ["train.py"]
    assert (root / "train.py").read_text(encoding="utf-8") == PROGRAM


def test_a_program_on_a_virtual_chip_is_observed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With its numbers computed, a virtual CUDA chip gives the losses that the program prints."""
    (tmp_path / "train.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(windtunnel.__file__).parents[1]))
    assert on_virtual(Path("record.json"), "h100-sxm", "train.py", ["0.1"], observed=True) == 0
    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    printed = [float(line.split()[1]) for line in capfd.readouterr().out.splitlines()]
    assert [float(words) for _, words in record["losses"]] == pytest.approx(printed, rel=1e-6)
    assert len(record["gradients"]) == 4
