"""What git is asked about a tree, and what that keeps scans and fixes from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from windtunnel.port.fix import fix
from windtunnel.port.git import ignored, in_repository, uncommitted
from windtunnel.port.scan import scan

BINDING = 'import torch\nx = torch.ones(1, device="cuda")\n'


def git(folder: Path, *words: str, given: str = "") -> str:
    named = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(["git", *named, *words], cwd=folder, env=env, input=given, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with a submodule, an ignored folder, ignored files, and one that is held though it would be ignored."""
    for name in ("sub", "top"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.py").write_text(BINDING, encoding="utf-8")
        git(tmp_path / name, "init", "-q")
    git(tmp_path / "sub", "add", ".")
    git(tmp_path / "sub", "commit", "-qm", "a")
    top = tmp_path / "top"
    (top / ".gitignore").write_text("out/\n*.tmp.py\n", encoding="utf-8")
    for name in ("out/made.py", "a b/x.tmp.py", "held.tmp.py"):
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_text(BINDING, encoding="utf-8")
    git(top, "submodule", "add", "-q", "../sub", "sub")
    git(top, "add", ".")
    git(top, "add", "-f", "held.tmp.py")
    git(top, "commit", "-qm", "a")
    return top


def test_neither_what_is_ignored_nor_other_repositories_are_read(top: Path) -> None:
    report = scan(top)
    assert [f.place.path for f in report.findings] == ["held.tmp.py", "own.py"]
    reasons = {one.path: one.reason for one in report.skipped}
    assert reasons["out/"] == reasons["a b/"] == "ignored by git"
    assert "submodule" in reasons["sub/"]
    assert [d.path for d in fix(top, write=True).diffs] == ["held.tmp.py", "own.py"]
    assert (top / "out" / "made.py").read_text(encoding="utf-8") == BINDING
    assert (top / "sub" / "own.py").read_text(encoding="utf-8") == BINDING


def test_what_is_asked_for_is_read_though_it_is_ignored(top: Path) -> None:
    for name in ("out", "out/made.py", "sub"):
        assert len(scan(top / name).findings) == 1, name
    assert ignored(top / "out") == frozenset()


def test_a_folder_of_repositories_is_read(top: Path) -> None:
    """It is no repository itself: each of them is entered, and what each ignores is its own affair."""
    assert not in_repository(top.parent)
    assert {"top/own.py", "top/sub/own.py", "sub/own.py"} <= {f.place.path for f in scan(top.parent).findings}


def test_what_is_not_committed(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(top.parent / "sub" / ".git"))  # as within a hook of another repository
    assert uncommitted(top) == []
    (top / "ü\n new.py").write_text("", encoding="utf-8")
    (top / "own.py").write_text(BINDING + "\n", encoding="utf-8")
    assert sorted(uncommitted(top)) == ["own.py", "ü\n new.py"]
    assert uncommitted(top / "held.tmp.py") == []
    assert uncommitted(top / "own.py") == ["own.py"]
    git(top, "mv", "held.tmp.py", "moved.py")
    assert sorted(uncommitted(top)) == ["moved.py", "own.py", "ü\n new.py"]
    (top / "sub" / "own.py").write_text("", encoding="utf-8")
    assert "sub" in uncommitted(top)
    assert uncommitted(top.parent) == [], "outside of any repository nobody can tell"


def test_without_git_everything_is_read(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert uncommitted(top) == []
    assert "out/made.py" in {f.place.path for f in scan(top).findings}


def test_no_program_that_a_repository_names_is_run(top: Path) -> None:
    witness = top.parent / "ran"
    hook = top.parent / "monitor"
    hook.write_text(f"#!/bin/sh\ntouch '{witness}'\n", encoding="utf-8")
    hook.chmod(0o755)
    git(top, "config", "core.fsmonitor", str(hook))
    git(top, "config", "core.hooksPath", str(top.parent))
    (top.parent / "post-index-change").symlink_to(hook)
    os.utime(top / "own.py", (1, 1))  # git would refresh its index
    scan(top)
    uncommitted(top)
    assert not witness.exists()
