"""The events in which llama.cpp answers, read into pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from windtunnel.serve.api.asked import Asked
from windtunnel.serve.api.backend import Piece
from windtunnel.serve.api.refusal import INVALID, RefusedError
from windtunnel.serve.engine.llama_server import objects_of


class Reader:
    """Reads one answer. prompt_tokens and cached_tokens: as told with the end, or with the progress of a long prompt."""

    def __init__(self, asked: Asked) -> None:
        self.prompt_tokens = self.cached_tokens = self.made_tokens = 0
        self._chat = asked.chat
        self._finish = ""
        self._ended = False
        self._characters = 0

    def read(self, event: object) -> Iterator[Piece]:
        """The pieces of an event. Raises RefusedError for one that says why there is no answer."""
        for found in objects_of(event):
            if "error" in found:
                raise _refusal(found["error"])
            progress = found.get("prompt_progress")
            if progress:
                self.prompt_tokens, self.cached_tokens = int(progress.get("total", 0)), int(progress.get("cache", 0))
                continue
            for choice in found.get("choices") or ():
                yield from self._pieces(choice)
            if found.get("usage"):
                yield from self._usage(found["usage"])

    def end(self) -> Iterator[Piece]:
        """What is left when the engine has no more to say: an end, where it gave none."""
        if not self._ended:
            self._ended = True
            yield Piece("", 0, self._finish or "stop")

    def _pieces(self, choice: Mapping[str, Any]) -> Iterator[Piece]:
        self._finish = choice.get("finish_reason") or self._finish
        logprobs = choice.get("logprobs")
        if not self._chat:
            text = choice.get("text") or ""
            if text or logprobs:
                yield self._piece(text, None, _of_completion(logprobs, self._characters) if logprobs else None)
            return
        delta = choice.get("delta") or {}
        text = delta.get("content") or ""
        more = {key: value for key, value in delta.items() if key not in ("role", "content") and value}
        if text or more or logprobs:
            yield self._piece(text, more or None, logprobs)

    def _piece(self, text: str, delta: Mapping[str, Any] | None, logprobs: Mapping[str, Any] | None) -> Piece:
        self.made_tokens += 1
        self._characters += len(text)
        return Piece(text, 1, delta=delta, logprobs=logprobs)

    def _usage(self, usage: Mapping[str, Any]) -> Iterator[Piece]:
        """The end, which carries the tokens that had no piece of their own: halves of a character, marks of a tool call."""
        self.prompt_tokens = int(usage.get("prompt_tokens", 0))
        self.cached_tokens = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0))
        made = int(usage.get("completion_tokens", 0))
        if not self._ended:
            self._ended = True
            yield Piece("", made - self.made_tokens, self._finish or "stop")
        self.made_tokens = made


def _refusal(error: Mapping[str, Any]) -> RefusedError:
    kind, status = str(error.get("type", "")), int(error.get("code") or 400)
    if kind == "exceed_context_size_error":
        return RefusedError(str(error.get("message")), param="prompt", code="context_length_exceeded")
    if 400 <= status < 500:
        return RefusedError(str(error.get("message")), status=status, kind=INVALID)
    return RefusedError(str(error.get("message")), status=500, kind="server_error")


def _of_completion(logprobs: Mapping[str, Any], at: int) -> Mapping[str, Any]:
    """llama.cpp tells the log probabilities of a completion in a chat's form; the API has another for completions."""
    tokens = logprobs.get("content") or ()
    offsets = []
    for token in tokens:
        offsets.append(at)
        at += len(token.get("token") or "")
    return {
        "tokens": [token.get("token") for token in tokens],
        "token_logprobs": [token.get("logprob") for token in tokens],
        "top_logprobs": [{top["token"]: top["logprob"] for top in token.get("top_logprobs") or ()} for token in tokens],
        "text_offset": offsets,
    }
