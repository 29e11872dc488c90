"""What a request came to, for whoever keeps accounts of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from windtunnel.serve.api.asked import Asked, Prompt
from windtunnel.serve.api.backend import Generation
from windtunnel.serve.api.metrics import Watch
from windtunnel.serve.door.visit import Record, Visit

BYTES_PER_TOKEN = 4
"""Of text whose tokens nobody has counted yet."""


def estimate(prompt: Prompt) -> int:
    """Tokens of a prompt that nobody has counted yet."""
    return len(prompt.ids) + math.ceil(len(prompt.text.encode(errors="replace")) / BYTES_PER_TOKEN)


def hold(visit: Visit, asked: Asked) -> None:
    """Sets aside what the request may come to. Raises RefusedError (429) where its key may not use as much."""
    visit.record.model, visit.record.stream = asked.model, asked.stream
    answers = len(asked.prompts) * asked.choices
    visit.hold(
        sum(estimate(prompt) for prompt in asked.prompts),
        None if asked.most_tokens is None else asked.most_tokens * answers,
        answers,
    )


def write(record: Record, asked: Asked, generations: Sequence[Generation], watches: Sequence[Watch]) -> None:
    """Fills in what is known of a request that has ended, whatever its end was. Each prompt counts once."""
    each = generations[:: asked.choices]
    record.prompt_tokens = sum(generation.prompt_tokens for generation in each)
    record.cached_tokens = sum(generation.cached_tokens for generation in each)
    record.completion_tokens = sum(watch.tokens for watch in watches)
    begun = [watch for watch in watches if watch.tokens]
    if begun:
        record.ttft_s = round(min(watch.first_s - watch.begun_s for watch in begun), 6)
    between = [(watch.last_s - watch.first_s) / (watch.tokens - 1) for watch in begun if watch.tokens > 1]
    if between:
        record.tpot_s = round(sum(between) / len(between), 6)
    finishes = dict.fromkeys(watch.finish for watch in watches if watch.finish)
    if finishes and record.finish is None:  # an error comes before what some of the answers came to
        record.finish = ",".join(finishes)
