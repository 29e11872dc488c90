"""Points over the cores of this machine: a process each, that ends with us, and whose death costs at most its own point."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import Connection

from windtunnel.sweep.journal import Row
from windtunnel.sweep.point import Point

Answer = Callable[[tuple[str, ...]], Row]
"""What a worker does with a point's arguments; a function of a module, which another process can import."""
Answered = list[tuple[Point, Row | None]]
"""Points with their rows; None where one worker after another died of it."""

PAUSE_S = 0.2
TRIES = 2
"""Of a point alone: a worker may be killed for another one's sake."""
AHEAD = 2
"""Points given out for each worker, so that none waits for the next."""


def local(points: Iterable[Point], answer: Answer, jobs: int) -> Generator[Answered, None, None]:
    """Answers as they come, and an empty list at the latest every ``PAUSE_S``; who stops asking ends the workers."""
    rest = iter(points)
    while True:
        suspects = yield from _until_one_dies(rest, answer, jobs)
        if not suspects:
            return
        for suspect in suspects:  # one of them took its worker along: each runs again alone, so that it shows which
            for _ in range(TRIES):
                lost = yield from _until_one_dies(iter([suspect]), answer, 1)
                if not lost:
                    break
            else:
                yield [(suspect, None)]


def _until_one_dies(points: Iterator[Point], answer: Answer, jobs: int) -> Generator[Answered, None, list[Point]]:
    """Answers from one set of workers; at last the points that were in flight when one of them died, if one did."""
    with _pool(jobs) as pool:
        flying: dict[Future[Row], Point] = {}
        while True:
            broken = False
            for point in islice(points, AHEAD * jobs - len(flying)):
                try:
                    flying[pool.submit(answer, point.args)] = point
                except BrokenProcessPool:
                    broken = True
                    flying[Future()] = point
                    break
            if not flying:
                return []
            if not broken:
                wait(flying, PAUSE_S, FIRST_COMPLETED)
            answered: Answered = []
            for future in [future for future in flying if future.done()]:
                if isinstance(future.exception(), BrokenProcessPool):
                    broken = True
                else:
                    answered.append((flying.pop(future), future.result()))
            yield answered
            if broken:
                return list(flying.values())


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that end at once when we leave, however we do."""
    spawn = multiprocessing.get_context("spawn")
    far, near = spawn.Pipe(duplex=False)
    pool = ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_begin, initargs=(far,))
    try:
        yield pool
    finally:
        near.close()
        pool.shutdown(wait=True, cancel_futures=True)
        far.close()


def _begin(lifeline: Connection) -> None:
    """In a worker: Ctrl-C is for the one that started us; when that one lets go of the lifeline, or is gone, we are too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        lifeline.poll(None)  # nothing is ever sent: it can be read when the other end is closed
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
