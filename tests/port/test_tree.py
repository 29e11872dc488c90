"""A repository with everything in it that goes wrong: each file is skipped with its reason, the rest is read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from windtunnel.errors import InvalidInputError, UnknownNameError
from windtunnel.port.fix import fix
from windtunnel.port.languages import language_of
from windtunnel.port.scan import scan
from windtunnel.port.source import Source

BINDING = b'import torch\nx = torch.ones(1, device="cuda")\n'


def reasons(root: Path) -> dict[str, str]:
    return {skipped.path: skipped.reason for skipped in scan(root).skipped}


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (root / "good.py").write_bytes(BINDING)
    (root / "latin.py").write_bytes(b'import torch\nx = torch.ones(1, device="cuda")  # \xe9\n')
    (root / "wide.py").write_bytes("\ufeffdevice = 'cuda'".encode("utf-16"))
    (root / "zero.py").write_bytes(BINDING + b"\0")
    (root / "two.py").write_bytes(b'import torch\nprint "cuda", torch.cuda.is_available()\n')
    (root / "broken.py").write_bytes(b'import torch\ndef f(:\n    return "cuda"\n')
    (root / "deep.py").write_bytes(b"import torch\nx = " + b"(" * 3000 + b'"cuda"' + b")" * 3000 + b"\n")
    (root / "long.py").write_bytes(b'import torch\nx = "cuda' + b"a" * 1_200_000 + b'"\n')
    (root / "cut.ipynb").write_text('{"cells": [{"cell_type": "code", "source": ["x.cuda(')
    (root / "list.ipynb").write_text("[1, 2]")
    (root / "deep.ipynb").write_text("[" * 100_000)
    (root / "dots.py").write_bytes(b"import torch\nx = y.cuda()" + b".a" * 5000 + b"\n")
    (root / "outside.py").symlink_to("/etc/hostname")
    (root / "loop.py").symlink_to("loop.py")
    (root / "nothing.py").symlink_to("gone.py")
    (root / "again.py").symlink_to("good.py")
    (root / "up").symlink_to("..")
    (root / "self").symlink_to(".")
    os.mkfifo(root / "pipe.py")
    for folder in (".git", "node_modules", "__pycache__", "venv"):
        (root / folder).mkdir()
        (root / folder / "x.py").write_bytes(BINDING)
    (root / "venv" / "pyvenv.cfg").write_text("home = /usr\n")
    return root


def test_each_has_its_reason(hostile: Path) -> None:
    report = scan(hostile)
    assert [(f.place.path, f.rule) for f in report.findings] == [("good.py", "cuda-device-string")]
    found = {skipped.path: skipped.reason for skipped in report.skipped}
    expected = {
        "latin.py": "not UTF-8", "wide.py": "not UTF-8", "zero.py": "zero bytes", "two.py": "Python 2",
        "broken.py": "does not parse",
        "deep.py": "nested too deeply", "long.py": "a line of more than", "cut.ipynb": "cut or malformed",
        "list.ipynb": "no object", "deep.ipynb": "nested too deeply",
        "dots.py": "nested too deeply", "outside.py": "leaves the tree", "loop.py": "loop", "nothing.py": "link to nothing",
        "again.py": "within the tree", "up": "leaves the tree", "self": "loop", "pipe.py": "no regular file",
        ".git/": "version control", "node_modules/": "installed packages", "__pycache__/": "caches",
        "venv/": "virtual environment",
    }  # fmt: skip
    for path, reason in expected.items():
        assert reason in found[path], (path, found.get(path))
    assert set(found) == set(expected)
    assert report.files == 1


def test_a_fix_touches_nothing_else(hostile: Path) -> None:
    before = {p: p.read_bytes() for p in hostile.iterdir() if p.is_file() and not p.is_symlink()}
    report = fix(hostile, write=True)
    assert [d.path for d in report.diffs] == ["good.py"]
    after = {p: p.read_bytes() for p in before}
    assert [p.name for p in before if before[p] != after[p]] == ["good.py"]
    assert (hostile / "outside.py").is_symlink()
    assert not fix(hostile, write=True).diffs


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(BINDING)
    (tmp_path / "a.py").chmod(0)
    assert "cannot be read" in reasons(tmp_path)["a.py"]


def test_many_files(tmp_path: Path) -> None:
    for folder in range(50):
        (tmp_path / f"d{folder}").mkdir()
        for number in range(60):
            (tmp_path / f"d{folder}" / f"f{number}.txt").touch()
    (tmp_path / "d7" / "x.py").write_bytes(BINDING)
    report = scan(tmp_path)
    assert len(report.findings) == 1
    assert report.seconds < 5


def test_build_output_beside_a_project_file_only(tmp_path: Path) -> None:
    for name in ("build", "tools"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.py").write_bytes(BINDING)
    assert len(scan(tmp_path).findings) == 2
    (tmp_path / "pyproject.toml").touch()
    assert [f.place.path for f in scan(tmp_path).findings] == ["tools/x.py"]


def test_wrong_requests(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="there is no file"):
        scan(tmp_path / "gone")
    with pytest.raises(UnknownNameError, match="npu"):
        scan(tmp_path, to=["nqu"])
    with pytest.raises(InvalidInputError, match="names no target"):
        scan(tmp_path, to=[])


def test_a_path_that_nothing_can_be_read_from(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    for path in (tmp_path / "pipe.py", Path("/dev/zero")):
        with pytest.raises(InvalidInputError, match="neither a file nor a folder"):
            scan(path)


def test_a_link_that_is_asked_for_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real.py").write_bytes(BINDING)
    (tmp_path / "link.py").symlink_to("real.py")
    assert [d.path for d in fix(tmp_path / "link.py", write=True).diffs] == ["link.py"]
    assert (tmp_path / "link.py").is_symlink()
    assert (tmp_path / "real.py").read_bytes() != BINDING


def test_only_what_concerns_a_target(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_bytes(BINDING)
    assert len(scan(tmp_path, to=["npu"]).findings) == 1
    assert not scan(tmp_path, to=["cpu"]).findings
    assert not scan(tmp_path, to=["cuda"]).findings


def test_suppressed_with_a_reason_only(tmp_path: Path) -> None:
    line = b'x = torch.ones(1, device="cuda")'
    (tmp_path / "x.py").write_bytes(
        b"import torch\n" + line + b"  # windtunnel: ignore[cuda-device-string] CUDA's own test\n"
        + line + b"  # windtunnel: ignore[cuda-device-string]\n"
        + b"# windtunnel: ignore[cuda-device-string, is-cuda] above\n" + line + b"\n"
        + line + b"  # windtunnel: ignore[is-cuda] another rule\n"
    )  # fmt: skip
    report = scan(tmp_path)
    assert [f.place.line for f in report.findings] == [3, 6]
    assert [(s.finding.place.line, s.reason) for s in report.suppressed] == [(2, "CUDA's own test"), (5, "above")]
    assert len(fix(tmp_path).fixed) == 2


@pytest.mark.parametrize(
    ("path", "content", "language"),
    [
        ("a/b.py", b"", "python"), ("run", b"#!/usr/bin/env python3\n", "python"), ("run", b"#!/bin/bash\n", "shell"),
        ("run", b"text", None), ("job.sh", b"#!/bin/bash\n#SBATCH -n 1\n", "slurm"), ("x.slurm", b"", "slurm"),
        ("Dockerfile.cuda", b"", "dockerfile"), ("docker-compose.gpu.yml", b"", "compose"), ("k.cu", b"", "cpp"),
        ("x.yaml", b"apiVersion: v1\nkind: Pod\n", "kubernetes"), ("x.yaml", b"a: 1\n", "config"),
        (".github/workflows/t.yml", b"", "ci"), ("requirements-dev.txt", b"", "requirements"), ("CMakeLists.txt", b"", "build"),
        ("notes.md", b"cuda", None), ("x.ipynb", b"{}", "notebook"), ("poetry.lock", b"", "requirements"),
    ],
)  # fmt: skip
def test_kind_of_file(path: str, content: bytes, language: str | None) -> None:
    assert language_of(path, content) == language


def test_notebook_cells() -> None:
    def cell(*lines: str) -> dict[str, object]:
        return {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": list(lines)}

    text = json.dumps(
        {
            "cells": [
                {"cell_type": "markdown", "source": ["x.cuda()"]},
                cell("%matplotlib inline\n", "import torch\n", "!nvidia-smi"),
                cell("%%bash\n", "nvidia-smi\n"),
                cell("x = torch.ones(1).cuda()\n", "files = !ls\n"),
            ],
            "metadata": {},
            "nbformat": 4,
        }
    )
    source = Source.of_text(text, "notebook")
    assert [(c.cell, c.language) for c in source.cells] == [
        (1, "shell"),
        (1, "python"),
        (2, "shell"),
        (3, "shell"),
        (3, "python"),
    ]
    assert all(len(c.text.split("\n")) > 1 for c in source.cells)
