"""The page of a training plan: every part is there, static, and nothing in a name becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.web.test_report import seen
from windtunnel.cli.main import run
from windtunnel.plan.training.parts import MEMORY, STEP, hours_text, memory_parts, step_parts
from windtunnel.plan.training.result import ChipTraining, TrainingPlan
from windtunnel.plan.training.train import train
from windtunnel.web.train_report import render_training


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return train("meta-llama/Llama-3.1-8B", ["h100-sxm:64", "gaudi3:64", "rtx-4090:1"], 1e12)


def test_parts_add_up(plan: TrainingPlan) -> None:
    done = plan.chips[0].training
    assert done is not None
    assert sum(step_parts(done.step)) == pytest.approx(done.step.total_s)
    assert sum(memory_parts(done.step.memory)) == pytest.approx(done.step.memory.total)
    assert (len(step_parts(done.step)), len(memory_parts(done.step.memory))) == (len(STEP), len(MEMORY))


def test_the_page_answers_and_shows_both_plots(plan: TrainingPlan) -> None:
    html = render_training(plan)
    text = seen(html).replace("\N{NO-BREAK SPACE}", " ")
    assert "meta-llama/Llama-3.1-8B, 1 trillion tokens" in text
    assert "The cheapest takes" in text
    assert "rtx-4090:1: meta-llama/Llama-3.1-8B in training does not fit" in text
    assert "<script" not in html
    widths = [float(w) for w in re.findall(r'style="width:([\d.]+)%"', html)]
    first = widths[: len(widths) // 4]
    assert sum(first) <= 100.5
    for part in ("products", "beyond", "activations"):
        assert f"</i>{part}</li>" in html


def test_names_are_text(plan: TrainingPlan) -> None:
    named = replace(plan, model="<b>x</b>", chips=(ChipTraining("<i>", None, "<u>"),))
    html = render_training(named)
    assert "<b>x" not in html
    assert "<u>" not in html
    assert "No chip that was asked about trains it." in html


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "train.html"
    ask = ["train", "meta-llama/Llama-3.1-8B", "--on", "h100-sxm:64", "--tokens", "1e12", "--html"]
    assert run([*ask, str(target)]) == 0
    assert target.read_text("utf-8").startswith("<!doctype html>")
    assert capsys.readouterr().err == f"wrote {target}\n"
    assert run([*ask, str(tmp_path / "nowhere" / "x.html")]) == 2
    assert capsys.readouterr().err.startswith("windtunnel: ")


def test_how_rare_things_are_said() -> None:
    assert [hours_text(s) for s in (45.0, 900.0, 11_137.0, 1e6)] == ["45 s", "15 min", "3.09 h", "11.6 days"]
