"""``validate`` and ``fit`` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from windtunnel.cli.main import run

pytest.importorskip("scipy")

ROWS = "".join(f"h20,gemm,bf16,{m},{n},4096,{8 + m * n / 7e4:.2f}\n" for m in (1, 256, 2048) for n in (4096, 8192, 2048))
PREDICT = ["predict", "Qwen/Qwen3-8B", "--isl", "512", "--osl", "64", "--concurrency", "2"]


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    path = tmp_path / "operators.csv"
    path.write_text("chip,op,dtype,m,n,k,latency_us\n" + ROWS, encoding="utf-8")
    return path


def test_what_fit_writes_predict_and_validate_take(measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine.toml"
    assert run(["validate", str(measured), "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert run(["fit", str(measured), "--chip", "h20", "-o", str(out)]) == 0
    printed = capsys.readouterr()
    assert "gemm_wide" in printed.out
    assert printed.err == f"wrote {out}\n"
    assert run(["validate", str(measured), "--json", "--parameters", str(out)]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["latency_us"]["mape"] < before["latency_us"]["mape"]
    assert run([*PREDICT, "--on", "h20", "--parameters", str(out)]) == 0
    assert "Qwen/Qwen3-8B on 1 x h20" in capsys.readouterr().out


def test_parameters_of_another_chip_are_refused(measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine.toml"
    assert run(["fit", str(measured), "-o", str(out)]) == 0
    capsys.readouterr()
    assert run([*PREDICT, "--on", "h100-sxm", "--parameters", str(out)]) == 2
    assert capsys.readouterr().err == "windtunnel: --parameters: mine.toml is of h20, not of h100-sxm\n"
    assert run(["validate", str(measured), "--parameters", str(tmp_path / "none.toml")]) == 2
    assert capsys.readouterr().err.startswith("windtunnel: --parameters: there is no file")


def test_fit_says_in_json_what_it_prints(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", str(measured), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["chips"], told["rows_fitted"]) == ("operators.csv", ["h20"], 9)
    assert told["families"][0]["family"] == "gemm_wide"
