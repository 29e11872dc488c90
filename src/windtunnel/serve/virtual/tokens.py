"""Prompts as the simulated engine sees them: how many tokens, and which beginnings they share."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

from windtunnel.serve.api.asked import Prompt

BYTES_A_TOKEN = 4
"""UTF-8 bytes of a token. **Source:** chosen: what English text comes to with vocabularies of about 128,000. No tokenizer is
read, so whoever needs exact counts sends token ids."""


def count(prompt: Prompt) -> int:
    """Tokens of the prompt: exact where it came as ids."""
    return len(prompt.ids) or max(1, math.ceil(len(prompt.text.encode()) / BYTES_A_TOKEN))


def segments(prompt: Prompt, tokens: int) -> tuple[int, ...]:
    """An id for each run of ``tokens`` tokens, which stands for all of the prompt up to its end: equal beginnings, equal ids."""
    chain, ids = hashlib.blake2b(digest_size=8), []
    for piece in _pieces(prompt, tokens):
        chain.update(piece)
        ids.append(int.from_bytes(chain.copy().digest(), "big"))
    return tuple(ids)


def _pieces(prompt: Prompt, tokens: int) -> Iterator[bytes]:
    """The whole runs alone: what is left at the end is nobody else's beginning."""
    if prompt.ids:
        for at in range(0, len(prompt.ids) - tokens + 1, tokens):
            yield b"".join(b"%d " % i for i in prompt.ids[at : at + tokens])
        return
    text, size = prompt.text.encode(), tokens * BYTES_A_TOKEN
    for at in range(0, len(text) - size + 1, size):
        yield text[at : at + size]
