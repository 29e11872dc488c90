"""What an endpoint says that has no model: words, one a token, the same for the same prompt."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from random import Random

_TEXT = (
    "air test lift flow wing drag speed model tunnel wind scale force angle smooth steady slow fast high low long short near far"
    " warm cold early late first last light heavy strong weak open closed round flat new old true even rare plain clear calm"
    " bright deep wide small large full half whole next same other some many few each both much"
)
WORDS = tuple(_TEXT.split())


def words(prompt: str, choice: int = 0) -> Iterator[str]:
    """Words without end, each with the space before it but for the first."""
    chance = Random(zlib.crc32(prompt.encode()) + choice)
    yield chance.choice(WORDS).capitalize()
    while True:
        yield f" {chance.choice(WORDS)}"
