"""Chips that may not be had on a day drop out with the clause; the others stay, and say how."""

from __future__ import annotations

import datetime
import json

import pytest

from windtunnel.cli.main import run
from windtunnel.errors import InvalidInputError, MissingFactError
from windtunnel.plan.result import Targets
from windtunnel.plan.search import plan
from windtunnel.web.report import command, render

MODEL = "meta-llama/Llama-3.1-8B"
T = Targets(1024, 256)


def test_without_a_destination_nothing_is_asked_of_the_rules() -> None:
    found = plan(MODEL, ["h20:1"], T)
    assert (found.to, found.date) == ("", "")
    assert [chip.verdict for chip in found.chips] == [None]
    assert not any("xport rules" in note for note in found.notes)


def test_chips_that_may_not_be_had_drop_out_with_the_clause() -> None:
    found = plan(MODEL, ["h20:1", "l20:1", "rtx-4090:1", "ascend-910c:1", "h200-sxm:1"], T, to="China", date="2025-09-01")
    assert (found.to, found.date) == ("CN", "2025-09-01")
    why = {chip.name: chip.why_not for chip in found.chips}
    assert why["h20:1"].startswith('may not go to China on 2025-09-01: licence required; "is informed" letters of April 2025')
    assert "presumption of denial; ECCN 3A090.a.1, 88 FR 73458" in why["h200-sxm:1"]
    assert [why["l20:1"], why["rtx-4090:1"], why["ascend-910c:1"]] == ["", "", ""]
    assert all(chip.verdict is not None for chip in found.chips)
    notes = "\n".join(found.notes)
    for told in ("rtx-4090:1 to China on 2025-09-01: licence exception", "ascend-910c:1 to China", "no US item",
                 "ascend-910c:1: 2025-05-13, BIS guidance names this chip", "h20:1: 2025-07-15", "not legal advice"):  # fmt: skip
        assert told in notes
    assert "l20:1 to China" not in notes  # free


def test_what_is_reviewed_case_by_case_or_lacks_a_figure_stays() -> None:
    found = plan(MODEL, ["h200-sxm:1", "mlu590:1", "b200-sxm:1"], T, to="CN", date=datetime.date(2026, 2, 1))
    assert [bool(chip.best) for chip in found.chips] == [True, True, False]
    notes = "\n".join(found.notes)
    assert "licence, case by case" in notes
    assert "needs die area" in notes


def test_a_chip_that_is_not_launched_drops_out() -> None:
    found = plan(MODEL, ["ascend-950dt:1", "ascend-910c:1"], T, to="CN", date="2026-02-01")
    assert found.chips[0].why_not == "not launched on 2026-02-01: 2026-Q4 (official; Huawei Cloud planned Aug 2026)"
    assert found.chips[1].best is not None


def test_a_system_drops_out_with_its_chip() -> None:
    (chip,) = plan(MODEL, ["gb200-nvl72"], T, to="CN", date="2026-02-01").chips
    assert "ECCN 4A090.a: it contains gb200" in chip.why_not


def test_bad_input() -> None:
    with pytest.raises(InvalidInputError, match="date: says on which day"):
        plan(MODEL, ["h20:1"], T, date="2025-09-01")
    with pytest.raises(InvalidInputError, match="before the first rule"):
        plan(MODEL, ["h20:1"], T, to="CN", date="2021-09-01")
    with pytest.raises(MissingFactError, match="country group of France"):
        plan(MODEL, ["h20:1"], T, to="fr")


WORDS = ["plan", MODEL, "--on", "h20:1,l20:1", "--isl", "1024", "--osl", "256"]


def test_the_command_prints_and_writes_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*WORDS, "--to", "CN", "--date", "2025-09-01"]) == 0
    out = capsys.readouterr().out
    assert "to China on 2025-09-01" in out.splitlines()[0]
    assert "- h20:1: may not go to China on 2025-09-01" in out
    assert run([*WORDS, "--to", "CN", "--date", "2025-09-01", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["to"], told["date"]) == ("CN", "2025-09-01")
    assert [chip["export"]["barred"] for chip in told["chips"]] == [True, False]
    assert run([*WORDS, "--date", "2025-09-01"]) == 2
    assert capsys.readouterr().err == "windtunnel: --date: says on which day export rules are held against chips; add --to CN\n"


def test_the_report_says_it() -> None:
    found = plan(MODEL, ["h20:1", "l20:1"], T, to="CN", date="2025-09-01")
    page = render(found, peaks={})
    assert "to China on 2025-09-01" in page
    assert "may not go to China on 2025-09-01: licence required" in page
    assert command(found).endswith("--to CN --date 2025-09-01")
