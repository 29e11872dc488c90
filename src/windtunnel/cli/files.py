"""Files that the commands write: whole or not at all, and refused before the work is done rather than after."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from windtunnel.errors import InvalidInputError


def check_writable(path: Path, field: str) -> None:
    """Raises InvalidInputError where ``path`` cannot become a file."""
    if path.is_dir():
        raise InvalidInputError(field, f"{path} is a folder; name a file in it")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise InvalidInputError(field, f"there is no folder {parent}")
    if not os.access(parent, os.W_OK):
        raise InvalidInputError(field, f"the folder {parent} cannot be written to")


def check_new_folder(path: Path, field: str) -> None:
    """Raises InvalidInputError where ``path`` is or lies under something that is no folder."""
    if path.exists() and not path.is_dir():
        raise InvalidInputError(field, f"{path} is a file; name a folder")
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


def write_whole(path: Path, text: str, field: str) -> None:
    """Put ``text`` at ``path`` in one step, so that no half-written file is ever seen there."""
    check_writable(path, field)
    try:
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            # mkstemp makes it private; the file is to have the rights that any new file has
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise InvalidInputError(field, f"{path} cannot be written: {error.strerror or error}")
