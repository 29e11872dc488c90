"""What steering is asked and what it answers: a request, targets, a backend's description, a pick."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from windtunnel.errors import InvalidInputError

if TYPE_CHECKING:
    from windtunnel.serve.steer.speed import Speed

SEGMENT_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request, as far as it is known before it is answered.

    segments: an id for each ``segment_tokens`` tokens of the prompt, which stands for everything up to its end
    (``serve.virtual.tokens.segments`` makes them). answer_tokens: None where the client leaves the length open. streams:
    whether tokens will be told as they come (``first``, ``tokens``) and not only the end.
    """

    model: str
    prompt_tokens: int
    segments: tuple[int, ...] = ()
    answer_tokens: int | None = None
    segment_tokens: int = SEGMENT_TOKENS
    streams: bool = True


@dataclass(frozen=True, slots=True)
class Targets:
    """Seconds to the first token, and from token to token (mean of an answer), within which an answer is good."""

    ttft_s: float = 2.0
    tpot_s: float = 0.05

    def __post_init__(self) -> None:
        for name, value in (("ttft", self.ttft_s), ("tpot", self.tpot_s)):
            if not (math.isfinite(value) and value > 0.0):
                raise InvalidInputError(f"target of {name}", f"{value} s is not above 0")


@dataclass(frozen=True, slots=True)
class Lane:
    """One backend, as it is described. speed: from the cost model, None where nothing is told, so that it is learned alone.
    price_per_s: money, of any currency that all lanes share; most_in_flight: requests that it is given at once, at most."""

    speed: Speed | None = None
    price_per_s: float = 0.0
    most_in_flight: float = math.inf


class Pick(NamedTuple):
    """A lane for a request. ttft_s, tpot_s: predicted for it there, now; cached_tokens: of its prompt, those thought to be in
    the lane's prefix cache."""

    lane: str
    ttft_s: float
    tpot_s: float
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds of the last few hundred answers; zeros where there were none."""

    mean: float = 0.0
    p50: float = 0.0
    p99: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a lane. predicted and measured: of the same answers; learned_ttft, learned_tpot: measured over what the
    cost model alone says, 1.0 where nothing was seen yet, or where there is no cost model of it; answers: learned from; known:
    whether its speed is described or has been seen."""

    in_flight: int
    waiting: int
    answers: int
    predicted_ttft: Spread
    predicted_tpot: Spread
    measured_ttft: Spread
    measured_tpot: Spread
    learned_ttft: float
    learned_tpot: float
    cached_tokens: int
    known: bool
