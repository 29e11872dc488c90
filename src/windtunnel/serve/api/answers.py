"""The bodies of answers: whole, or event by event as they stream."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from windtunnel.serve.api.asked import Asked
from windtunnel.serve.api.backend import Model, Piece

DONE = b"data: [DONE]\n\n"


@dataclass
class Choice:
    """One answer as far as it has come."""

    text: str = ""
    tokens: int = 0
    finish: str = ""
    said: dict[str, Any] = field(default_factory=dict)
    """Besides text."""
    logprobs: dict[str, list[Any]] | None = None
    _texts: list[str] = field(default_factory=list)

    def take(self, piece: Piece) -> None:
        """The next piece."""
        self._texts.append(piece.text)
        self.tokens += piece.tokens
        self.finish = piece.finish or self.finish
        if piece.delta:
            _join(self.said, piece.delta)
        if piece.logprobs:
            self.logprobs = self.logprobs or {}
            for name, values in piece.logprobs.items():
                self.logprobs.setdefault(name, []).extend(values or ())
        if piece.finish:
            self.text += "".join(self._texts)
            self._texts = []


def _join(whole: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """A chat's stream put together: strings follow each other, and tool calls are told apart by their index."""
    for name, value in delta.items():
        if name == "tool_calls":
            calls: list[dict[str, Any]] = whole.setdefault(name, [])
            for part in value:
                index = part.get("index", len(calls))
                while len(calls) <= index:
                    calls.append({})
                _join(calls[index], {key: item for key, item in part.items() if key != "index"})
        elif isinstance(value, dict):
            _join(whole.setdefault(name, {}), value)
        elif isinstance(value, str) and name not in ("id", "type", "role"):
            whole[name] = whole.get(name, "") + value
        else:
            whole[name] = value


@dataclass
class Usage:
    """Tokens of one request, over all its prompts and answers."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def body(self) -> dict[str, Any]:
        """As the API writes it."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


class Writer:
    """Writes what is sent for one request. created: seconds since 1970."""

    def __init__(self, asked: Asked, created: int) -> None:
        self.asked = asked
        chat = asked.chat
        self.head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}",
            "object": "chat.completion" if chat else "text_completion",
            "created": created,
            "model": asked.model,
        }
        chunk = {**self.head, "object": "chat.completion.chunk"} if chat else self.head
        self._chunk = json.dumps(chunk)[:-1]

    def event(self, index: int, piece: Piece, *, first: bool = False) -> bytes:
        """A piece as a server-sent event."""
        finish = json.dumps(piece.finish or None)
        if self.asked.chat:
            said: dict[str, Any] = {"role": "assistant"} if first else {}
            if piece.text or (first and not piece.delta):
                said["content"] = piece.text
            if piece.delta:
                said |= piece.delta
            text = f'"delta": {json.dumps(said)}'
        else:
            text = f'"text": {json.dumps(piece.text)}'
        logprobs = "null" if piece.logprobs is None else json.dumps(piece.logprobs)
        choice = f'{{"index": {index}, {text}, "logprobs": {logprobs}, "finish_reason": {finish}}}'
        return f'data: {self._chunk}, "choices": [{choice}]}}\n\n'.encode()

    def usage_event(self, usage: Usage) -> bytes:
        """The last event but ``DONE``, for those who asked for it."""
        return f'data: {self._chunk}, "choices": [], "usage": {json.dumps(usage.body())}}}\n\n'.encode()

    def whole(self, choices: Sequence[Choice], usage: Usage) -> dict[str, Any]:
        """The answer that does not stream."""
        return {**self.head, "choices": [self._choice(i, choice) for i, choice in enumerate(choices)], "usage": usage.body()}

    def _choice(self, index: int, choice: Choice) -> dict[str, Any]:
        told: dict[str, Any] = {"index": index, "logprobs": choice.logprobs, "finish_reason": choice.finish}
        if self.asked.chat:
            content = None if choice.said and not choice.text else choice.text
            return {**told, "message": {"role": "assistant", "content": content, "refusal": None, **choice.said}}
        return {**told, "text": choice.text}


def model_body(model: Model) -> dict[str, Any]:
    """One model as ``/v1/models`` tells of it."""
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owner,
        **({"max_model_len": model.most_tokens} if model.most_tokens else {}),
    }
