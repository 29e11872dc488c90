"""Where a program is run for a proof: copies of its tree, as it was and fixed, take each other's place at one path."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import windtunnel
from windtunnel.errors import UnsupportedError
from windtunnel.port.evidence import Run
from windtunnel.port.fix import fix
from windtunnel.port.tree import SKIPPED_FOLDERS

MOST_BYTES = 8 << 30
"""Of a tree that is copied; one with more has data in it that belongs elsewhere."""
_HIDDEN = ("CUDA", "HIP", "ASCEND_RT", "MUSA", "MLU")


@dataclass
class Stage:
    """The folder in which copies of the tree take each other's place, at one path."""

    root: Path
    folder: Path
    script: str
    args: list[str]
    unsafe: bool
    timeout_s: float | None
    changed: tuple[str, ...] = ()
    left: int = 0
    notes: list[str] = field(default_factory=list)
    laid: str = ""
    fixed: bool = False

    def __post_init__(self) -> None:
        self.folder = Path(os.path.realpath(self.folder))

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def lay(self, state: str) -> dict[str, str]:
        """A fresh copy of the tree, ``before`` or ``after`` the fix; gives the hash of each file."""
        shutil.rmtree(self.tree, ignore_errors=True)
        kept = self.folder / "fixed"
        if state == "after" and kept.exists():
            shutil.copytree(kept, self.tree, symlinks=True)
            return snapshot(self.tree)
        shutil.copytree(self.root, self.tree, symlinks=True, ignore=shutil.ignore_patterns(*SKIPPED_FOLDERS))
        if state == "after":
            self._fix()
            shutil.copytree(self.tree, kept, symlinks=True)
        return snapshot(self.tree)

    def _fix(self) -> None:
        before = snapshot(self.tree)
        report = fix(self.tree, write=True, unsafe=self.unsafe)
        after = snapshot(self.tree)
        self.changed = tuple(sorted(name for name in {*before, *after} if before.get(name) != after.get(name)))
        self.left = len(report.left)
        if report.rolled_back:
            self.notes.append(f"{len(report.rolled_back)} files would not have parsed after the fix and were left as they are")

    def run(self, state: str, *, chip: str = "", values: bool = False, hidden: bool = True) -> Run:
        """One run of the program; chip: on a virtual chip, values: with its numbers computed; hidden: without real devices."""
        there = self.lay(state)
        record, out, err = (self.folder / name for name in ("record.json", "out", "err"))
        record.unlink(missing_ok=True)
        where = ["--on", chip, *(["--values"] if values else [])] if chip else []
        command = [sys.executable, "-P", "-m", "windtunnel.run.observed", *where, str(record), self.script, *self.args]
        timed_out = False
        with out.open("wb") as stdout, err.open("wb") as stderr:
            try:
                ended = subprocess.run(
                    command, cwd=self.tree, env=self._environment(hidden), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                    timeout=self.timeout_s, check=False,
                )  # fmt: skip
                status = ended.returncode
            except subprocess.TimeoutExpired:
                timed_out, status = True, -9
        told: dict[str, Any] = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        written = {name: mark for name, mark in snapshot(self.tree).items() if there.get(name) != mark}
        return Run(
            status,
            out.read_bytes(),
            err.read_bytes().decode("utf-8", "replace"),
            told,
            written,
            self.timeout_s if timed_out else None,
        )

    def _environment(self, hidden: bool) -> dict[str, str]:
        env = dict(os.environ)
        own = Path(windtunnel.__file__).parents[1]
        paths = [str(self.tree), *([str(self.tree / "src")] if (self.tree / "src").is_dir() else [])]
        paths += [] if own.name in ("site-packages", "dist-packages") else [str(own)]
        paths += [str(Path(part).absolute()) for part in env.get("PYTHONPATH", "").split(os.pathsep) if part]
        env |= {
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        }  # fmt: skip
        if hidden:
            env |= {f"{vendor}_VISIBLE_DEVICES": "" for vendor in _HIDDEN}
            env |= {"ZE_AFFINITY_MASK": "99", "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
        return env


def snapshot(tree: Path) -> dict[str, str]:
    """Path -> hash of every file below a folder, caches left out; a link is known by where it points."""
    found = {}
    for folder, names, files in os.walk(tree):
        names[:] = [name for name in names if name not in SKIPPED_FOLDERS]
        for name in files:
            file = Path(folder, name)
            key = file.relative_to(tree).as_posix()
            try:
                content = str(file.readlink()).encode() if file.is_symlink() else file.read_bytes()
            except OSError:
                content = b""
            found[key] = hashlib.sha256(content).hexdigest()[:16]
    return found


def check_size(root: Path) -> None:
    """Raises UnsupportedError where a tree is too large to be copied."""
    total = 0
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in SKIPPED_FOLDERS]
        for name in files:
            total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118
        if total > MOST_BYTES:
            raise UnsupportedError(
                f"{root} holds more than {MOST_BYTES >> 30} GiB, too much to copy; name a folder without its data"
            )
