"""The report of a simulation: it answers first, gives no averages of a saturated run, and nothing in a name becomes markup."""

from __future__ import annotations

import datetime
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.web import simulations
from tests.web.simulations import MADE, Simulated
from tests.web.test_report import Elements, seen
from windtunnel.cli.main import run
from windtunnel.errors import InvalidInputError
from windtunnel.sim.serving.quantiles import Quantiles
from windtunnel.web.simulate_answer import phases_finding, runner, time_finding
from windtunnel.web.simulate_data import page_data, rates, share_text, share_within, thinned
from windtunnel.web.simulate_report import render_simulation, write_simulation_report

DAY = datetime.date(2026, 11, 22)
SPACE = "\N{NO-BREAK SPACE}"


def text_of(made: Simulated) -> str:
    return seen(render_simulation(*made, date=DAY)).replace(SPACE, " ")


def test_a_load_that_is_carried_is_answered_with_goodput_and_quantiles() -> None:
    asked, result = simulations.carried()
    text = text_of((asked, result))
    share = result.good / result.answered
    assert 0.0 < share < 1.0
    assert f"{100 * share:.1f} % of the requests meet both targets: goodput is {result.goodput_per_s:.3g}" in text
    assert "6 requests/s at random, 1,024 tokens in, 64 out" in text
    assert "2 instances of 1 × h20" in text
    for metric in ("Time to first token", "Time per output token", "End to end"):
        assert metric in text
    p99 = result.ttft.at(0.99)
    assert f"{1e3 * p99:.3g} ms" in text
    assert "2026-11-22" in text
    assert "windtunnel simulate Qwen/Qwen3-8B --on h20" in text


def test_a_saturated_run_gives_the_rate_that_could_be_carried_and_no_average() -> None:
    asked, result = simulations.saturated()
    assert result.saturated
    text = text_of((asked, result))
    carried = result.carried_requests_per_s
    assert carried is not None
    assert re.search(rf"Saturated: [\d.]+ requests/s arrive, about {carried:.3g} can be carried\.", text), text
    assert "p99" not in text
    assert "Goodput" not in text
    data = page_data(asked, result)
    assert data["curves"] == data["phases"] == []
    assert data["carried_per_s"] == carried
    assert "The queue grows" in text


def test_failures_and_pools_are_told() -> None:
    asked, result = simulations.failing()
    text = text_of((asked, result))
    assert "one in 30 s of an instance, down for 5 s" in text
    assert f"{result.restarted:,} times a request started again" in text
    assert "down at once" in time_finding(result)
    text = text_of(simulations.apart())
    assert "for prefill and 2 × h20 for decode" in text
    assert "KV caches moved" in text


def test_without_targets_the_answer_is_what_users_wait() -> None:
    asked, result = simulations.closed()
    text = text_of((asked, result))
    assert re.search(
        r"First token within [\d.]+ m?s for half of the requests and [\d.]+ m?s for 99 % of them, then [\d.]+ ms a token", text
    )
    assert "Goodput" not in text
    assert "fewer than 10 samples lie beyond it" in text  # 60 requests do not carry a p99
    assert "8 requests in flight" in text


def test_what_was_stopped_says_so() -> None:
    asked, result = simulations.stopped()
    text = text_of((asked, result))
    assert "Stopped before any request was answered." in text
    _, whole = simulations.carried()
    said = runner(asked, replace(whole, partial=True, in_flight=7))
    assert said.startswith("Stopped before its end: 7 requests had no answer yet")


def test_every_curve_ends_at_its_longest_and_keeps_its_quantiles() -> None:
    values = Quantiles()
    for i in range(100_000):
        values.add(math.exp(((i * 7919) % 100_003) / 20_000))
    points = thinned(values)
    assert len(points) <= 165
    assert points == sorted(points)
    assert points[0] == [values.smallest, 0.0]
    assert points[-1] == [values.largest, 1.0 - 0.5e-5]
    for q in (0.5, 0.9, 0.99, 0.999):
        near = min(points, key=lambda p: abs(p[1] - q))
        assert near[0] == pytest.approx(values.quantile(q), rel=0.15)


def test_shares_within_a_target_are_counted() -> None:
    values = Quantiles()
    for value in (1.0, 2.0, 3.0, 4.0):
        values.add(value)
    assert [share_within(values, x) for x in (0.5, 1.0, 2.5, 9.0)] == [0.0, 0.25, 0.5, 1.0]
    assert [share_text(x).replace(SPACE, " ") for x in (0.0, 0.983, 0.99996, 1.0)] == [
        "0 %",
        "98.3 %",
        "more than 99.9 %",
        "100 %",
    ]


def test_rates_over_time_count_every_request_once() -> None:
    for made in (simulations.carried, simulations.failing, simulations.saturated):
        _, result = made()
        found = rates(result.history)
        assert 20 <= len(found) <= 100
        assert [a[1] for a in found[:-1]] == [b[0] for b in found[1:]]
        arrived = sum((to - since) * come for since, to, come, _ in found)
        assert arrived == pytest.approx(result.arrived, rel=0.02)


def test_phases_name_what_takes_longest() -> None:
    _, result = simulations.carried()
    longest = max(result.phases.mean().items(), key=lambda item: item[1])[0]
    assert phases_finding(result).lower().startswith(longest)


@pytest.mark.parametrize("which", MADE)
def test_one_file_without_network(which: str, tmp_path: Path) -> None:
    path = tmp_path / "simulation.html"
    write_simulation_report(*MADE[which](), path, date=DAY)
    assert [p.name for p in tmp_path.iterdir()] == ["simulation.html"]
    assert path.stat().st_size < 1_000_000
    text = path.read_text("utf-8")
    assert not re.search(r">nan|nan (?:m?s|%)|Infinity", text.split('<script type="application/json"')[0])
    for tag, attrs in Elements(text).tags:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base")
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert not re.match(r"\s*(https?:|//|file:)", attrs.get(name) or ""), (tag, attrs)


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be written"):
        write_simulation_report(*simulations.carried(), tmp_path / "none" / "simulation.html")


def test_hostile_names_stay_text() -> None:
    text = render_simulation(*simulations.hostile(), date=DAY)
    found = Elements(text)
    assert "img" not in [tag for tag, _ in found.tags]
    assert [a for _, attrs in found.tags for a in attrs if a.startswith("on")] == []
    assert len([tag for tag, _ in found.tags if tag == "script"]) == 4
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert block is not None
    json.loads(block[1])
    assert not re.search(r"[<>&\u2028]", block[1])


def test_the_command_writes_it_and_says_how_to_ask_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a page.html"
    words = [
        "simulate",
        "Qwen/Qwen3-8B",
        "--on",
        "h20",
        "--requests-per-s",
        "2",
        "--isl",
        "512",
        "--osl",
        "16",
        "--requests",
        "200",
    ]
    assert run([*words, "--ttft", "1s", "--html", str(path)]) == 0
    assert f"wrote {path}" in capsys.readouterr().err
    assert f"windtunnel {' '.join(words)} --ttft 1s --html '{path}'" in seen(path.read_text("utf-8"))


def test_the_command_writes_it_for_a_saturated_load_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "simulation.html"
    words = [
        "simulate",
        "Qwen/Qwen3-8B",
        "--on",
        "h20",
        "--requests-per-s",
        "100",
        "--isl",
        "1024",
        "--osl",
        "64",
        "--requests",
        "2000",
    ]
    assert run([*words, "--html", str(path)]) == 2
    assert "Saturated" in path.read_text("utf-8")
    assert run([*words, "--html", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
