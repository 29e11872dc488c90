"""`windtunnel claims`, and the page that is made of the same."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import windtunnel
from windtunnel.cli.main import run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_page_of_claims_is_what_is_computed() -> None:
    generator = runpy.run_path(str(DOCS / "generate_claims.py"))
    assert (DOCS / "claims.md").read_text(encoding="utf-8") == generator["page"](), "run `make docs`"


def test_the_table_has_every_claim(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["claims"]) == 0
    text = capsys.readouterr().out
    assert re.findall(r"^(S\d{3}) ", text, re.M) == [f"S{n:03d}" for n in range(1, 70)]
    counted = [int(n) for n in re.findall(r"(?:holds|holds in part|does not hold|cannot be told): (\d+)", text)]
    assert sum(counted) == 69


def test_one_claim_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["claims", "s011"]) == 0
    text = capsys.readouterr().out
    for said in ("S011", "about 0.4 x (as rounded: 0.35 to 0.45)", "0.4 x", "holds", "910B4", "4,000 GB/s", "checks.chips"):
        assert said in text


def test_a_filter(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["claims", "--verdict", "does not hold", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["claims"]
    assert found
    assert {each["verdict"] for each in found} == {"does not hold"}


def test_json_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["claims", "S042", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parts"][0]["found"]["value"] == 4
    assert found["parts"][0]["claimed"] == {"relation": "about", "value": 4, "high": None, "unit": "x", "text": None}
    assert found["facts"]
    documented = set(re.findall(r"`(\w+)`", (DOCS / "json.md").read_text(encoding="utf-8")))
    assert set(found) | set(found["parts"][0]) | set(found["parts"][0]["found"]) <= documented


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["S48"], "unknown claim 'S48'; nearest: S048"),
        (["--verdict", "hold"], "unknown verdict 'hold'; nearest: holds"),
        (["S048", "--verdict", "holds"], "--verdict: chooses among all claims"),
    ],
)
def test_mistakes_are_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["claims", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_no_claim_needs_pytorch() -> None:
    code = "import sys\nfrom windtunnel.claims.result import recompute_all\nrecompute_all()\nprint('torch' in sys.modules)"
    environment = {"PYTHONPATH": str(Path(windtunnel.__file__).parents[1]), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "False"
