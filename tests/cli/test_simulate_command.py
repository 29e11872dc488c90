"""``windtunnel simulate`` from end to end: what it prints, how it ends, and what it says of bad input."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from windtunnel.cli.main import run

ON = ["simulate", "Qwen/Qwen3-8B", "--on", "h100-sxm"]
ASK = [*ON, "--requests-per-s", "20", "--isl", "1024", "--osl", "64", "--requests", "500"]

GOLDEN = """\
Qwen/Qwen#-#B on # times # x h#-sxm: TP#, BF#
# requests/s at random, # tokens in, # out, seed #

requests # arrived at #/s, # answered in # s
goodput # requests/s within the targets, # % of those answered
output tokens/s #
at work busy # %, # decoding at an instance, # waiting in all, # at an instance at most, KV cache # % of # tokens
interval measured means lie in # % of cases at # to # times these first tokens, # to # times per token; fitted on this chip

mean p# p# p# most samples
time to first token # ms # ms # ms # ms* # ms #
time per output token # ms # ms # ms # ms* # ms #
end to end # ms # ms # ms # ms* # ms #
* fewer than # samples lie beyond it
"""


def masked(text: str) -> str:
    text = re.sub(r"\d(?:[\d,.]*\d)?", "#", text)
    return re.sub(r"(?m)^ +", "", re.sub(r" {2,}", " ", text))


def test_what_it_prints(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run([*ASK, "--replicas", "2", "--ttft", "1s", "--tpot", "50ms"]) == 0
    told = capsys.readouterr().out
    assert masked(told[: told.index("\n- ")]).strip() == GOLDEN.strip()


def test_the_json_says_the_same_for_the_same_seed(capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for seed in ("1", "1", "2"):
        assert run([*ASK, "--seed", seed, "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1] != told[2]
    found = told[0]
    assert found["arrived"] == found["answered"] == found["ttft_s"]["samples"] == 500
    assert found["output_tokens"] == 500 * 64
    assert [q["q"] for q in found["e2e_s"]["quantiles"]] == [0.5, 0.9, 0.99]
    assert [q["firm"] for q in found["e2e_s"]["quantiles"]] == [True, True, False]
    documented = set(re.findall(r"`(\w+)`", Path("docs/json.md").read_text(encoding="utf-8")))
    assert keys(found) <= documented


def keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for inner in value.values() for key in keys(inner)}
    return {key for inner in value for key in keys(inner)} if isinstance(value, list) else set()


def test_two_pools_of_two_makers(capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["simulate", "Qwen/Qwen3-8B", "--prefill", "ascend-910b2", "--decode", "h20", "--requests-per-s", "3"]
    assert run([*ask, "--isl", "2048", "--osl", "32", "--requests", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["prefill"]["chip"], found["deployment"]["chip"]) == ("ascend-910b2", "h20")
    assert found["kv_transfers"] == 100
    assert found["pool"]["prefilled_tokens"] == 0 < found["prefill_pool"]["prefilled_tokens"]


def test_too_much_ends_with_what_could_be_carried(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ON, "--requests-per-s", "80", "--isl", "1024", "--osl", "256", "--requests", "3000"]) == 2
    told = capsys.readouterr()
    assert re.search(r"saturated: \d\d\.?\d* requests/s arrive, \d\d\.?\d* can be carried; use more chips", told.err)
    assert "mean" not in told.out


def test_a_trace_with_what_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.csv"
    path.write_text("arrival_s,input_tokens,output_tokens\n0,100,10\n5,100000,10\n6,10,10\n")
    assert run([*ON, "--trace", str(path)]) == 0
    told = capsys.readouterr().out
    assert "own.csv (own): 3 requests" in told
    assert re.search(r"refused +1: longer than the model's context", told)
    path.write_text("arrival_s,input_tokens,output_tokens\n5,100000,10\n")
    assert run([*ON, "--trace", str(path)]) == 2
    assert capsys.readouterr().err == "windtunnel: every request was refused: longer than the model's context\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "say how they come with one of --requests-per-s, --concurrency, --trace; none is given"),
        (["--requests-per-s", "3", "--concurrency", "3"], "not --requests-per-s and --concurrency"),
        (["--requests-per-s", "3"], "--isl: is missing"),
        (["--requests-per-s", "3", "--isl", "5k", "--osl", "5"], "--isl: '5k' is no number of tokens; write 1024"),
        (["--requests-per-s", "3", "--isl", "50000", "--osl", "5"], "more than the 40,960 of Qwen/Qwen3-8B's context"),
        (["--requests-per-s", "0", "--isl", "5", "--osl", "5"], "it must be above 0"),
        (["--requests-per-s", "3", "--isl", "5", "--osl", "5", "--router", "round-robbin"], "nearest: round-robin"),
        (["--requests-per-s", "3", "--isl", "500", "--osl", "5", "--kv-tokens", "99"], "larger than the whole KV cache"),
        (["--requests-per-s", "3", "--isl", "5", "--osl", "5", "--prefix-tokens", "9"], "more than the input"),
        (["--requests-per-s", "3", "--isl", "5", "--osl", "5", "--requests", "9", "--duration", "9s"], "give one of them"),
        (
            ["--concurrency", "3", "--isl", "5", "--osl", "5", "--burstiness", "2"],
            "--burstiness: changes nothing without --requests",
        ),
        (["--requests-per-s", "3", "--isl", "5", "--osl", "5", "--prefixes", "2"], "changes nothing without --prefix-tokens"),
        (["--requests-per-s", "3", "--isl", "5", "--osl", "5", "--kv-link", "9"], "--kv-link: changes nothing without --prefill"),
        (["--requests-per-s", "3", "--isl", "5", "--osl", "5", "--prefill-tp", "2"], "changes nothing without --prefill"),
        (["--requests-per-s", "3", "--isl", "5", "--osl", "5", "--repair", "9s"], "--repair: changes nothing without --mtbf"),
        (["--requests-per-s", "3", "--isl", "5", "--osl", "5", "--replicas", "0"], "--replicas: 0 instances; it must be from 1"),
        (["--requests-per-s", "3", "--isl", "5", "--osl", "5", "--prefill", "h20"], "--on CHIP:N, or --prefill CHIP:N with"),
        (["--requests-per-s", "3", "--isl", "5", "--osl", "5", "--mtp-accept", "0.5"], "no multi-token-prediction layer"),
        (["--trace", "nowhere.csv"], "--trace: there is no file nowhere.csv"),
        (["--trace", "nowhere.csv", "--isl", "5"], "the trace says how long its requests are"),
    ],
)
def test_bad_input_is_one_line(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ON, *words]) == 2
    told = capsys.readouterr()
    assert says in told.err
    assert told.err.startswith("windtunnel: ")
    assert told.err.count("\n") == 1


def test_an_interrupt_prints_what_is_known(tmp_path: Path) -> None:
    ask = [*ON, "--requests-per-s", "30", "--isl", "500", "--osl", "100", "--requests", "900000000"]
    with subprocess.Popen([sys.executable, "-m", "windtunnel", *ask], stdout=subprocess.PIPE, text=True) as running:
        time.sleep(2.0)
        running.send_signal(signal.SIGINT)
        told, _ = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "stopped before its end" in told
    assert "time to first token" in told
