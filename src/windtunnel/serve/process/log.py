"""An engine's log: passed on line by line with its name before each, and its last lines kept."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from windtunnel.serve.doctor.machine import plain

KEPT = 40
MOST_LINE = 2000
"""Characters of a line; what is beyond is left out, since whole configurations are logged as one."""


class Log:
    """tell: what is done with a line, its label before it."""

    def __init__(self, label: str, tell: Callable[[str], None]) -> None:
        self._label, self._tell = label, tell
        self.last: deque[str] = deque(maxlen=KEPT)

    async def follow(self, stream: asyncio.StreamReader) -> None:
        """Until the stream ends. A progress bar that draws over itself comes as lines."""
        rest = b""
        while part := await stream.read(65536):
            *lines, rest = (rest + part).replace(b"\r", b"\n").split(b"\n")
            for line in lines:
                self._line(line)
            if len(rest) > MOST_LINE * 4:
                self._line(rest)
                rest = b""
        self._line(rest)

    def _line(self, raw: bytes) -> None:
        text = plain(raw[: MOST_LINE * 4])[:MOST_LINE].rstrip()
        if text.strip():
            self.last.append(text)
            self._tell(f"[{self._label}] {text}")
