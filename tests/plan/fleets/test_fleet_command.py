"""The command from end to end, over what a search found once: what it prints and writes, and how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from windtunnel.cli.main import run
from windtunnel.errors import UnsupportedError
from windtunnel.plan.fleets import fleet as fleets
from windtunnel.plan.fleets.spec import FleetSpec
from windtunnel.plan.fleets.ways import Found, FoundPart, FoundRun, FoundWay

FILE = """
[fleet]
name = "Two chips"
start = "2025-Q1"
quarters = 3
to = "CN"
electricity = 0.1
pue = 1.2
discount_rate = 0.0
write_off_years = 4
power_mw = 0.2
[[chip]]
chip = "h20"
supply = 64
price = 20000
[[chip]]
chip = "ascend-910b2"
supply = [16, 16, 64]
price = 16000
power_w = 600
[[workload]]
name = "chat"
kind = "inference"
model = "Qwen/Qwen3-8B"
isl = 512
osl = 64
requests_per_s = [100, 160, 220]
split = "any chip"
[[workload]]
name = "tuning"
kind = "training"
model = "Qwen/Qwen3-8B"
tokens = 1e11
deadline = "2025-Q2"
chips = ["h20"]
"""
FOUND = {
    "chat": Found(
        (
            FoundWay((FoundPart("h20", 1, 5.0, "both", "TP1, BF16, vLLM"),), 0.1, 0.02, "fitted"),
            FoundWay((FoundPart("ascend-910b2", 2, 4.0, "both", "TP2, BF16, vLLM Ascend"),), 0.1, 0.02, "datasheet"),
        )
    ),
    "tuning": Found(runs=(FoundRun("h20", 8, 1e4, 8, 0.4, 0.97, "TP4 DP2", "fitted"),)),
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def found(spec: FleetSpec, **options: object) -> dict[str, Found]:
        return FOUND

    monkeypatch.setattr(fleets, "coefficients", found)
    path = tmp_path / "fleet.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_what_it_prints(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fleet", str(file)]) == 0
    printed = capsys.readouterr().out
    printed = re.sub(r"in \d+\.\d s of CPU", "in # s of CPU", printed)
    golden = Path(__file__).with_name("golden.txt")
    assert printed == golden.read_text(encoding="utf-8")


def test_json_says_what_the_table_says(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fleet", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["feasible"]
    assert told["proven"]
    assert told["quarters"] == ["2025-Q1", "2025-Q2", "2025-Q3"]
    bought = {(each["chip"], each["quarter"]): each["chips"] for each in told["bought"]}
    assert all(chip == "ascend-910b2" or quarter != "2025-Q3" for chip, quarter in bought)  # rules keep the H20 away
    paid = sum(each["purchases_usd"] + each["energy_usd"] for each in told["costs"])
    assert told["paid_usd"] == pytest.approx(paid)
    assert told["conflict"] is None


def test_pictures(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot, page = tmp_path / "fleet.svg", tmp_path / "fleet.html"
    assert run(["fleet", str(file), "--plot", str(plot), "--html", str(page)]) == 0
    assert f"wrote {plot}" in capsys.readouterr().err
    for path, count in ((plot, 1), (page, 2)):
        text = path.read_text(encoding="utf-8")
        assert text.count("<svg") == count
        assert "<script" not in text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "2025-Q1, chat: 20 h20" in plot.read_text(encoding="utf-8")


def test_limits_that_conflict(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(FILE.replace("power_mw = 0.2", "power_mw = 0.03"), encoding="utf-8")
    page = tmp_path / "fleet.html"
    assert run(["fleet", str(file), "--html", str(page)]) == 2
    told = capsys.readouterr()
    assert "Not all can be had. These conflict; without any one of them the rest could be met" in told.out
    assert "- chat: 220 requests/s in 2025-Q3" in told.out or "- chat: 100" in told.out or "- chat: 160" in told.out
    assert re.search(r"- the fleet's site: 0.03 MW in 2025-Q\d", told.out)
    assert re.search(r"- the fleet's site: 0\.\d+ MW more", told.out)
    assert told.err.count("\n") == 2  # wrote ..., and one line of error
    assert "windtunnel: not all can be had; what conflicts: " in told.err
    assert "these limits conflict" in page.read_text(encoding="utf-8")


def test_planning_without_it_needs_no_numpy() -> None:
    code = "import sys, windtunnel.cli.fleet, windtunnel.plan.fleets.fleet; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_scipy(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("windtunnel.plan.fleets.milp")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'windtunnel\[fleet\]'"):
        fleets.fleet(file)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere.toml"], "FILE: there is no file nowhere.toml"),
        (["FILE", "--plot", "."], "--plot: . is a folder"),
        (["FILE", "--jobs", "0"], "--jobs: 0 processes; it must be from 1"),
    ],
)
def test_bad_requests(file: Path, capsys: pytest.CaptureFixture[str], args: list[str], said: str) -> None:
    assert run(["fleet", *(str(file) if word == "FILE" else word for word in args)]) == 2
    assert said in capsys.readouterr().err
