"""From tokens to text as they come: whole characters, no further than a stop string, calls of tools apart."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from windtunnel.serve.engine.stops import Stops, overlap

OPEN, CLOSE = "<tool_call>", "</tool_call>"
PRIMED = 6
"""Tokens of the prompt that the decoder is given first: whether a word begins with a space depends on what is before it."""


def calls_tools(template: str) -> bool:
    """Whether a chat template makes the model call tools in the form that is read here: JSON between ``<tool_call>`` tags.

    **Source:** the chat templates of Hermes 2 Pro and Qwen2.5 (recalled).
    """
    return OPEN in template and CLOSE in template


class Said:
    """The text of one answer. tokenizer: of the ``tokenizers`` package; before: tokens of the prompt."""

    def __init__(self, tokenizer: Any, before: Sequence[int], stops: Sequence[str], *, calls: bool = False) -> None:
        from tokenizers.decoders import DecodeStream

        self._tokenizer = tokenizer
        self._stream = DecodeStream(ids=list(before[-PRIMED:]), skip_special_tokens=True)
        self._stops = Stops(stops)
        self._calls = _Calls() if calls else None

    @property
    def stopped(self) -> bool:
        return self._stops.found

    def add(self, token: int) -> list[str | Mapping[str, Any]]:
        """What the client may see after one more token: texts, and calls of tools."""
        return self._sorted(self._stops.add(self._stream.step(self._tokenizer, token) or ""))

    def end(self) -> list[str | Mapping[str, Any]]:
        """What was held back, once no more tokens come."""
        found = self._sorted(self._stops.end())
        if self._calls is not None:
            found += self._calls.end()
        return found

    @property
    def called(self) -> bool:
        """Whether a tool was called."""
        return self._calls is not None and self._calls.made > 0

    def _sorted(self, text: str) -> list[str | Mapping[str, Any]]:
        if self._calls is not None:
            return self._calls.add(text)
        return [text] if text else []


class _Calls:
    """Tells calls of tools from text; what is between the tags and no call stays text."""

    def __init__(self) -> None:
        self._inside, self._held, self.made = False, "", 0

    def add(self, text: str) -> list[str | Mapping[str, Any]]:
        self._held += text
        found: list[str | Mapping[str, Any]] = []
        while True:
            tag = CLOSE if self._inside else OPEN
            before, there, after = self._held.partition(tag)
            if not there:
                break
            found += [self._call(before) or f"{OPEN}{before}{CLOSE}"] if self._inside else [before] if before.strip() else []
            self._inside, self._held = not self._inside, after
        if not self._inside:
            cut = len(self._held) - overlap(self._held, OPEN)
            if self.made and not self._held[:cut].strip():
                self._held = self._held[cut:]  # line breaks between calls
            elif cut:
                found.append(self._held[:cut])
                self._held = self._held[cut:]
        return found

    def end(self) -> list[str | Mapping[str, Any]]:
        """A call that was cut short is text; one that lacks its closing tag alone is a call."""
        held, inside, self._held, self._inside = self._held, self._inside, "", False
        if inside:
            return [self._call(held) or f"{OPEN}{held}"]
        return [held] if held else []

    def _call(self, text: str) -> Mapping[str, Any] | None:
        """A call as the API writes it in a stream."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(said, dict) or not isinstance(said.get("name"), str):
            return None
        arguments = said.get("arguments", said.get("parameters", {}))
        function = {"name": said["name"], "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments)}
        call = {"index": self.made, "id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}
        self.made += 1
        return {"tool_calls": [call]}
