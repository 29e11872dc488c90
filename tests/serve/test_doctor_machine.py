"""This machine's commands and files: whatever a tool does, it ends in time and breaks nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from windtunnel.serve.doctor.machine import MOST_BYTES, Ran, ThisMachine


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("MADE_UP_OWNER", str(os.getpid()))
    return tmp_path


def tool(folder: Path, script: str, mode: int = 0o755) -> ThisMachine:
    file = folder / "made-up-smi"
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(mode)
    return ThisMachine()


def test_a_tool_that_works(tools: Path) -> None:
    assert tool(tools, 'echo "0, $LC_ALL, $1"').run(["made-up-smi", "x"]) == Ran("ok", "0, C, x\n")


def test_a_tool_that_is_not_there() -> None:
    assert ThisMachine().run(["no-such-smi"]) == Ran("no tool")


def test_a_tool_that_fails_says_why(tools: Path) -> None:
    assert tool(tools, "echo no driver >&2; exit 9").run(["made-up-smi"]) == Ran("failed", "", "no driver")


def test_a_tool_that_is_no_program(tools: Path) -> None:
    (tools / "made-up-smi").write_bytes(b"\x7fELF not really")
    (tools / "made-up-smi").chmod(0o755)
    assert ThisMachine().run(["made-up-smi"]).outcome == "failed"


@pytest.mark.parametrize("script", ["sleep 30", "sleep 30 & echo started", "trap '' TERM; while :; do sleep 1; done"])
def test_a_tool_that_never_answers_is_ended(tools: Path, script: str) -> None:
    began = time.monotonic()
    assert tool(tools, script).run(["made-up-smi"], timeout_s=0.3).outcome == "timed out"
    assert time.monotonic() - began < 3


def test_a_tool_that_prints_for_ever_is_ended(tools: Path) -> None:
    ran = tool(tools, "while :; do echo 0123456789012345678901234567890123456789; done").run(["made-up-smi"], timeout_s=20)
    assert ran.outcome == "failed"
    assert len(ran.text) < MOST_BYTES + 100_000


def test_a_child_that_outlives_its_tool_is_ended_and_takes_nothing_of_the_next(tools: Path) -> None:
    machine = tool(tools, "sleep 30 & echo $! >&2")
    for _ in range(5):
        late = machine.run(["made-up-smi"], timeout_s=0.2)
        assert late.outcome == "timed out"
        assert machine.run(["echo", "heard"]) == Ran("ok", "heard\n")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any("sleep 30" in line for line in _children()):
        time.sleep(0.05)
    assert not any("sleep 30" in line for line in _children())


def _children() -> list[str]:
    """Commands of this session's children that still run, whoever started them here."""
    mine = str(os.getpid())
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"MADE_UP_OWNER={mine}".encode() in file.read_bytes():
                command = (file.parent / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append(command.decode(errors="replace"))
    return found


def test_bytes_that_are_no_text(tools: Path) -> None:
    assert "ok" in tool(tools, r"printf '\377\376\000ok\033[31m'").run(["made-up-smi"]).text


def test_a_tool_leaves_no_file_here(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tools / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    tool(tools, "echo x > made.json").run(["made-up-smi"])
    assert not list(here.iterdir())


def test_files_that_cannot_be_read_are_empty(tmp_path: Path) -> None:
    assert ThisMachine().read(str(tmp_path)) == ""
    assert ThisMachine().read(str(tmp_path / "none")) == ""
    assert ThisMachine().entries(str(tmp_path / "none")) == ()
    assert ThisMachine().read("/nul\x00byte") == ""


def test_packages_are_found_without_importing_them() -> None:
    code = (
        "import sys, windtunnel.serve.doctor.diagnose as d; d.diagnose();"
        "assert not {'torch', 'numpy', 'vllm', 'transformers', 'aiohttp'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    (found,) = (one for one in ThisMachine().packages(["Click", "no-such-package"]) if not one.platform)
    assert found.name.lower() == "click"
