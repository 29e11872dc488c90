"""What workers do in tests, where other processes can import it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from windtunnel.sweep.journal import Row
from windtunnel.sweep.program import digest


def row(args: tuple[str, ...]) -> Row:
    """The number that the point is, squared."""
    return {"model": args[0], "outcome": "simulated", "answered": int(args[0]) ** 2, "windtunnel_digest": digest()}


def deadly(args: tuple[str, ...]) -> Row:
    """The same, but 3 takes its worker along, always, and 5 the first time: it leaves a mark in the folder of its name."""
    if args[0] == "3":
        os.kill(os.getpid(), signal.SIGKILL)
    if args[0] == "5":
        mark = Path(args[1]) / "seen"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return row(args)


def slow(args: tuple[str, ...]) -> Row:
    """Writes down its process, and does not come back."""
    (Path(args[1]) / str(os.getpid())).touch()
    time.sleep(600.0)
    return row(args)


def stranger(args: tuple[str, ...]) -> Row:
    """A row of another windtunnel."""
    return {**row(args), "windtunnel_digest": "another", "windtunnel_version": "0.0.1"}
