"""``windtunnel.fleet``: a file and its tables are one question, and what is neither is told."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import windtunnel
from tests.plan.fleets.test_file import CHIP, FLEET, MISTAKES, text
from tests.plan.fleets.test_fleet_command import FILE, FOUND
from windtunnel import FleetPlan, InvalidInputError, WindtunnelError
from windtunnel.plan.fleets import fleet as fleets
from windtunnel.plan.fleets.file import read_fleet


@pytest.fixture(autouse=True)
def _searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleets, "coefficients", lambda spec, **options: FOUND)


def test_a_file_and_its_tables_have_one_answer(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(FILE, encoding="utf-8")
    plans = [windtunnel.fleet(asked) for asked in (path, str(path), tomllib.loads(FILE))]
    assert all(isinstance(plan, FleetPlan) for plan in plans)
    assert plans[0].spec == plans[1].spec == plans[2].spec
    costs = [plan.solved.objective for plan in plans if plan.solved is not None]
    assert costs == pytest.approx([costs[0]] * 3)


def test_a_variant_is_another_value_in_the_tables() -> None:
    tables = tomllib.loads(FILE)
    tables["fleet"]["power_mw"] = 0.03
    plan = windtunnel.fleet(tables)
    assert plan.solved is None
    assert plan.conflict is not None
    assert any("0.03 MW" in told for told in plan.conflict.told)


def test_what_tables_leave_open_is_told_as_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(text(), encoding="utf-8")
    assert read_fleet(tomllib.loads(text())) == read_fleet(path)


def test_paths_in_tables_begin_where_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = tomllib.loads(f'[fleet]\n{FLEET}prices = "mine.toml"\n[[chip]]\n{CHIP}')
    with pytest.raises(InvalidInputError, match=r"mine\.toml: cannot be read"):
        windtunnel.fleet(asked)


@pytest.mark.parametrize("name", [name for name in MISTAKES if name != "not TOML"])
def test_every_mistake_in_tables_is_the_one_line_that_it_is_in_a_file(name: str) -> None:
    content, said = MISTAKES[name]
    with pytest.raises(WindtunnelError) as found:
        windtunnel.fleet(tomllib.loads(content))
    assert said in str(found.value)
    assert "fleet.toml" not in str(found.value)


@pytest.mark.parametrize("asked", [7, None, ["fleet.toml"]])
def test_what_is_neither_a_path_nor_tables(asked: Any) -> None:
    with pytest.raises(InvalidInputError, match="purchase: is a TOML file's path, or its tables, and no "):
        windtunnel.fleet(asked)
