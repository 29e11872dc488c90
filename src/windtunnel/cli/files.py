"""Files that the commands read and write: refused before the work is done rather than after it."""

from __future__ import annotations

import os
from pathlib import Path

from windtunnel.errors import InvalidInputError


def check_writable(path: Path, field: str) -> None:
    """Raises InvalidInputError where ``path`` cannot become a file."""
    if path.is_dir():
        raise InvalidInputError(field, f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():  # the new file takes the old one's place, which must not be a device's
        raise InvalidInputError(field, f"{path} is no ordinary file; name one that is or is still to be")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise InvalidInputError(field, f"there is no folder {parent}")
    if not os.access(parent, os.W_OK):
        raise InvalidInputError(field, f"the folder {parent} cannot be written to")


def check_new_folder(path: Path, field: str) -> None:
    """Raises InvalidInputError where ``path`` is not, or cannot become, an empty folder."""
    if path.exists() and not path.is_dir():
        raise InvalidInputError(field, f"{path} is a file; name a folder")
    if path.is_dir() and any(path.iterdir()):
        raise InvalidInputError(field, f"the folder {path} is not empty; name a new one")
    existing = next(p for p in [path.absolute(), *path.absolute().parents] if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InvalidInputError(field, f"the folder {existing} cannot be written to")


def check_readable(path: Path, field: str) -> None:
    """Raises InvalidInputError where ``path`` is no file that can be read."""
    if path.is_dir():
        raise InvalidInputError(field, f"{path} is a folder; name a file in it")
    if not path.is_file():
        raise InvalidInputError(field, f"there is no file {path}")
    if not os.access(path, os.R_OK):
        raise InvalidInputError(field, f"{path} cannot be read")
