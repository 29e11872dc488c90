"""Files written whole or not at all: whoever reads one meanwhile, or interrupts, sees the old one or the new one."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from windtunnel.errors import WindtunnelError

_PART = ".windtunnel-"
"""How the name of a file begins that is being written; it is gone afterwards, whatever happens."""
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def replaced(where: Path, before: bytes, after: bytes) -> str:
    """Replaces the content of a file that still has ``before``; why it could not, or nothing. Permissions and owner stay."""
    try:
        with where.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if where.is_symlink() or stream.read() != before:
                return "the file was changed meanwhile"
        if not status.st_mode & _WRITABLE:
            return "the file is read-only"
        _put(where, after, stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def write_whole(path: Path, text: str) -> None:
    """Writes a file, new or in the place of an old one. Raises WindtunnelError."""
    try:
        where = Path(os.path.realpath(path))
        mode = stat.S_IMODE(where.stat().st_mode) if where.exists() else 0o666 & ~_umask()
        _put(where, text.encode("utf-8", "backslashreplace"), mode)
    except OSError as error:
        raise WindtunnelError(f"{path} cannot be written: {error.strerror}")


def _put(where: Path, content: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    descriptor, name = tempfile.mkstemp(dir=where.parent, prefix=_PART)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        made = part.stat()
        if owner is not None and owner != (made.st_uid, made.st_gid):
            with contextlib.suppress(OSError, AttributeError):  # only root may give files away
                os.chown(part, *owner)
        part.chmod(mode)
        part.replace(where)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
