"""A request as it arrives, and the same request on its way through an engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """One request. arrival_s: seconds from the start; tokens in and out (at least one of each).

    prefix: segments that other requests may share, in order, each an id that stands for everything up to its end (as in
    a chain of hashes); all are ``segment_tokens`` long but the last, which ends where the input does at the latest.
    """

    arrival_s: float
    input_tokens: int
    output_tokens: int
    prefix: tuple[int, ...] = ()
    segment_tokens: int = 0


class Task:
    """A request inside an engine.

    target: tokens to prefill before it decodes (the input, and after a preemption what it had generated); done: of
    them, those in the cache; shared: of them, those in blocks that the prefix cache keeps; segments: how many of its
    prefix's segments it holds. base: its context less the engine's clock of tokens, while it decodes; end: the clock
    at which it is finished. first_s: when its first token left the engine, late_s: by how much all of its tokens are
    late beside the engine's steps; asked_s: when it came to the engine where it waits. begun_s: when its last attempt began;
    admitted_s: when that was first given a place; handed_s and joined_s, where prefill is apart: when it left there, and when it
    found a place to decode, -1 before.
    """

    __slots__ = (
        "admitted_s",
        "arrival_s",
        "asked_s",
        "attempts",
        "base",
        "begun_s",
        "blocks",
        "done",
        "end",
        "first_s",
        "generated",
        "handed_s",
        "hit",
        "id",
        "input_tokens",
        "joined_s",
        "late_s",
        "output_tokens",
        "preempted",
        "prefix",
        "segment_tokens",
        "segments",
        "shared",
        "target",
    )

    def __init__(self, number: int, request: Request) -> None:
        self.id = number
        self.arrival_s = self.asked_s = self.begun_s = self.admitted_s = request.arrival_s
        self.input_tokens = self.target = request.input_tokens
        self.output_tokens = request.output_tokens
        self.prefix = request.prefix
        self.segment_tokens = request.segment_tokens
        self.first_s = self.handed_s = self.joined_s = -1.0
        self.late_s = 0.0
        self.hit = self.done = self.shared = self.segments = self.blocks = 0
        self.generated = self.base = self.end = self.preempted = 0
        self.attempts = 1

    def again(self) -> None:
        """Back to the start, on another engine: nothing that it had is kept."""
        self.target, self.first_s, self.late_s = self.input_tokens, -1.0, 0.0
        self.handed_s = self.joined_s = -1.0
        self.done = self.shared = self.segments = self.blocks = self.generated = 0
        self.attempts += 1
