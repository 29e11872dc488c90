"""The command from end to end: what it prints, the JSON, and how it ends."""

from __future__ import annotations

import json

import pytest

from tests.plan.test_plan_command import masked
from windtunnel.cli.main import run

ASK = ["train", "meta-llama/Llama-3.1-8B", "--tokens", "1e12"]

GOLDEN = """\
meta-llama/Llama-#-#B: # trillion tokens

How long, and how dear
chip chips days chip-hours million $ MWh
h100-sxm:# # # [#-#] # # [#-#] #

Speed
chip tokens/s/chip MFU HFU layout evidence
h100-sxm:# # [#-#] # % # % TP4 DP16, # x # seq, ZeRO-# transferred

One optimiser step, in % of its time
chip step products attention passes recompute TP, CP EP PP update beyond
h100-sxm:# # s # # # # # # # # #

Memory of the fullest chip, GiB
chip weights gradients optimiser activations buffers lost of free
h100-sxm:# # # # # # # # # %

Failures
chip between two in all checkpoint every restart useful time
h100-sxm:# # days # # s # h # min # % [#-#]

Notes
"""


def test_a_run_on_one_chip(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASK, "--on", "h100-sxm:64", "--tp", "4", "--pp", "1"]) == 0
    printed = capsys.readouterr().out
    assert masked(printed).startswith(masked(GOLDEN)), masked(printed)
    notes = printed.partition("Notes\n")[2]
    for told in (
        "assumed, as Llama 3 was trained",
        "MFU: six FLOPs",
        "beyond what its operators",
        "checkpoint stops the run",
        "h100-sxm:64: bought",
    ):
        assert told in " ".join(notes.split())


def test_several_chips_in_one_table_and_why_one_will_not_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASK, "--on", "h100-sxm:64,ascend-910b2:64,rtx-4090:1", "--precision", "fp8"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Why not - rtx-4090:1: meta-llama/Llama-3.1-8B in training does not fit on 1 rtx-4090" in printed
    assert "ascend-910b2 has no unit for FP8: products run in BF16" in printed


def test_json_has_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASK, "--on", "h100-sxm:64", "--json", "--mtbf", "100h", "--checkpoint-gbps", "10"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = told["chips"][0]["training"]
    assert found["days"]["low"] < found["days"]["value"] < found["days"]["high"]
    step = found["step"]
    parts = [value for key, value in step.items() if key.endswith("_s") and key != "total_s"]
    assert sum(parts) == pytest.approx(step["total_s"])
    assert found["failures"]["mtbf_s"] == {"value": 360_000.0, "low": 360_000.0, "high": 360_000.0}
    assert found["failures"]["checkpoint_s"] == pytest.approx(8.03e9 * 14 / 1e10, rel=0.01)
    assert found["layout"]["tp"] * found["layout"]["pp"] * found["layout"]["dp"] == 64


def test_where_no_chip_can_it_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASK, "--on", "h100-sxm:8", "--days", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("windtunnel: no chip trains it: 8 h100-sxm")
    assert "nearest that would do: --days" in error


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--on", "h100-sxm:64", "--tokens", "0"], "--tokens: 0 tokens; it must be above 0"),
        (["--on", "h100-sxm:64", "--days", "0"], "--days: 0 days; it must be above 0"),
        (["--on", "h100-sxm"], "on: say how many h100-sxm"),
        (["--on", "h100-sxm:64", "--recompute", "ful"], "unknown recompute 'ful'; nearest: full"),
        (["--on", "h100-sxm:64", "--schedule", "1b1f"], "unknown schedule '1b1f'; nearest: 1f1b"),
        (["--on", "h100-sxm:64", "--chunks", "2"], "--chunks: changes nothing without --schedule interleaved"),
        (["--on", "h100-sxm:64", "--date", "2025-01-01"], "--date: says on which day"),
        (["--on", "h100-sxm:64", "--tp", "5"], "tp: 5 does not divide"),
        (["--on", "h100-sxm:64", "--ep", "2"], "has no experts"),
        (["--on", "h800:4096"], "network of h800-sxm is described for 2,048 chips"),
        (["--on", "h100-sxm:128", "--network-chips", "64"], "--network-chips says that the network joins 64"),
        (["--on", "h100-sxm:64", "--mtbf", "1s"], "it fails every 1 s and hardly gets on: a checkpoint takes 30 s"),
        (["--on", "h100-sxm:64", "--checkpoint-gbps", "1e-6"], "hardly gets on"),
        (["--on", "h100-sxm", "--days", "0.01"], "nearest that would do: --days 0."),
        (["--on", "h100-sxm:64", "--framework", "jaxx"], "unknown framework 'jaxx'"),
        (["--on", "h100-sxm:64", "--mtbf", "soon"], "--mtbf: 'soon' is not a time"),
    ],
)
def test_mistakes_are_told_in_one_line(more: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASK, *more]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.startswith("windtunnel: ")
    assert error.count("\n") == 1


def test_export_rules_drop_a_chip(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ASK, "--on", "h100-sxm:64,ascend-910b2:64", "--to", "CN", "--date", "2025-04-20"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "h100-sxm:64: may not go to China on 2025-04-20" in printed
