"""Points that are done, in a file that only grows: what was written is there after a kill or a crash."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from windtunnel.errors import InvalidInputError

if sys.platform != "win32":
    import fcntl

Row = dict[str, Any]
AGAIN = ("died", "failed")
"""Outcomes that another try may better: they are kept to be shown, and run anew by the next call."""


class Journal:
    """Rows by the key of their point, one JSON line each; in memory are only their places.

    A torn last line, from a machine that went down, is cut off; a line that cannot be read is left out, and its point is run
    again. The file is locked while it is open, and a lock does not outlive its process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, int] = {}
        self._again: set[str] = set()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Journal:
        """Raises InvalidInputError where another sweep writes the same file, or the file cannot be written."""
        try:
            self._file = self.path.open("a+b")
            if sys.platform != "win32":
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.__exit__(None, None, None)
            raise InvalidInputError("--out", f"another sweep is writing {self.path.name}")
        except OSError as error:
            raise InvalidInputError("--out", f"{self.path} cannot be written: {error.strerror}")
        self._read(self._file)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self, file: BinaryIO) -> None:
        file.seek(0)
        place = whole = 0
        for line in file:
            if line.endswith(b"\n"):
                self._note(line, place)
                whole = place + len(line)
            place += len(line)
        file.truncate(whole)

    def _note(self, line: bytes, place: int) -> None:
        try:
            kept = json.loads(line)
            key, outcome = kept["key"], kept["row"]["outcome"]
        except (ValueError, TypeError, KeyError):
            return
        self._places[key] = place
        (self._again.add if outcome in AGAIN else self._again.discard)(key)

    def __contains__(self, key: str) -> bool:
        """Whether the point is done and need not be run again."""
        return key in self._places and key not in self._again

    def row(self, key: str) -> Row | None:
        """What is known of a point; None where it was never done."""
        if key not in self._places:
            return None
        assert self._file is not None
        self._file.seek(self._places[key])
        found: Row = json.loads(self._file.readline())["row"]
        return found

    def add(self, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Writes rows through to the disk. Raises InvalidInputError where it takes no more."""
        assert self._file is not None
        file, places = self._file, {}
        place = file.seek(0, os.SEEK_END)
        lines = []
        for key, row in rows:
            line = json.dumps({"key": key, "row": row}, ensure_ascii=False, allow_nan=False).encode() + b"\n"
            places[key] = (place, row["outcome"])
            place += len(line)
            lines.append(line)
        try:
            file.write(b"".join(lines))
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise InvalidInputError("--out", f"{self.path} cannot be written: {error.strerror}")
        for key, (at, outcome) in places.items():
            self._places[key] = at
            (self._again.add if outcome in AGAIN else self._again.discard)(key)
