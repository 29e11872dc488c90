"""How much a key may use: requests and tokens in a time, and requests at once."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields

from windtunnel.serve.api.refusal import RefusedError

MINUTE_S, DAY_S = 60.0, 86_400.0
SLOTS = 240
"""What was used is remembered by the 240th part of its window: a quarter of a second of a minute, six minutes of a day. It is let
go when the whole slot is past, so that no window ever holds more than its limit."""
AGAIN_S = 1.0
"""When to try again what waits for others to end: nobody knows when that is."""


@dataclass(frozen=True, slots=True)
class Limits:
    """None: as much as one likes. A window is the last minute or the last 24 hours, whenever one looks."""

    requests_per_min: int | None = None
    tokens_per_min: int | None = None
    tokens_per_day: int | None = None
    most_in_flight: int | None = None


LIMITS = tuple(field.name for field in fields(Limits))


class Window:
    """At most ``most`` of something in any ``window_s`` seconds."""

    def __init__(self, most: int, window_s: float) -> None:
        self.most, self.window_s = most, window_s
        self.used = 0
        self._slot_s = window_s / SLOTS
        self._slots: deque[list[int]] = deque()  # (number of the slot, what was used in it), oldest first

    def at(self, now_s: float) -> int:
        """What is used in the window that ends now."""
        slots, edge = self._slots, (now_s - self.window_s) / self._slot_s
        while slots and slots[0][0] + 1 <= edge:
            self.used -= slots.popleft()[1]
        return self.used

    def add(self, now_s: float, amount: int) -> None:
        """So much was used now, whether it fitted or not."""
        slot = math.floor(now_s / self._slot_s)
        if self._slots and self._slots[-1][0] >= slot:
            self._slots[-1][1] += amount
        else:
            self._slots.append([slot, amount])
        self.used += amount

    def wait_s(self, now_s: float, amount: int) -> float:
        """Seconds until ``amount`` more fits; inf where it never does. amount 0: until nothing of the limit is exceeded."""
        left = self.at(now_s) + amount - self.most
        if left <= 0:
            return 0.0
        for slot, used in self._slots:
            left -= used
            if left <= 0:
                return (slot + 1) * self._slot_s + self.window_s - now_s
        return math.inf

    def reset_s(self, now_s: float) -> float:
        """Seconds until the window is empty, if nothing more comes."""
        self.at(now_s)
        return (self._slots[-1][0] + 1) * self._slot_s + self.window_s - now_s if self._slots else 0.0


class Allowance:
    """What one key has used, and holds for requests under way. clock: seconds, never backwards.

    A request enters, holds the most tokens that it may come to, and leaves with those that it came to: so no crowd of requests at
    once gets past a limit that each alone would keep. Every call is made from one thread and none of them waits.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limits, self._clock = limits, clock
        self.in_flight = self.held = 0
        self.requests = None if limits.requests_per_min is None else Window(limits.requests_per_min, MINUTE_S)
        self.minute = None if limits.tokens_per_min is None else Window(limits.tokens_per_min, MINUTE_S)
        self.day = None if limits.tokens_per_day is None else Window(limits.tokens_per_day, DAY_S)

    def enter(self) -> None:
        """A request begins. Raises RefusedError (429) where that would be one too many."""
        most = self.limits.most_in_flight
        if most is not None and self.in_flight >= most:
            raise _too_many("requests", f"this key has {self.in_flight} requests under way; its limit is {most} at once", AGAIN_S)
        if self.requests is not None:
            now_s = self._clock()
            wait_s = self.requests.wait_s(now_s, 1)
            if wait_s > 0:
                raise _too_many("requests", f"this key's limit is {self.requests.most:,} requests per minute", wait_s)
            self.requests.add(now_s, 1)
        self.in_flight += 1

    def hold(self, tokens: int) -> None:
        """Sets aside the most tokens that a request may come to. Raises RefusedError (429) where they are not there."""
        now_s = self._clock()
        for window, per in ((self.minute, "minute"), (self.day, "day")):
            if window is None or window.at(now_s) + self.held + tokens <= window.most:
                continue
            limit = f"this key's limit is {window.most:,} tokens per {per}"
            if tokens > window.most:
                raise _too_many("tokens", f"{limit}, and the request may come to {tokens:,}; ask for fewer", None)
            others = f" and {self.held:,} are held for requests under way" if self.held else ""
            wait_s = window.wait_s(now_s, tokens + self.held)
            raise _too_many(
                "tokens",
                f"{limit}; {window.used:,} are used{others}, and the request may come to {tokens:,}",
                AGAIN_S if math.isinf(wait_s) else max(wait_s, AGAIN_S),
            )
        self.held += tokens

    def leave(self, held: int, used: int) -> None:
        """A request has ended that held so many tokens and used so many."""
        self.in_flight -= 1
        self.held -= held
        if used:
            now_s = self._clock()
            for window in (self.minute, self.day):
                if window is not None:
                    window.add(now_s, used)

    def remember(self, ago_s: float, tokens: int) -> None:
        """Counts for the day what was used before this process began; the oldest first, and before anything else."""
        if self.day is not None:
            self.day.add(self._clock() - ago_s, tokens)

    def headers(self) -> dict[str, str]:
        """What is left, as the OpenAI API tells it: of requests, and of tokens by whichever limit has less left."""
        now_s = self._clock()
        told = {}
        if self.requests is not None:
            left = self.requests.most - self.requests.at(now_s)
            told.update(_headers("requests", self.requests.most, left, self.requests.reset_s(now_s)))
        windows = [window for window in (self.minute, self.day) if window is not None]
        if windows:
            least = min(windows, key=lambda window: window.most - window.at(now_s))
            told.update(_headers("tokens", least.most, least.most - least.used - self.held, least.reset_s(now_s)))
        return told


def _headers(what: str, most: int, left: int, reset_s: float) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(most),
        f"x-ratelimit-remaining-{what}": str(max(0, left)),
        f"x-ratelimit-reset-{what}": duration(reset_s),
    }


def duration(seconds: float) -> str:
    """As the OpenAI API writes a time: ``6m0s``, ``1.25s``, ``12ms``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < MINUTE_S:
        return f"{math.ceil(seconds * 1000) / 1000:g}s"
    whole = math.ceil(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{f'{hours}h' if hours else ''}{minutes}m{whole % 60}s"


def _too_many(kind: str, message: str, retry_after_s: float | None) -> RefusedError:
    return RefusedError(message, status=429, kind=kind, code="rate_limit_exceeded", retry_after_s=retry_after_s)
