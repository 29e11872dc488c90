"""Text of tokens as they come, spelled by the model's own vocabulary, a whole character at a time."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from windtunnel.serve.engine.stops import Stops

_NORMAL, _CONTROL, _BYTE = 1, 3, 6
"""Of ggml's kinds of token: 1 normal, 2 unknown, 3 control, 4 the user's own, 5 unused, 6 byte."""
_BYTE_NAME = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@cache
def _bytes_of_letters() -> Mapping[str, int]:
    """The letters in which vocabularies of GPT-2's kind write bytes: printable ones as they are, the others from U+0100 on.

    **Source:** the byte-level alphabet of GPT-2's tokenizer.
    """
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(others)}


def speller_of(values: Mapping[str, Any]) -> Callable[[int], bytes] | None:
    """Token -> its bytes, by the vocabulary in a GGUF file's metadata; None for a kind of vocabulary that is not known."""
    model: str | None = values.get("tokenizer.ggml.model")
    tokens: Sequence[bytes] = values.get("tokenizer.ggml.tokens") or ()
    kinds: Sequence[int] = values.get("tokenizer.ggml.token_type") or ()
    if not tokens or model not in ("gpt2", "llama"):
        return None
    letters = _bytes_of_letters()

    @cache
    def spell(token: int) -> bytes:
        if not 0 <= token < len(tokens):
            return b""
        kind = kinds[token] if token < len(kinds) else 1
        written = tokens[token].decode("utf-8", "replace")
        if kind == _CONTROL:
            return b""
        if model == "gpt2":
            if kind == _NORMAL and all(letter in letters for letter in written):
                return bytes(letters[letter] for letter in written)
            return written.encode()
        byte = _BYTE_NAME.fullmatch(written)
        if kind == _BYTE and byte:
            return bytes([int(byte[1], 16)])
        return written.replace("\u2581", " ").encode()

    return spell


class Spelling:
    """The text of one answer. stops: where it ends, which is not part of it."""

    def __init__(self, spell: Callable[[int], bytes], stops: Sequence[str] = (), *, strip: bool = False) -> None:
        self._spell, self._stops = spell, Stops(stops)
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._strip = strip

    @property
    def stopped(self) -> bool:
        return self._stops.found

    def add(self, tokens: Sequence[int]) -> str:
        """What can be said now: what may be the beginning of a stop waits for what follows."""
        return self._said(self._decode(b"".join(map(self._spell, tokens))))

    def end(self) -> str:
        """What was held back."""
        return self._said(self._decode(b"", True)) + self._stops.end()

    def _said(self, text: str) -> str:
        if self._strip and text:
            text, self._strip = text.removeprefix(" "), False
        return self._stops.add(text)
