"""A sweep under way: points that are not done yet are given out, and their rows kept as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from windtunnel import __version__
from windtunnel.errors import UnsupportedError
from windtunnel.sweep.journal import Journal, Row
from windtunnel.sweep.money import Money
from windtunnel.sweep.point import Point
from windtunnel.sweep.program import digest
from windtunnel.sweep.workers import Answer, Answered

DIED = "one worker process after another ended while it simulated this point: too little memory, or killed"


@dataclass
class Progress:
    """How far a sweep is. kept: points that earlier calls had done; to_do: those of this call; done: of these, so far."""

    to_do: int
    kept: int = 0
    done: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    began_s: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began_s

    @property
    def points_per_s(self) -> float:
        return self.done / self.seconds if self.done else 0.0

    @property
    def left_s(self) -> float | None:
        """Time left at the pace so far; None before the first point is done."""
        return (self.to_do - self.done) / self.points_per_s if self.done else None


def pending(points: Iterable[Point], journal: Journal) -> Iterator[Point]:
    """Points to run: not those that are done, and of equal ones the first."""
    given: set[str] = set()
    for point in points:
        if point.key not in journal and point.key not in given:
            given.add(point.key)
            yield point


def keep(answers: Iterator[Answered], journal: Journal, progress: Progress, inputs: Answer, go_on: Callable[[], bool]) -> bool:
    """Keeps rows as they come; False where ``go_on``, which is asked several times a second, ended it.

    inputs: the input columns of a point of which nothing came back. Raises UnsupportedError where a worker runs another
    windtunnel than this one.
    """
    for answered in answers:
        rows = []
        for point, row in answered:
            if row is None:
                row = {**inputs(point.args), "outcome": "died", "reason": DIED}
            elif row["windtunnel_digest"] != digest():
                told = f"a worker runs another windtunnel ({row['windtunnel_version']}) than this one ({__version__})"
                raise UnsupportedError(f"{told}; install the same on all machines")
            rows.append((point.key, row))
            progress.done += 1
            progress.outcomes[row["outcome"]] = progress.outcomes.get(row["outcome"], 0) + 1
        if rows:
            journal.add(rows)
        if not go_on():
            return False
    return True


def rows(points: Iterable[Point], journal: Journal, money: Money) -> Iterator[Row]:
    """The rows of the points that are done, in the points' order, with what they cost."""
    for point in points:
        row = journal.row(point.key)
        if row is None:
            continue
        # files under the names that the sweep has for them, wherever it lies
        row |= {column: value for column, value in _as_written(point).items() if column in row}
        row |= {"point": point.number, "command": point.command}
        row |= money.of_row(row)
        yield row


def _as_written(point: Point) -> Row:
    return {
        name: str(point.settings[name])
        for name in ("model", "on", "prefill", "decode", "trace", "parameters")
        if name in point.settings
    }
