"""What was found for a workload on a chip, kept in the user's cache folder under a hash of all that it follows from.

The hash takes in the question, the records of the chip, the system and the model, and this program's own code and data, so that
nothing that was kept outlives a change of any of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from windtunnel.plan.fleets.ways import Found, as_plain, from_plain

PARTS = ("catalog", "workload", "cost", "sim", "plan")
NOT_SEARCHED = ("plan/deploy", "plan/fleets")
"""Folders of these on which no search depends, apart from SEARCHING."""
SEARCHING = ("plan/fleets/inference.py", "plan/fleets/runs.py", "plan/fleets/ways.py")
FOLDER = "WINDTUNNEL_CACHE"
"""Environment variable that names another folder."""


def folder() -> Path:
    """Where the platform keeps what can be computed anew."""
    given = os.environ.get(FOLDER)
    if given:
        return Path(given) / "fleet"
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "windtunnel" / "fleet"


@cache
def program() -> str:
    """A hash of the code and the data on which what is kept depends."""
    root = resources.files("windtunnel")
    digest = hashlib.sha256()
    for part in PARTS:
        for name, entry in _files(root / part, part):
            if name.startswith(NOT_SEARCHED) and name not in SEARCHING:
                continue
            digest.update(name.encode() + b"\0" + hashlib.sha256(entry.read_bytes()).digest())
    return digest.hexdigest()


def _files(place: Traversable, name: str) -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for entry in sorted(place.iterdir(), key=lambda e: e.name):
        below = f"{name}/{entry.name}"
        if entry.is_dir():
            found += _files(entry, below) if entry.name != "__pycache__" else []
        elif entry.name.endswith((".py", ".toml", ".json", ".csv")):
            found.append((below, entry))
    return found


def key(*question: object) -> str:
    """The name under which the answer to a question is kept."""
    return hashlib.sha256("\0".join([program(), *(repr(part) for part in question)]).encode()).hexdigest()


def kept(name: str) -> Found | None:
    """What was kept, None where nothing (or nothing that can be read) was."""
    try:
        return from_plain(json.loads((folder() / f"{name}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(name: str, found: Found) -> None:
    """Keeps it, where the folder can be written to."""
    place = folder()
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=place, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(as_plain(found), file)
        Path(part).replace(place / f"{name}.json")
