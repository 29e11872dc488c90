"""``windtunnel measure``: what it refuses, what it prints, how it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from windtunnel.cli.main import run
from windtunnel.run import measure as measuring
from windtunnel.run.devices import device_named
from windtunnel.run.measure import MeasureReport, Progress
from windtunnel.run.measured_chip import DeviceFigures


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Measures nothing, and notes how it was asked to."""
    told: list[dict[str, Any]] = []

    def pretend(device: str, file: Path, **options: Any) -> MeasureReport:
        told.append({"device": device, "file": file, **options})
        options["progress"](Progress(0, 3, 0.0, "gemm"))
        figures = DeviceFigures({"fp32": 1e11}, 2e10, 5e-6, 12e9, None)
        skipped = {"too long for the time that there is": 1}
        where = Path("mine.toml")
        return MeasureReport(device_named("cpu"), str(where), file, 2, 1, skipped, 3, options["quick"], figures, where)

    monkeypatch.setattr(measuring, "measure", pretend)
    monkeypatch.chdir(tmp_path)
    return told


def test_what_was_measured_and_what_it_is_for(asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["measure", "--on", "cpu", "--minutes", "2", "mine.csv"]) == 0
    assert (asked[0]["device"], asked[0]["file"], asked[0]["minutes"]) == ("cpu", Path("mine.csv"), 2.0)
    said = capsys.readouterr()
    assert "0/3" in said.err
    for line in (
        "fastest in fp32            0.100 TFLOP/s",
        "memory                     20 GB/s",
        "rows                       3 in mine.csv, 1 from before",
        "the time is over: 3 measurements left; the same command goes on with them",
        "- 1 x too long for the time that there is",
        "windtunnel fit mine.csv --chip mine.toml -o mine.parameters.toml",
        "windtunnel run --on cpu --as mine.toml SCRIPT",
    ):
        assert line in said.out


def test_json_and_the_status_of_an_interrupt(asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["measure", "--on", "cpu", "--quick", "--json", "mine.csv"]) == 130
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["rows_left"], found["peaks_flops_per_s"]) == (3, 3, {"fp32": 1e11})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine.csv"], "windtunnel: measure: missing option '--on'"),
        (["--on", "cpu"], "windtunnel: measure: missing argument 'FILE'"),
        (["--on", "cpu", "mine.txt"], "windtunnel: FILE: mine.txt should end in .csv"),
        (["--on", "cpu", "--minutes", "0", "mine.csv"], "windtunnel: --minutes"),
        (["--on", "cpu", "none/mine.csv"], "windtunnel: FILE: there is no folder"),
    ],
)
def test_bad_requests_are_one_line(
    asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run(["measure", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith(message)
    assert said.count("\n") == 1
    assert asked == []


def test_an_unknown_device_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["measure", "--on", "cudo", str(tmp_path / "mine.csv")]) == 2
    assert capsys.readouterr().err == "windtunnel: unknown device 'cudo'; nearest: cuda, cpu\n"
