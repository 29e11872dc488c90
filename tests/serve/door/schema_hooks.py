"""What Schemathesis is told beside the description: which model is there, and to ask for short answers."""

from __future__ import annotations

from typing import Any, TypeGuard

import schemathesis

from windtunnel.serve.api.asked import MOST_CHOICES, MOST_NAME, MOST_TOKENS

SHORT = {"max_tokens": (1, MOST_TOKENS, 9), "max_completion_tokens": (1, MOST_TOKENS, 9), "n": (1, MOST_CHOICES, 3)}
"""Field -> the least and the most that is allowed, and what stands for those in between."""


def is_whole(value: object) -> TypeGuard[float]:
    """As JSON Schema has it: 2.0 is an integer."""
    return type(value) is int or (type(value) is float and value.is_integer())


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Allowed values are made small; wrong ones stay as they are."""
    body = case.body
    if not isinstance(body, dict):
        return
    for field, (least, most, short) in SHORT.items():
        value = body.get(field)
        if is_whole(value) and least <= value <= most:
            body[field] = min(value, short)
    if is_whole(body.get("min_tokens")) and 0 < body["min_tokens"] <= MOST_TOKENS:
        body["min_tokens"] = 1
    if isinstance(body.get("model"), str) and 0 < len(body["model"]) <= MOST_NAME:
        body["model"] = "m"
