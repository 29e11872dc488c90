"""From what is typed to what is asked, and from the answer to what is printed and written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli import made_up
from tests.cli.conftest import Asked
from windtunnel.cli.main import run
from windtunnel.cli.report import peaks
from windtunnel.plan.result import ChipPlan, Targets
from windtunnel.sim.prediction import Load

LOAD = ["--isl", "4096", "--osl", "1024"]
PREDICT = ["predict", "deepseek-ai/DeepSeek-R1", "--on", "h20:16", *LOAD, "--concurrency", "64"]
PLAN = [
    "plan",
    "deepseek-ai/DeepSeek-R1",
    "--on",
    "h20,h100-sxm:64",
    *LOAD,
    "--ttft",
    "2s",
    "--tpot",
    "50ms",
    "--requests-per-s",
    "20",
]


def test_predict_asks_for_the_deployment_that_was_typed(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(
            [
                *PREDICT,
                "--precision",
                "FP8",
                "--tp",
                "2",
                "--dp",
                "8",
                "--ep",
                "16",
                "--engine",
                "vllm",
                "--engine-version",
                "0.11",
            ]
        )
        == 0
    )
    ((deployment, load), _) = asked.predict[0]
    assert load == Load(isl=4096, osl=1024, concurrency=64)
    assert (deployment.chip, deployment.system, deployment.chips, deployment.precision) == ("h20", "", 16, "fp8")
    assert (deployment.tp, deployment.pp, deployment.dp, deployment.moe_ep, deployment.moe_tp) == (2, 1, 8, 16, 1)
    assert (deployment.engine, deployment.engine_version) == ("vllm", "0.11")
    assert "time per output token" in capsys.readouterr().out


def test_predict_takes_any_spelling_of_a_chip(asked: Asked) -> None:
    assert run(["predict", "deepseek-ai/DeepSeek-R1", "--on", "Nvidia H20 96GB:8", *LOAD, "--concurrency", "1"]) == 0
    assert asked.predict[0][0][0].chip == "h20"


def test_predict_on_a_system_uses_its_chip_and_its_links(asked: Asked) -> None:
    assert run(["predict", "deepseek-ai/DeepSeek-R1", "--on", "cloudmatrix-384:32", *LOAD, "--concurrency", "1"]) == 0
    deployment = asked.predict[0][0][0]
    assert (deployment.chip, deployment.system, deployment.tp) == ("ascend-910c", "cloudmatrix-384", 32)


def test_predict_prints_one_json_object(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*PREDICT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tpot_s"]["value"] == pytest.approx(0.0421)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--isl", "0"], "--isl: 0 tokens; it must be from 1 to 10,000,000"),
        (["--isl", "-4"], "--isl: -4 tokens; it must be from 1 to 10,000,000"),
        (["--isl", "nan"], "--isl: 'nan' is not a whole number of tokens"),
        (["--isl", "1e99"], "--isl: '1e99' is not a whole number of tokens"),
        (["--isl", "9999999"], "--isl: 9,999,999 + 1,024 tokens are more than the 163,840 of deepseek-ai/DeepSeek-R1's context"),
        (["--concurrency", "nan"], "--concurrency: nan requests in flight; it must be above 0 and up to 1,000,000"),
        (["--concurrency", "1e99"], "--concurrency: 1e99 requests in flight; it must be above 0 and up to 1,000,000"),
        (["--tp", "3"], "--on: 16 chips, but --tp 3 x --pp 1 x --dp 1 = 3; --on ...:3 would do"),
        (["--ep", "3"], "--ep: 3 does not divide --tp x --dp = 16; nearest: 2"),
        (["--precision", "fp7"], "unknown precision 'fp7'; nearest: fp8, fp6, fp4"),
        (["--on", "h21:8"], "unknown chip or system 'h21'; nearest: h20"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_asked(
    changed: list[str], message: str, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*PREDICT, *changed]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"windtunnel: {message}")
    assert printed.err.count("\n") == 1
    assert asked.predict == []


def test_an_unknown_model_names_the_nearest(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "deepseek-ai/DeepSeek-R7", *PREDICT[2:]]) == 2
    assert "nearest: " in capsys.readouterr().err


def test_plan_asks_what_was_typed(asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text("")
    assert run([*PLAN, "--precision", "fp8", "--engine", "sglang", "--max-chips", "64", "--prices", str(prices)]) == 0
    args, options = asked.plan[0]
    assert args == ("deepseek-ai/DeepSeek-R1", ("h20", "h100-sxm:64"), Targets(4096, 1024, 2.0, 0.05, 20.0))
    assert options == {"precision": "fp8", "engine": "sglang", "max_chips": 64, "prices": prices}
    assert "Cheapest deployment on each chip" in capsys.readouterr().out


def test_what_is_not_said_is_not_asked(asked: Asked) -> None:
    assert run(["plan", "deepseek-ai/DeepSeek-R1", "--on", "h20", *LOAD]) == 0
    args, options = asked.plan[0]
    assert args[2] == Targets(4096, 1024)
    assert options == {"precision": None, "engine": None, "max_chips": None, "prices": None}


def test_plan_prints_one_json_object_and_says_elsewhere_what_it_wrote(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    assert run([*PLAN, "--json", "--html", str(page)]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["ranked"][0] == "h20"
    assert printed.err == f"wrote {page}\n"
    assert page.read_text(encoding="utf-8").lower().startswith("<!doctype html>")


def test_the_report_has_the_roof_of_every_chip_of_the_plan() -> None:
    found = peaks(made_up.plan())
    assert set(found) == {"h20", "h100-sxm", "ascend-910c"}
    assert found["h20"].flops_per_s["fp8"] == pytest.approx(296e12)
    assert found["h20"].bytes_per_s == pytest.approx(4e12)


def test_deploy_writes_the_best_or_the_one_that_is_named(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*PLAN, "--deploy", str(tmp_path / "best")]) == 0
    assert any((tmp_path / "best").iterdir())
    assert run([*PLAN, "--deploy", str(tmp_path / "named"), "--deploy-chip", "h100-sxm"]) == 0
    assert any((tmp_path / "named").iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--deploy-chip", "h20"], "--deploy-chip: says for which chip --deploy DIR writes; add --deploy DIR"),
        (["--html", "nowhere/report.html"], "--html: there is no folder "),
        (["--html", "."], "--html: . is a folder; name a file in it"),
        (["--deploy", "a-file"], "--deploy: a-file is a file; name a folder"),
        (["--prices", "none.toml"], "--prices: there is no file none.toml"),
        (["--tpot", "0ms"], "--tpot: '0ms' is not a positive time"),
        (["--requests-per-s", "inf"], "--requests-per-s: inf requests/s; it must be above 0 and up to 1,000,000"),
        (["--max-chips", "0"], "--max-chips: 0 chips; it must be from 1 to 100,000"),
        (["--on", "h20:0"], "--on: 0 chips; it must be from 1 to 100,000"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_search(
    options: list[str],
    message: str,
    asked: Asked,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").write_text("")
    assert run([*PLAN, *options]) == 2
    assert capsys.readouterr().err.startswith(f"windtunnel: {message}")
    assert asked.plan == []
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


@pytest.mark.parametrize(
    ("name", "message"), [("ascend-910b2", "--deploy-chip ascend-910b2: it cannot"), ("h200", "unknown chip of the plan")]
)
def test_a_chip_without_a_deployment_is_not_deployed_and_nothing_is_written(
    name: str, message: str, asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*PLAN, "--html", str(tmp_path / "r.html"), "--deploy", str(tmp_path / "d"), "--deploy-chip", name]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"windtunnel: {message}")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_nothing_meets_is_shown_and_is_status_2(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.answer_plan = replace(made_up.plan(), chips=(ChipPlan("h20", None, "TPOT is 61 ms at best"),))
    assert run(PLAN) == 2
    printed = capsys.readouterr()
    assert "h20: TPOT is 61 ms at best" in printed.out
    assert printed.err == "windtunnel: no chip meets the targets: TPOT is 61 ms at best\n"
    assert run([*PLAN, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["chips"][0]["best"] is None


def test_validate(asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "serving.csv"
    file.write_text("id\n")
    assert run(["validate", str(file)]) == 0
    assert "serving.csv: 3 rows, 2 predicted (66.7 %)" in capsys.readouterr().out
    assert run(["validate", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["refused"] == {"unknown chip 'x'": 1}


def test_fit(asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, chip, output = tmp_path / "operators.csv", tmp_path / "mine.toml", tmp_path / "out.toml"
    file.write_text("id\n")
    chip.write_text("")
    assert run(["fit", str(file), "--chip", str(chip), "--output", str(output), "--json"]) == 0
    assert asked.fit == [((file,), {"chip": chip, "output": output})]
    assert run(["fit", str(file), "--chip", "h20"]) == 0
    assert asked.fit[1] == ((file,), {"chip": "h20", "output": None})
    capsys.readouterr()
    assert run(["fit", str(file), "--chip", str(tmp_path / "none.toml")]) == 2
    assert capsys.readouterr().err.startswith("windtunnel: --chip: there is no file")


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (
            ["predict", "qwen3-8b", "--on", "h20:8", *LOAD, "--concurrency", "4", "--ep", "8"],
            "--ep: Qwen/Qwen3-8B has no experts",
        ),
        (["predict", "zzzz", "--on", "h20", *LOAD, "--concurrency", "4"], "unknown model 'zzzz'; `windtunnel models` lists"),
        (
            ["predict", "qwen3-8b", "--on", "h20", *LOAD, "--concurrency", "4", "--precision", "zz"],
            "unknown precision 'zz'; known: ",
        ),
        (["plan", "qwen3-8b", "--on", "h20", *LOAD, "--html", "/dev/null"], "--html: /dev/null is no ordinary file"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_asked(
    argv: list[str], complaint: str, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err
    assert err.count("\n") == 1
    assert not asked.predict
