"""Server-sent events of a streamed answer: cut at their ends, read as far as accounts and steering need, told on as they came."""

from __future__ import annotations

import json
from typing import Any

MOST_EVENT_BYTES = 4 * 1024**2
"""No token's event comes near; a line without an end is not a stream."""
DONE = b"[DONE]"


class BrokenStreamError(Exception):
    """What came is no stream of events as the API has them."""


class Events:
    """One streamed answer as it is read.

    model: what the back end calls it and what the client does, where they differ. hide_usage: the client did not ask for the
    event that only tells usage. After each ``feed``: tokens (pieces with something in them so far), finish, usage, error, done.
    """

    __slots__ = ("_hide_usage", "_renames", "_tail", "choices", "done", "error", "finish", "finished", "pieces", "usage")

    def __init__(self, model: tuple[str, str] | None, *, hide_usage: bool, choices: int = 1) -> None:
        self._renames = renames(*model) if model else ()
        self._hide_usage = hide_usage
        self._tail = b""
        self.choices = choices
        self.pieces = self.finished = 0
        self.finish = ""
        self.usage: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.done = False

    @property
    def whole(self) -> bool:
        """Whether nothing is missing: it said so, or every answer has its reason to end."""
        return self.done or self.finished >= self.choices

    def feed(self, data: bytes) -> bytes:
        """The events that are complete with ``data``, for the client. Raises BrokenStreamError."""
        if self._tail:
            data = self._tail + data
        if b"\r" in data:
            # a lone \r at the very end may be half of an end of line
            held = b"\r" if data.endswith(b"\r") else b""
            data = data[: len(data) - len(held)].replace(b"\r\n", b"\n") + held
        end = data.rfind(b"\n\n") + 2
        if end < 2:
            self._hold(data)
            return b""
        self._hold(data[end:])
        whole = data[:end]
        drops = self._read(whole)
        if drops:
            whole = b"".join(block + b"\n\n" for block in whole[:-2].split(b"\n\n") if block not in drops)
        for old, new in self._renames:
            whole = whole.replace(old, new)
        return whole

    def _hold(self, tail: bytes) -> None:
        if len(tail) > MOST_EVENT_BYTES:
            raise BrokenStreamError("an event without an end")
        self._tail = tail

    def _read(self, whole: bytes) -> list[bytes]:
        """Takes note of each event. Returns those that are not for the client."""
        drops: list[bytes] = []
        for block in whole[:-2].split(b"\n\n"):
            data = block
            if not block.startswith(b"data:") or b"\n" in block:
                lines = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
                errors = [line[6:].strip() for line in block.split(b"\n") if line.startswith(b"error:")]
                if errors and not lines:  # as older llama.cpp has it
                    self._error(_json(b"\n".join(errors)))
                    drops.append(block)
                    continue
                if not lines:
                    continue  # a comment that keeps the connection alive
                data = b"\n".join(lines)
            elif _is_a_token(block):
                self.pieces += 1
                continue
            else:
                data = block[5:].strip()
            if data == DONE:
                self.done = True
                drops.append(block)  # the router says it itself, once
            elif self._event(_json(data)):
                drops.append(block)
        return drops

    def _event(self, event: Any) -> bool:
        """Whether the event is not for the client."""
        if not isinstance(event, dict):
            raise BrokenStreamError("an event that is no object")
        if event.get("error"):
            self._error(event["error"])
            return True
        if event.get("object") == "error":
            self._error(event)
            return True
        choices = event.get("choices")
        usage = event.get("usage")
        if isinstance(usage, dict):
            self.usage = usage
        if not isinstance(choices, list):
            raise BrokenStreamError("an event without choices")
        for choice in choices:
            if not isinstance(choice, dict):
                raise BrokenStreamError("a choice that is no object")
            delta = choice.get("delta")
            if choice.get("text") or (delta and _says(delta)):
                self.pieces += 1
            finish = choice.get("finish_reason")
            if finish:
                self.finish = str(finish)[:40]
                self.finished += 1
        return not choices and usage is not None and self._hide_usage

    def _error(self, error: Any) -> None:
        self.error = error if isinstance(error, dict) else {"message": str(error)[:2000]}


def _is_a_token(block: bytes) -> bool:
    """Whether the event is one token and nothing else, told by what stands in it: reading it whole takes five times as
    long. In JSON a name with its quotes and colon bare is a key, whatever texts say. What is not surely so is read."""
    return (
        b'"finish_reason":null' in block
        and (b'"content":"' in block or b'"text":"' in block)
        and b'"content":""' not in block
        and b'"text":""' not in block
        and b'"usage":' not in block
        and b'"error":' not in block
        and block.count(b'"index":') == 1
        and block.startswith(b"data: {")
        and block.endswith(b"}]}")
    )


def _says(delta: Any) -> bool:
    """Whether a chat's delta has anything but the role."""
    return isinstance(delta, dict) and any(value for key, value in delta.items() if key != "role")


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise BrokenStreamError("an event that is not JSON") from None


def renames(model: str, called: str) -> tuple[tuple[bytes, bytes], ...]:
    """What to write for the model's name in an answer. In JSON ``"model":`` with its quotes bare is a key and nothing else."""
    if model == called:
        return ()
    old, new = ({json.dumps(name), json.dumps(name, ensure_ascii=False)} for name in (model, called))
    told = min(new).encode()
    return tuple((f'"model":{gap}{name}'.encode(), f'"model":{gap}'.encode() + told) for gap in ("", " ") for name in old)
