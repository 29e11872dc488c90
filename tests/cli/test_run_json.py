"""A run as JSON: keys that stay and are documented, a text that reads back as what was written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run import reports
from windtunnel.cli.as_json import dumps
from windtunnel.cli.run_json import run_json, runs_json
from windtunnel.run.record import RunReport

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
KEYS = [
    "program", "chip", "device", "ranks", "status", "verdict", "exit_status", "failure", "step_kind", "step_s", "steps",
    "busy_share", "mfu", "dtype", "peak_flops_per_s", "flops_per_step", "bound", "by_bound", "by_operator", "by_module",
    "by_line", "memory", "support", "support_source", "stand_ins", "operators", "settings", "measured", "served", "notes",
]  # fmt: skip
MADE = [reports.training(), reports.inference(), reports.out_of_memory(), reports.measured(), reports.served()]


def keys(value: object) -> Iterator[str]:
    """Every key, but not those that are names: of settings, or of chips that were refused."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in ("settings", "refused"):
                yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


@pytest.mark.parametrize("made", MADE, ids=lambda r: r.chip)
def test_it_reads_back_as_what_was_written(made: RunReport) -> None:
    found = run_json(made)
    assert list(found) == KEYS
    assert json.loads(dumps(found), parse_constant=lambda name: pytest.fail(f"{name} is not JSON")) == found


def test_every_key_is_documented_and_every_documented_key_is_there() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## windtunnel run\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(\w+)`", section)) | {"value", "low", "high"}
    there = {key for made in MADE for key in keys(run_json(made))} | set(keys(runs_json(MADE, {"x": "no bandwidth"})))
    assert there <= documented
    told = set(re.findall(r"^\| (.*?) \|", section, re.M))
    assert {key for cell in told for key in re.findall(r"`(\w+)`", cell)} <= there


def test_one_chip_is_an_object_and_several_are_a_list() -> None:
    assert runs_json(MADE[:1])["chip"] == "ascend-910b2"
    several = runs_json(MADE[:2], {"br106": "not known: memory_bytes_per_s of br106"})
    assert [run["chip"] for run in several["runs"]] == ["ascend-910b2", "h100-sxm"]
    assert several["refused"] == {"br106": "not known: memory_bytes_per_s of br106"}
    assert list(runs_json(MADE[:1], {"br106": "why"})) == ["runs", "refused"]


def test_what_is_not_known_is_null() -> None:
    found = run_json(reports.out_of_memory())
    assert [found[key] for key in ("step_s", "mfu", "flops_per_step", "bound", "measured")] == [None] * 5
    assert found["failure"]["site"]["line"] == 35
    assert found["exit_status"] == 1


def test_a_line_names_its_place() -> None:
    longest = run_json(reports.training())["by_line"][0]
    assert longest["site"] == {"file": reports.PROGRAM, "line": 23, "function": None}
