"""A fleet as JSON: every key is documented, and every documented key is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plan.fleets.test_fleet_command import FILE, FOUND
from windtunnel.catalog.store import parse_toml
from windtunnel.cli.as_json import dumps
from windtunnel.cli.fleet_json import fleet_json
from windtunnel.plan.fleets import fleet as fleets
from windtunnel.plan.fleets.result import FleetPlan

PAGE = Path(__file__).parents[3] / "docs" / "json.md"
NAMED = ("supply", "other_scenarios_usd", "not_served_share", "not_trained_share")
"""What is named there is a chip, a scenario or a workload."""
KINDS = {"supply", "rules", "power", "space", "capex", "capex-quarter", "opex-quarter", "demand", "deadline"}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[FleetPlan]:
    """One that can be had, one that serves what it can, and one whose limits conflict."""
    monkeypatch.setattr(fleets, "coefficients", lambda spec, **options: FOUND)
    little = FILE.replace("power_mw = 0.2", "power_mw = 0.03")
    texts = [FILE, little.replace('name = "Two chips"', 'objective = "served"'), little]
    return [fleets.fleet(parse_toml(text, "fleet.toml")) for text in texts]


def keys(value: object) -> Iterator[str]:
    """Every key, but not those that are names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key == "why_not":
                yield from inner
            elif key == "supply":
                yield from (key for quarters in inner.values() for quarter in quarters for key in quarter)
            elif key not in NAMED:
                yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def test_every_key_is_documented_and_every_documented_key_is_there(made: list[FleetPlan]) -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## windtunnel fleet\n")[2].partition("\n## ")[0]
    there = {key for each in made for key in keys(fleet_json(each))}
    assert there <= set(re.findall(r"`(\w+)`", section))
    told = set(re.findall(r"^\| (.*?) \|", section, re.M))
    assert {key for cell in told for key in re.findall(r"`(\w+)`", cell)} <= there


def test_it_reads_back_and_says_in_each_case_what_there_is(made: list[FleetPlan]) -> None:
    had, served, none = (
        json.loads(dumps(fleet_json(each)), parse_constant=lambda name: pytest.fail(f"{name} is not JSON")) for each in made
    )
    assert [each["feasible"] for each in (had, served, none)] == [True, True, False]
    assert set(had) - set(none) == {
        "objective_usd", "paid_usd", "credit_usd", "bound", "gap", "proven", "whole_instances", "whole_instances_usd", "cpu_s",
        "bought", "serving", "training", "costs", "stock", "not_served_share", "not_trained_share",
    }  # fmt: skip
    assert served["not_served_share"]["chat"]
    assert len(none["conflict"]["limits"]) >= len(none["conflict"]["told"]) > 1
    documented = set(re.findall(r"`([a-z-]+)`", PAGE.read_text(encoding="utf-8").partition("The kinds:")[2].partition(".")[0]))
    assert documented == KINDS
    assert {limit["limit"] for limit in (*had["binding"], *none["conflict"]["limits"])} <= KINDS
