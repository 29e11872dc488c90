"""The machine that is looked at: its commands, files, folders, environment and Python packages; tests bring their own."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Literal, Protocol

TIMEOUT_S = 10.0
"""For one command: nvidia-smi wakes sleeping cards one by one, npu-smi asks each card; a stuck driver never answers."""
MOST_BYTES = 1_000_000
"""Of a command's output or a file; no tool says as much of a whole server."""

Outcome = Literal["ok", "no tool", "failed", "timed out"]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did. text: what it printed, never more than MOST_BYTES; error: why it failed, in its own words."""

    outcome: Outcome
    text: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution. needs: its Requires-Dist lines; platform: it registers a platform with vLLM."""

    name: str
    version: str
    needs: tuple[str, ...] = ()
    platform: bool = False


class Machine(Protocol):
    """Everything that a probe may ask; nothing of it raises."""

    @property
    def system(self) -> str:
        """``Linux``, ``Darwin`` ..."""

    @property
    def processor(self) -> str:
        """``x86_64``, ``aarch64``, ``arm64`` ..."""

    @property
    def python(self) -> str:
        """Version of Python, as ``3.11.9``."""

    @property
    def prefix(self) -> str:
        """Where the packages are that are looked at."""

    def run(self, command: Sequence[str]) -> Ran: ...

    def read(self, path: str) -> str:
        """A text file, "" where it cannot be read."""

    def entries(self, path: str) -> tuple[str, ...]:
        """Names in a folder, sorted; none where it cannot be read."""

    def env(self, name: str) -> str: ...

    def packages(self, names: Iterable[str]) -> tuple[Package, ...]:
        """Those of ``names`` that are installed, and whatever else registers a platform with vLLM."""

    def package_file(self, name: str, path: str) -> str:
        """A text file of an installed package, by its path from site-packages; "" where there is none."""


def plain(data: bytes) -> str:
    """Bytes of any encoding as text without control characters."""
    return re.sub(r"[^\x20-\x7e\n\t\u00a0-\U0010ffff]", "", data.decode("utf-8", errors="replace").replace("\r", "\n"))


class ThisMachine:
    """The machine that this process runs on."""

    system = platform.system()
    processor = platform.machine()
    python = platform.python_version()
    prefix = sys.prefix

    def run(self, command: Sequence[str], timeout_s: float = TIMEOUT_S) -> Ran:
        """Runs a command in a folder of its own, in English; it ends with its children when its time is over."""
        tool = shutil.which(command[0])
        if tool is None:
            return Ran("no tool")
        english = {**os.environ, "LC_ALL": "C", "LANG": "C", "LANGUAGE": "C"}
        try:
            with tempfile.TemporaryDirectory(prefix="windtunnel-") as folder:  # some tools leave files where they run
                return _finish([tool, *command[1:]], english, folder, timeout_s)
        except OSError as problem:
            return Ran("failed", error=problem.strerror or "cannot be run")

    def read(self, path: str) -> str:
        with contextlib.suppress(OSError, ValueError), Path(path).open("rb") as file:
            return plain(file.read(MOST_BYTES))
        return ""

    def entries(self, path: str) -> tuple[str, ...]:
        with contextlib.suppress(OSError, ValueError):
            return tuple(sorted(one.name for one in Path(path).iterdir()))
        return ()

    def env(self, name: str) -> str:
        return os.environ.get(name, "")

    def packages(self, names: Iterable[str]) -> tuple[Package, ...]:
        platforms: set[str] = set()
        with contextlib.suppress(Exception):  # half-removed packages fail in many ways
            points = metadata.entry_points(group="vllm.platform_plugins")
            platforms = {point.dist.name for point in points if point.dist is not None}
        found = []
        for name in dict.fromkeys((*names, *sorted(platforms))):
            with contextlib.suppress(Exception):  # as above, and packages that are not there
                one = metadata.distribution(name)
                found.append(Package(one.name, one.version, tuple(one.requires or ()), one.name in platforms))
        return tuple(found)

    def package_file(self, name: str, path: str) -> str:
        with contextlib.suppress(Exception):  # as above
            return self.read(str(metadata.distribution(name).locate_file(path)))
        return ""


def _finish(command: list[str], env: dict[str, str], folder: str, timeout_s: float) -> Ran:
    until = time.monotonic() + timeout_s
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=folder,
        start_new_session=True,
    )  # fmt: skip
    heard: dict[str, bytes] = {"out": b"", "error": b""}
    ears = [threading.Thread(target=_hear, args=(process.stdout, heard, "out"), daemon=True),
            threading.Thread(target=_hear, args=(process.stderr, heard, "error"), daemon=True)]  # fmt: skip
    for ear in ears:
        ear.start()
    ears[0].join(timeout_s)
    endless = len(heard["out"]) >= MOST_BYTES
    if not endless:
        ears[1].join(max(0.0, until - time.monotonic()))
    late = not endless and any(ear.is_alive() for ear in ears)
    if not late and not endless:
        try:
            process.wait(max(0.05, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            late = True
    if late or endless:
        _end(process)
    text, error = plain(heard["out"]), plain(heard["error"])
    if late:
        return Ran("timed out", text, f"gave no answer in {timeout_s:g} s")
    if endless:
        return Ran("failed", text, "its output has no end")
    if process.returncode:
        return Ran("failed", text, _first_line(error) or _first_line(text) or f"exit status {process.returncode}")
    return Ran("ok", text)


def _hear(stream: IO[bytes] | None, heard: dict[str, bytes], key: str) -> None:
    """Reads until the end, or until nobody would read on; closes the stream itself, since its number may be another's at once."""
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError), stream:
        while len(heard[key]) < MOST_BYTES:
            part = os.read(stream.fileno(), 65536)
            if not part:
                return
            heard[key] += part


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a command with whatever it started, also where it has left itself and its children go on."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.5)  # one that hangs in a driver cannot be ended, and is left


def _first_line(text: str) -> str:
    return next((line.strip()[:160] for line in text.splitlines() if line.strip()), "")
