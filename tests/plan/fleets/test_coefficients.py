"""What a workload takes of a chip: searched once, kept by content, and pairs of chips only where they pay."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from windtunnel.plan.fleets import cache, coefficients
from windtunnel.plan.fleets.file import read_fleet
from windtunnel.plan.fleets.inference import PAYS, Search
from windtunnel.plan.fleets.runs import run_on
from windtunnel.plan.fleets.spec import FleetSpec, InferenceSpec, TrainingSpec
from windtunnel.plan.fleets.ways import Found, FoundPart, FoundRun, FoundWay, as_plain, from_plain

FILE = """
[fleet]
start = "2026-Q1"
quarters = 2
[[chip]]
chip = "h20"
[[chip]]
chip = "ascend-910b2"
[[workload]]
name = "chat"
kind = "inference"
model = "Qwen/Qwen3-8B"
isl = 512
osl = 64
tpot = "50ms"
requests_per_s = [5, 20]
[[workload]]
name = "run"
kind = "training"
model = "Qwen/Qwen3-8B"
tokens = 1e11
deadline = "2026-Q2"
chips = ["h20"]
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))


@pytest.fixture
def spec(tmp_path: Path) -> FleetSpec:
    (tmp_path / "fleet.toml").write_text(FILE, encoding="utf-8")
    return read_fleet(tmp_path / "fleet.toml")


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is searched for, without the search."""
    asked: list[str] = []

    def alone(self: Search, on: str) -> Found:
        asked.append(f"{self.spec.name} on {on}")
        return Found((FoundWay((FoundPart(on, 1, 10.0, "both", "TP1"),), 0.1, 0.02, "datasheet"),))

    def run(workload: TrainingSpec, on: str, days: float) -> Found:
        asked.append(f"{workload.name} on {on} in {days:g} days")
        return Found(runs=(FoundRun(on, 8, 1e5, 64, 0.4, 0.97, "DP8", "fitted"),))

    monkeypatch.setattr(Search, "alone", alone)
    monkeypatch.setattr(coefficients, "run_on", run)
    return asked


def test_each_pair_is_searched_once_and_kept(spec: FleetSpec, searched: list[str]) -> None:
    first = coefficients.coefficients(spec)
    assert searched == ["chat on h20", "chat on ascend-910b2", "run on h20 in 181 days"]
    again = coefficients.coefficients(spec)
    assert len(searched) == 3
    assert again == first
    coefficients.coefficients(spec, fresh=True)
    assert len(searched) == 6


def test_only_what_changes_is_searched_anew(spec: FleetSpec, searched: list[str]) -> None:
    coefficients.coefficients(spec)
    searched.clear()
    chat = spec.inference[0]
    # a name, a penalty, a weight and what lies between the quietest and the busiest quarter change nothing
    coefficients.coefficients(replace(spec, inference=(replace(chat, name="talk", penalty_usd=1.0, weight=3.0),)))
    assert searched == []
    coefficients.coefficients(replace(spec, inference=(replace(chat, tpot_s=0.04, chips=("h20",)),)))
    assert searched == ["chat on h20"]


def test_progress_counts_workloads(spec: FleetSpec, searched: list[str]) -> None:
    told: list[tuple[int, int]] = []
    coefficients.coefficients(spec, progress=lambda done, of: told.append((done, of)))
    assert told == [(0, 2), (1, 2), (2, 2)]
    told.clear()
    coefficients.coefficients(spec, progress=lambda done, of: told.append((done, of)))
    assert told == [(2, 2)]


def test_what_is_kept_and_cannot_be_read_is_searched_anew(spec: FleetSpec, searched: list[str]) -> None:
    coefficients.coefficients(spec)
    for file in cache.folder().iterdir():
        file.write_text('{"ways": 3}', encoding="utf-8")
    coefficients.coefficients(spec)
    assert len(searched) == 6


def test_a_folder_that_cannot_be_written_to_keeps_nothing(
    spec: FleetSpec, searched: list[str], monkeypatch: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "file"))
    assert coefficients.coefficients(spec)["chat"].ways
    assert cache.kept("x") is None


def test_what_is_found_survives_json() -> None:
    found = Found(
        (
            FoundWay(
                (FoundPart("a", 8, 1.5, "prefill", "TP8"), FoundPart("b", 4, 2.5, "decode", "TP4")), 0.5, 0.02, "fitted", 0.01
            ),
        ),
        (FoundRun("a", 16, 1e5, 128, 0.4, 0.9, "TP8 DP8", "datasheet"),),
        {"c": "too small"},
        ("a note",),
    )
    assert from_plain(json.loads(json.dumps(as_plain(found)))) == found
    assert found.ways[0].label == "a x8 prefill + b x4 decode"


def chat(**changes: Any) -> InferenceSpec:
    plain = InferenceSpec(
        "chat", "Qwen/Qwen3-8B", isl=2048, osl=128, ttft_s=2.0, tpot_s=0.04, requests_per_s=(30.0,), split="any chip"
    )
    return replace(plain, **changes)


def test_the_search_of_one_chip() -> None:
    found = Search(chat(split="never")).alone("h20")
    (way,) = found.ways
    (part,) = way.parts
    assert (part.on, part.role) == ("h20", "both")
    assert way.ttft_s <= 2.0
    assert way.tpot_s <= 0.04
    # as many whole instances as carry the traffic, none too many by far
    assert 30.0 / part.rate == pytest.approx(round(30.0 / part.rate))
    assert part.deployed.endswith("BF16, vLLM")


def test_a_chip_that_will_not_do_says_why() -> None:
    assert "not known: matrix_flops_per_s.bf16" in Search(chat()).alone("biren-br106").refused["biren-br106"]
    assert "TPOT" in Search(chat(tpot_s=1e-4)).alone("h20").refused["h20"]


def test_pairs_are_those_that_take_less_than_any_mixture() -> None:
    search = Search(chat())
    alone = {on: search.alone(on) for on in ("h20", "l40s")}
    found = search.pairs(alone)
    assert all({part.role for part in way.parts} == {"prefill", "decode"} for way in found.ways)
    # the L40S computes as much as the H20 for less bandwidth: it prefills, if at all
    assert all(way.parts[0].on == "l40s" for way in found.ways)
    for way in found.ways:
        taken = 0.0
        for part in way.parts:
            whole = alone[part.on].ways[0]
            taken += part.chips * round(30.0 / part.rate) / sum(p.chips * round(30.0 / p.rate) for p in whole.parts)
        assert taken <= 1.0 - PAYS + 1e-9


def test_a_run_in_replicas() -> None:
    asked = TrainingSpec("run", "Qwen/Qwen3-8B", tokens=2e11, first=0, deadline=0, sequence=4096)
    (run,) = run_on(asked, "h100-sxm", 60.0).runs
    assert run.chips % run.unit == 0
    replicas = run.chips // run.unit
    assert run.tokens_per_s * replicas * 60.0 * 86_400.0 >= 2e11 * (1 - 1e-9)
    assert 0.2 < run.mfu < 0.7
    refused = run_on(replace(asked, most_chips=1), "h100-sxm", 60.0).refused
    assert refused["h100-sxm"]
