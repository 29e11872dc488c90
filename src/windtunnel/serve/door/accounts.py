"""The file of accounts: one line of JSON for each request."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from windtunnel.errors import InvalidInputError
from windtunnel.serve.door.limits import DAY_S
from windtunnel.serve.door.visit import Record

LOG = logging.getLogger("windtunnel.serve")
TOLD_EVERY_S = 60.0
LONGEST_S = 3600.0
"""No request is under way for longer: lines stand in the order in which requests end, and tell when they came."""
BLOCK_BYTES = 256 * 1024


def last_day(path: Path, now_s: float) -> list[tuple[float, str, int]]:
    """Of the requests that a file of accounts holds of the last 24 hours: how many seconds ago each ended, its key, its tokens.

    The oldest first; empty where there is no file. now_s: seconds since 1970. Lines that are no records are passed over.
    """
    found = []
    for line in _backwards(path):
        try:
            record = json.loads(line)
            came_s = datetime.fromisoformat(record["time"]).timestamp()
            ago_s = now_s - came_s - (record["whole_s"] or 0.0)
            tokens = (record["prompt_tokens"] or 0) + (record["completion_tokens"] or 0)
            entry = (max(0.0, float(ago_s)), str(record["key"]), int(tokens))
        except (ValueError, KeyError, TypeError):
            continue
        if now_s - came_s > DAY_S + LONGEST_S:
            break
        if entry[0] < DAY_S and entry[2] > 0:
            found.append(entry)
    return sorted(found, reverse=True)


def _backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file, the last one first."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        at, rest = file.seek(0, os.SEEK_END) if file.seekable() else 0, b""
        while at > 0:
            size = min(BLOCK_BYTES, at)
            at = file.seek(at - size)
            rest, *lines = (file.read(size) + rest).split(b"\n")
            yield from reversed(lines)
        yield rest


class Accounts:
    """Appends records to a file; what cannot be written is counted in ``lost`` and told, and the endpoint goes on.

    A line is one write to a file opened for appending, so that processes may share it and none tears another's line. Raises
    InvalidInputError where the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = self.lost = 0
        self._torn = False
        self._told_s = -TOLD_EVERY_S
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InvalidInputError("--accounts", f"{path} cannot be written: {error.strerror or error}") from None

    def write(self, record: Record) -> None:
        """Appends one line. Never raises."""
        line = json.dumps(record.body(), separators=(",", ":")).encode() + b"\n"
        if self._torn:
            line = b"\n" + line  # half a line was written when the disk was full: it stays alone
        try:
            sent = os.write(self._file, line)
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        if sent < len(line):
            self._torn = True
            self._lose("only a part of the line fitted")
            return
        self._torn = False
        self.written += 1

    def _lose(self, why: str) -> None:
        self.lost += 1
        now_s = time.monotonic()
        if now_s - self._told_s >= TOLD_EVERY_S:
            self._told_s = now_s
            LOG.error("%s cannot be written: %s; records lost so far: %d", self.path, why, self.lost)

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._file)
