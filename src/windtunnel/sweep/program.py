"""Which windtunnel computes a row: its version, and a digest of the code and the data that decide on numbers."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import windtunnel

DECIDING = ("units.py", "errors.py", "catalog", "workload", "cost", "sim", "plan", "fit")
"""Parts of the package whose change may change a row."""


@cache
def digest() -> str:
    """Equal wherever these parts are equal, so that rows of a changed program are never taken for those of this one."""
    root = Path(windtunnel.__file__).parent
    found = hashlib.blake2b(digest_size=8)
    for part in DECIDING:
        place = root / part
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file() and "__pycache__" not in file.parts and not file.name.startswith("."):
                found.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()
