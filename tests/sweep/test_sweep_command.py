"""``windtunnel sweep`` as a user runs it: the table, going on after a kill, one line for each mistake."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import windtunnel
from windtunnel.cli.main import run
from windtunnel.cli.sweep_progress import line, span
from windtunnel.sweep.columns import COLUMNS
from windtunnel.sweep.run import Progress

pq = pytest.importorskip("pyarrow.parquet")

BASE = '[base]\nmodel = "Qwen/Qwen3-8B"\nrequests = 60\nisl = 500\nosl = 40\n'
SMALL = f"""{BASE}ttft = "1s"
[grid]
on = ["h20", "h100-sxm"]
requests-per-s = [2, 4]
[[case]]
on = "rtx-4090"
concurrency = 4
[[case]]
on = "h20"
concurrency = 8
tp = 5
[[case]]
on = "h20"
"""


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "s.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def swept(file: Path, *options: str) -> list[dict[str, Any]]:
    assert run(["sweep", str(file), *options]) == 0
    return rows(file.with_suffix(".parquet"))


def test_one_row_a_point_each_the_simulation_that_its_command_gives(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = swept(file, "--jobs", "2")
    said = capsys.readouterr()
    assert said.err == "7 points: 2 on x 2 requests-per-s + 3 cases; 7 to run in 2 processes\n"
    assert "Best by requests/s within the targets" in said.out
    assert "duckdb.sql(" in said.out
    assert list(found[0]) == [name for name, _ in COLUMNS]
    assert [row["point"] for row in found] == list(range(1, 8))
    assert [row["outcome"] for row in found] == ["simulated"] * 5 + ["refused"] * 2
    assert [(row["on"], row["requests_per_s"], row["concurrency"]) for row in found][:5] == [
        ("h20", 2.0, None), ("h20", 4.0, None), ("h100-sxm", 2.0, None), ("h100-sxm", 4.0, None), ("rtx-4090", None, 4),
    ]  # fmt: skip
    assert found[5]["reason"].startswith("tp: 5 does not divide 32 query and 8 key-value heads")
    assert found[6]["reason"].startswith("requests: say how they come")
    for row in (found[1], found[4]):
        words = row["command"].split()
        assert run([*words[1:], "--json"]) == 0
        alone = json.loads(capsys.readouterr().out)
        assert row["ttft_mean_s"] == alone["ttft_s"]["mean"]
        assert [row[f"e2e_{q}_s"] for q in ("p50", "p90", "p99")] == [q["value"] for q in alone["e2e_s"]["quantiles"]]
        assert [row[f"tpot_{q}_samples_beyond"] for q in ("p50", "p90", "p99")] == [
            q["beyond"] for q in alone["tpot_s"]["quantiles"]
        ]
        assert row["goodput_requests_per_s"] == alone["goodput_requests_per_s"]
        assert row["within_targets"] == alone["within_targets"]
        assert (row["ttft_samples"], row["answered"], row["chips"]) == (60, 60, alone["chips"])
        assert row["pool_busy_share"] == alone["pool"]["busy"]
    row = found[1]
    assert row["usd_per_mtok"] == pytest.approx(row["usd_per_hour"] / 3600.0 / row["output_tokens_per_s"] * 1e6)
    good = row["within_targets"] / row["answered"]
    assert row["usd_per_mtok_within_targets"] == pytest.approx(row["usd_per_mtok"] / good)
    assert (found[4]["usd_per_hour"], found[4]["usd_per_mtok"]) == (None, None)  # nobody published a price
    assert row["chips_tdp_kw"] == 0.4


def test_the_rows_are_the_same_whatever_the_number_of_processes(file: Path, tmp_path: Path) -> None:
    one = swept(file, "--jobs", "1")
    assert run(["sweep", str(file), "--jobs", "3", "--out", str(tmp_path / "three.parquet")]) == 0
    assert rows(tmp_path / "three.parquet") == one


def test_only_what_changed_is_run(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = swept(file)
    capsys.readouterr()
    file.write_text(SMALL.replace("[2, 4]", "[4, 3]"), encoding="utf-8")
    after = swept(file)
    assert capsys.readouterr().err.startswith(
        "7 points: 2 on x 2 requests-per-s + 3 cases, 5 done before; 2 to run in 2 processes"
    )
    assert [row["requests_per_s"] for row in after][:4] == [4.0, 3.0, 4.0, 3.0]
    assert after[0] == before[1] | {"point": 1}


def test_prices_are_applied_when_the_table_is_written(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swept(file)
    capsys.readouterr()
    item = 'item = ["h20"]\nbasis = "rent"\nvalue = 7.5\nunit = "USD/h"\nkind = "vendor"\nsource = "an offer"\ndate = "2026-10"'
    (tmp_path / "p.toml").write_text(f"[[prices]]\n{item}\n", encoding="utf-8")
    found = swept(file, "--prices", str(tmp_path / "p.toml"))
    assert "; 0 to run\n" in capsys.readouterr().err
    assert (found[0]["usd_per_hour"], found[0]["price_basis"]) == (7.5, "your rent, 2026-10")


def test_a_saturated_point_has_no_times_but_what_can_be_carried(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(f'{BASE.replace("= 60", "= 3000")}on = "h20"\nrequests-per-s = 500\nmax-running = 4\n', encoding="utf-8")
    (row,) = swept(file)
    assert (row["outcome"], row["saturated"]) == ("saturated", True)
    assert row["reason"].endswith("can be carried")
    assert row["carried_requests_per_s"] < row["offered_requests_per_s"]
    assert [row[name] for name in ("ttft_p50_s", "e2e_mean_s", "goodput_requests_per_s", "usd_per_mtok")] == [None] * 4
    assert row["usd_per_hour"] > 0.0


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "windtunnel", "sweep", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(windtunnel.__file__).parents[1])}


@pytest.mark.parametrize(("how", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)], ids=["kill", "ctrl-c"])
def test_what_was_stopped_goes_on_where_it_was(how: signal.Signals, status: int, tmp_path: Path) -> None:
    file, out = tmp_path / "s.toml", tmp_path / "s.parquet"
    file.write_text(
        f'{BASE.replace("= 60", "= 2000")}on = "h20"\n[grid]\nconcurrency = {list(range(50, 62))}\n', encoding="utf-8"
    )
    journal = tmp_path / "s.parquet.journal"
    with subprocess.Popen(
        command(str(file), "--jobs", "2"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as first:
        end = time.monotonic() + 60.0
        while (not journal.exists() or journal.read_bytes().count(b"\n") < 2) and time.monotonic() < end:
            time.sleep(0.02)
        first.send_signal(how)
        _, told = first.communicate(timeout=30)
    done = journal.read_bytes().count(b"\n")
    assert first.returncode == status
    assert 2 <= done < 12
    assert out.exists() == ("the same command goes on with the rest" in told) == (how is signal.SIGINT)
    if out.exists():
        assert len(rows(out)) == done
    again = subprocess.run(command(str(file), "--jobs", "2"), env=environment(), capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    assert f", {done} done before; {12 - done} to run" in again.stderr
    assert [row["concurrency"] for row in rows(out)] == list(range(50, 62))
    assert journal.read_bytes().count(b"\n") == 12


def test_a_dry_run_says_what_would_be_run_and_runs_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", str(file), "--dry-run"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "7 points: 2 on x 2 requests-per-s + 3 cases"
    assert said[1].split() == ["windtunnel", "simulate", "--isl=500", "--on=h20", "--osl=40", "--requests=60",
                               "--requests-per-s=2", "--ttft=1s", "Qwen/Qwen3-8B"]  # fmt: skip
    assert said[4] == "  and 4 more"
    assert [path.name for path in file.parent.iterdir()] == ["s.toml"]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (f'{BASE}tp = "x"', [], "s.toml, [base]: --tp: 'x' is not a whole number of ways"),
        (f"{BASE}[grid]\nttft = [\"1s\", \"never\"]", [], "s.toml, [grid]: --ttft: 'never' is not a time"),
        (f"{BASE}seed = 1.5", [], "s.toml, [base]: --seed: '1.5' is not a valid integer"),
        (f"{BASE}[[case]]\nreplicas = 0", [], "s.toml, [[case]]: --replicas: 0 instances; it must be from 1"),
        ('[base]\non = "h20"', [], "s.toml: point 1 has no model; set it in [base]"),
        (f'{BASE}trace = "none.csv"', [], "trace: there is no file "),
        (f"{BASE}[grid]\nseed = {list(range(10_001))}", [], "s.toml: 10001 seed = 10,001 points; add --yes to run more"),
        (f'{BASE}on = "h2000"\nconcurrency = 1', [], "s.toml, [base]: unknown chip or system 'h2000'; nearest: h200"),
        ('[base]\nmodel = "Qwen/Qwen3-8"', [], "s.toml, [base]: unknown model 'Qwen/Qwen3-8'; nearest: "),
        (f'{BASE}on = "rtx-4090"\nconcurrency = 1\nprecision = "bf16"\ntp = 3', [], "no point can be simulated: tp: 3 does"),
        (f'{BASE}on = "h20"', ["--best", "goodput"], "--best: goodput counts what meets targets; set ttft or tpot in [base]"),
        (f'{BASE}on = "h20"', ["--out", "."], "--out: . is a folder; name a file in it"),
        (f'{BASE}on = "h20"', ["--prices", "s.toml"], ""),
        (f'{BASE}on = "h20"', ["--jobs", "0"], "--jobs: 0 processes; it must be from 1"),
        (f'{BASE}on = "h20"', ["--prices", "none.toml"], "--prices: there is no file none.toml"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line(
    text: str, options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    options = [str(tmp_path / "s.toml") if option == "s.toml" else option for option in options]
    assert run(["sweep", str(tmp_path / "s.toml"), *options]) == 2
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith(f"windtunnel: {said}")
    assert said.startswith("no point") or [path.name for path in tmp_path.iterdir()] == ["s.toml"]


def test_the_table_is_not_written_over_the_question(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", str(file), "--out", str(file)]) == 2
    assert "is the sweep's own file" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == SMALL


def test_progress_in_a_line() -> None:
    progress = Progress(1000, done=400, outcomes={"simulated": 397, "refused": 3})
    progress.began_s = time.monotonic() - 50.0
    assert line(progress) == "40 %  400 of 1,000 points, 3 refused, 8/s, 1 min 15 s left"
    assert line(Progress(10)) == "0 %  0 of 10 points"
    assert [span(s) for s in (0.4, 59.4, 60, 7199, 7261)] == ["0 s", "59 s", "1 min 0 s", "1 h 59 min", "2 h 1 min"]


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_line_says_what_to_install(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", str(file), "--ray", "local"]) == 2
    assert capsys.readouterr().err == "windtunnel: --ray needs Ray; install it with: pip install 'windtunnel[ray]'\n"


def test_a_local_ray_gives_the_same_rows(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    here = swept(file, "--jobs", "1")
    assert run(["sweep", str(file), "--jobs", "2", "--ray", "local", "--out", str(tmp_path / "ray.parquet")]) == 0
    assert rows(tmp_path / "ray.parquet") == here


def test_a_ray_worker_that_dies_costs_its_own_point(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from tests.sweep import answers
    from tests.sweep.test_run import points
    from windtunnel.sweep.cluster import cluster

    asked = points(range(6), tmp_path)
    got = [one for some in cluster(asked, answers.deadly, "local", 2) for one in some]
    assert {point.args[0]: row and row["answered"] for point, row in got} == {
        "0": 0, "1": 1, "2": 4, "3": None, "4": 16, "5": 25,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("auto", "no cluster at auto: "),
        ("127.0.0.1:1", "no cluster at 127.0.0.1:1: "),
        ("here", "'here' is no address; write host:6379, ray://host:10001, auto or local"),
        ("127.0.0.1:x", "'127.0.0.1:x' has no port; write host:6379"),
    ],
)
def test_a_cluster_that_is_not_there(address: str, said: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray")
    assert run(["sweep", str(file), "--ray", address]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"windtunnel: --ray: {said}")
