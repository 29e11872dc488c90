"""What is installed: two small dependencies, and every file of the package, data and pages included."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import windtunnel

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_core_needs_two_small_packages() -> None:
    assert {re.split(r"[<>=]", need)[0] for need in PROJECT["dependencies"]} == {"click", "rich"}


def test_the_extras() -> None:
    assert {"fit", "flops", "test", "dev"} <= set(PROJECT["optional-dependencies"])


def test_the_wheel_carries_every_file_and_is_small(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"windtunnel-{windtunnel.__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < 10_000_000
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
    package = ROOT / "src" / "windtunnel"
    files = {f for f in package.rglob("*") if f.is_file() and "__pycache__" not in f.parts and not f.name.startswith(".")}
    missing = {f.relative_to(package.parent).as_posix() for f in files} - names
    assert not missing
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_changelog_and_the_licence_are_there() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
