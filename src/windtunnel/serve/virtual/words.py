"""What an endpoint says that has no model: words, one a token, the same for the same prompt."""

from __future__ import annotations

import zlib
from random import Random
from typing import Protocol

from windtunnel.serve.api.asked import Asked, Prompt

_TEXT = (
    "air test lift flow wing drag speed model tunnel wind scale force angle smooth steady slow fast high low long short near far"
    " warm cold early late first last light heavy strong weak open closed round flat new old true even rare plain clear calm"
    " bright deep wide small large full half whole next same other some many few each both much"
)
WORDS = tuple(_TEXT.split())


class Text(Protocol):
    """The text of one answer on its way."""

    @property
    def ended(self) -> bool:
        """Whether whoever writes it has no more to say, and all of it was taken."""
        ...

    def take(self, tokens: int) -> str:
        """What there is of the next so many tokens; more follows with those after them."""
        ...

    def close(self) -> None:
        """Nobody wants the rest."""
        ...


class Author(Protocol):
    """Writes answers."""

    def write(self, asked: Asked, prompt: Prompt, tokens: int) -> Text:
        """Begins an answer of at most so many tokens."""
        ...

    def close(self) -> None:
        """Lets go of everything."""
        ...


class Filler:
    """Words without end."""

    def write(self, asked: Asked, prompt: Prompt, tokens: int) -> Text:
        return _Words(prompt.text or str(prompt.ids))

    def close(self) -> None:
        pass


class _Words:
    ended = False

    def __init__(self, prompt: str) -> None:
        self._chance = Random(zlib.crc32(prompt.encode()))
        self._begun = False

    def take(self, tokens: int) -> str:
        said = [self._chance.choice(WORDS) for _ in range(tokens)]
        if not self._begun and said:
            self._begun = True
            return " ".join([said[0].capitalize(), *said[1:]])
        return "".join(f" {word}" for word in said)

    def close(self) -> None:
        pass
