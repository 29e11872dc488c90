"""``windtunnel rules``: the verdict first, one line for what cannot be, files whole or not at all, and no time lost."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import windtunnel
from windtunnel.cli.main import run

GOLDEN = Path(__file__).with_name("golden")
CASES = {
    "rules-check-h20": ["check", "h20", "--to", "CN", "--date", "2025-04-20"],
    "rules-check-h200": ["check", "h200-sxm", "--to", "CN", "--date", "2026-02-01"],
    "rules-check-910c": ["check", "cloudmatrix-384", "--to", "CN", "--date", "2026-02-01"],
    "rules-check-area": ["check", "mlu590", "--to", "CN", "--date", "2024-01-01"],
    "rules-timeline": ["timeline", "--chips", "h20,h200-sxm,mi308x,rtx-4090"],
    "rules-threshold": ["threshold", "--best-of", "ascend-910c,mlu590", "--buffer", "0.5"],
    "rules-crossover": ["crossover"],
    "rules-hbm": ["hbm", "--gb-per-s", "819", "--mm2", "121", "--date", "2025-06-01"],
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_printed(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """WINDTUNNEL_GOLDEN=write writes the files anew; look at them before they are kept."""
    monkeypatch.setenv("COLUMNS", "100")
    assert run(["rules", *CASES[name]]) == 0
    out, file = capsys.readouterr().out, GOLDEN / f"{name}.txt"
    if os.environ.get("WINDTUNNEL_GOLDEN") == "write":
        file.write_text(out, encoding="utf-8")
    assert out == file.read_text(encoding="utf-8")
    assert max(len(line) for line in out.splitlines()) <= 100
    assert "not legal advice" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "h21"], "unknown chip or system 'h21'; nearest: h20"),
        (["check", "h20", "--to", "ZZ"], "unknown destination 'ZZ'; write a country or its code, as CN, or a country group"),
        (["check", "h20", "--to", "US"], "destination: what stays in the United States is no export; name where it goes, as CN"),
        (["check", "h20", "--to", "Chinna"], "unknown destination 'Chinna'; nearest: China"),
        (["check", "h20", "--to", "Germany"], "not known: country group of Germany (DE); name its group instead: --to D:1"),
        (["check", "h20", "--date", "2025-4-9"], "date: '2025-4-9' is no day; nearest: 2025-04-09"),
        (["check", "h20", "--date", "2020-01-01"], "date: 2020-01-01 is before the first rule of the record, of 2022-10-07"),
        (["timeline", "--chips", ","], "--chips: names no chip; write it as h20,h200-sxm"),
        (["timeline", "--chips", "h20,h21"], "unknown chip or system 'h21'; nearest: h20"),
        (["timeline", "--chips", "h20", "--plot", "/nowhere/x.svg"], "--plot: there is no folder /nowhere"),
        (["threshold", "--best-of", "", "--buffer", "0.5"], "--best-of: names no chip"),
        (["threshold", "--best-of", "ascend-910c", "--buffer", "-1"], "--buffer: -1 is negative; half again above"),
        (
            ["threshold", "--best-of", "ascend-910d", "--buffer", "0.5"],
            "best-of: none of the chips counts: ascend-910d: a compute",
        ),
        (["threshold", "--best-of", "h20", "--buffer", "1", "--metric", "tpps"], "unknown metric 'tpps'; nearest: tpp"),
        (["crossover", "--maker", "Huaway"], "unknown maker 'Huaway'; nearest: Huawei"),
        (["hbm", "--gb-per-s", "0", "--mm2", "121"], "--gb-per-s: 0 GB/s; it must be above 0"),
        (["hbm", "--gb-per-s", "819", "--mm2", "121", "--date", "2024-01-01"], "date: 2024-01-01 is before the rule on HBM"),
        (["chek", "h20"], "unknown command of rules 'chek'; nearest: check"),
    ],
)
def test_bad_input_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rules", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"windtunnel: {message}")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("name", [*CASES, "list"])
def test_json_is_one_object(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rules", *CASES.get(name, ["list"]), "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_every_instrument_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rules", "list"]) == 0
    out = capsys.readouterr().out
    for told in ("bis-2022-10", "letters-2025-04", "second-hand", "pending", "2026-08-13"):
        assert told in out


@pytest.mark.parametrize("words", [CASES["rules-timeline"], CASES["rules-crossover"]])
def test_plots_are_well_formed_and_the_page_has_one_for_each_width(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    svg, page = tmp_path / "plot.svg", tmp_path / "page.html"
    assert run(["rules", *words, "--plot", str(svg), "--html", str(page)]) == 0
    capsys.readouterr()
    root = ElementTree.fromstring(svg.read_text(encoding="utf-8"))
    width = float(root.attrib["width"])
    boxes = [e for e in root.iter() if e.tag.endswith("rect") and "x" in e.attrib]
    assert boxes
    for box in boxes:
        assert float(box.attrib["x"]) >= 0
        assert float(box.attrib["x"]) + float(box.attrib["width"]) <= width
    text = page.read_text(encoding="utf-8")
    assert (text.count("<svg "), text.count("<script")) == (2, 0)


def test_a_check_takes_no_third_of_a_second() -> None:
    environment = {"PYTHONPATH": str(Path(windtunnel.__file__).parents[1]), "PATH": ""}
    command = [sys.executable, "-m", "windtunnel", "rules", *CASES["rules-check-h20"]]
    taken = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken) <= 0.3  # of CPU: other tests run beside this one


def test_a_check_loads_no_tables_and_no_report() -> None:
    from tests.test_public_api import loaded

    words = ["windtunnel", "rules", *CASES["rules-check-h20"]]
    found = loaded(f"from windtunnel.cli.main import main; sys.argv = {words!r}; main()")
    assert not {name for name in found if name.startswith(("rich", "windtunnel.web", "windtunnel.plan", "windtunnel.sim"))}
