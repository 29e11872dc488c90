"""The command from end to end, with the real search: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from windtunnel.cli.main import run

ASK = ["plan", "meta-llama/Llama-3.1-8B", "--isl", "1000", "--osl", "200", "--ttft", "1s", "--tpot", "30ms"]

GOLDEN = """\
meta-llama/Llama-#-#B: # tokens in, # out, TTFT <= # s, TPOT <= # ms, # requests/s

Cheapest deployment on each chip, best first
chip chips deployment batch headroom evidence
h20 # # x TP#, BF16, vLLM # # GiB transferred

Speed
chip tok/s/chip tok/s TTFT TPOT
h20 # # # ms [#-#] # ms [#-#]

Simulated at # requests/s
chip TTFT p50 p90 p99 TPOT p50 p90 p99
h20 # ms # ms # ms # ms # ms # ms

Cost
chip $/Mtok $/hour J/token kW price
h20 # # # # bought, #-#: #/# of Nvidia HGX H20 #-GPU (#GB), over # years; # W at # USD/kWh
"""


def masked(text: str) -> str:
    """Figures as ``#`` and runs of blanks as one: what a new fit of the cost model does not change."""
    text = re.sub(r"(?<!\w)\d[\d,.]*(?:e[+-]?\d+)?", "#", text)
    text = re.sub(r"(?<=TP)\d+", "#", text)
    return re.sub(r" {2,}", " ", text)


def test_golden_output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert run([*ASK, "--on", "h20,biren-br106", "--requests-per-s", "4"]) == 0
    printed = masked(capsys.readouterr().out)
    assert printed.startswith(GOLDEN), printed
    assert "Trade-offs: throughput against speed for one user (Pareto front)" in printed
    assert "Why not\n- biren-br106: not known: matrix_flops_per_s.bf16" in printed


def test_writes_all_that_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html, deploy = tmp_path / "report.html", tmp_path / "launch"
    ask = [
        "plan",
        "deepseek-ai/DeepSeek-V3",
        "--isl",
        "4096",
        "--osl",
        "1024",
        "--ttft",
        "2s",
        "--tpot",
        "60ms",
        "--requests-per-s",
        "5",
    ]
    assert (
        run(
            [*ask, "--requests-per-s", "5", "--on", "h20,cloudmatrix-384", "--json", "--html", str(html), "--deploy", str(deploy)]
        )
        == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["ranked"]
    assert html.read_text().count("<svg") + html.read_text().count("<script") > 0
    scripts = sorted(deploy.rglob("*.sh"))
    assert len(scripts) >= 2
    bash = shutil.which("bash")
    if bash:
        for script in scripts:
            done = subprocess.run([bash, "-n", str(script)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


def test_nothing_meets_the_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deploy = tmp_path / "launch"
    assert run([*ASK, "--on", "ascend-910b2", "--precision", "fp8", "--deploy", str(deploy)]) == 2
    err = capsys.readouterr().err
    assert err == (
        "windtunnel: no chip meets the targets: ascend-910b2 cannot compute fp8; it can: fp32, bf16, fp16, int8; "
        "nothing to deploy\n"
    )
    assert not deploy.exists()
