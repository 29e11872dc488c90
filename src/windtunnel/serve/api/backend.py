"""What the API asks of whoever makes the tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from windtunnel.serve.api.asked import Asked, Prompt


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is served. created: seconds since 1970; most_tokens: the length of its context."""

    id: str
    created: int
    owner: str
    most_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer.

    tokens: how many it holds; the last piece may take back what those before counted too much. finish: why the answer ends with
    it (``stop``, ``length``, ``tool_calls``), or empty. delta: what a chat says besides text, as the API writes it in a stream
    (``tool_calls``, ``reasoning_content``). logprobs: of its tokens, in the form of the API that was asked.
    """

    text: str
    tokens: int = 1
    finish: str = ""
    delta: Mapping[str, Any] | None = None
    logprobs: Mapping[str, Any] | None = None


class Generation(Protocol):
    """One answer on its way."""

    @property
    def prompt_tokens(self) -> int:
        """0 until it is begun, then at least an estimate; as the engine counts them once the answer is whole."""
        ...

    @property
    def cached_tokens(self) -> int:
        """Of those, not computed again; 0 until it is known."""
        ...

    def __aiter__(self) -> AsyncIterator[Piece]: ...

    async def aclose(self) -> None:
        """Nobody wants the rest. Called once at the end, whatever the end was."""
        ...


class Backend(Protocol):
    """Makes tokens."""

    def models(self) -> tuple[Model, ...]:
        """What is served, the first one by default."""
        ...

    async def generate(self, asked: Asked, prompt: Prompt, choice: int = 0) -> Generation:
        """Begins an answer. choice: which of the prompt's ``n``. Raises RefusedError where it can be known now that there will be
        none."""
        ...

    def ill(self) -> str:
        """Why nothing can be served now; empty where it can."""
        ...

    async def close(self) -> None:
        """Lets go of everything."""
        ...
