"""The law of the house, read from the imports: data flows one way, and each outside package has its place."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import windtunnel

ROOT = Path(windtunnel.__file__).parent
GROUND = {"errors", "units"}
BELOW_RUN = {"catalog", "workload", "cost"}

LAW: dict[str, set[str]] = {
    "errors": set(),
    "units": {"errors"},
    "catalog": set(),
    "rules": {"catalog"},
    "workload": {"catalog"},
    "cost": {"catalog", "workload"},
    "run": BELOW_RUN,
    "sim": BELOW_RUN,
    "fit": BELOW_RUN | {"run", "sim"},
    "plan": BELOW_RUN | {"rules", "run", "sim"},
    "serve": BELOW_RUN | {"run", "sim"},
    "sweep": BELOW_RUN | {"run", "sim", "fit", "plan"},
    "port": {"catalog", "run"},
    "claims": BELOW_RUN | {"rules", "sim", "plan"},
    "web": BELOW_RUN | {"rules", "run", "sim", "fit", "plan", "serve"},
    "cli": BELOW_RUN | {"rules", "run", "sim", "fit", "plan", "serve", "port", "claims", "sweep", "web"},
}
"""Part -> the parts it may import, besides itself and the ground floor. `cli` may ask `web` for the report that it writes."""

OUTSIDE: dict[str, set[str]] = {
    "cli": {"click", "rich"},
    "fit": {"numpy", "scipy"},
    "plan/deploy": {"yaml"},
    "plan/fleets/milp": {"numpy", "scipy"},
    "port": {"libcst"},
    "run": {"torch"},
    "serve": {"aiohttp", "prometheus_client"},
    "serve/fleet": {"uvloop", "yarl"},
    "serve/engine/transformers": {"tokenizers", "torch", "transformers"},
    "sweep": {"pyarrow", "ray"},
    "workload/program": {"torch"},
}
"""Folder -> the packages from outside that it may import; whoever is not listed needs the standard library alone."""

DOORS = {"__init__", "__main__"}
"""The package's own front: they name everything (for type checkers) or call the terminal's face."""


@dataclass(frozen=True)
class Import:
    file: Path
    line: int
    name: str

    @property
    def place(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}"


def imports_of(file: Path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import hides which part it reaches"
            if node.module == "windtunnel":
                for alias in node.names:
                    yield Import(file, node.lineno, f"windtunnel.{alias.name}")
            elif node.module:
                yield Import(file, node.lineno, node.module)


def part_of(file: Path) -> str:
    first = file.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


FILES = sorted(ROOT.rglob("*.py"))
ALL = [found for file in FILES for found in imports_of(file)]
INSIDE = [i for i in ALL if i.name.split(".")[0] == "windtunnel" and part_of(i.file) not in DOORS]
FOREIGN = [i for i in ALL if i.name.split(".")[0] not in {"windtunnel", "__future__", *sys.stdlib_module_names}]


def test_every_part_has_its_place_in_the_law() -> None:
    assert {part_of(file) for file in FILES} - DOORS <= set(LAW)


@pytest.mark.parametrize("found", INSIDE, ids=lambda i: f"{i.place}->{i.name}")
def test_data_flows_one_way(found: Import) -> None:
    part = part_of(found.file)
    target = found.name.split(".")[1] if "." in found.name else ""
    if not target or target.startswith("__"):
        return  # the package itself: its version
    assert target in {part} | GROUND | LAW[part], f"{found.place}: {part} may not import {target}"


def test_nobody_imports_the_faces() -> None:
    reached = {(part_of(i.file), i.name.split(".")[1]) for i in INSIDE if "." in i.name}
    assert {user for user, target in reached if target == "cli"} <= {"cli"}
    assert {user for user, target in reached if target == "web"} <= {"web", "cli"}


@pytest.mark.parametrize("found", FOREIGN, ids=lambda i: f"{i.place}->{i.name}")
def test_each_outside_package_has_its_place(found: Import) -> None:
    folder = found.file.relative_to(ROOT).parent.as_posix()
    package = found.name.split(".")[0]
    allowed = {name for place, names in OUTSIDE.items() if folder == place or folder.startswith(f"{place}/") for name in names}
    assert package in allowed, f"{found.place}: {package} is not for {folder}"


def test_the_law_has_no_circle() -> None:
    done: set[str] = set()
    left = dict(LAW)
    while left:
        ready = [part for part, needs in left.items() if needs <= done | GROUND]
        assert ready, f"a circle among {sorted(left)}"
        done.update(ready)
        for part in ready:
            del left[part]
