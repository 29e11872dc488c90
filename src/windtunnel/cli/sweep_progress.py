"""How far a sweep is: on a terminal a line that moves, elsewhere a line now and then; the first Ctrl-C stops it in order."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from windtunnel.cli.interrupt import interrupts
from windtunnel.sweep.run import Progress

DRAW_S = 0.2
SAY_S = 30.0


@contextmanager
def watched(progress: Progress) -> Iterator[Callable[[], bool]]:
    """What a sweep asks whether to go on; asking draws. The second Ctrl-C ends it at once."""
    terminal, drawn = sys.stderr.isatty(), False
    last = time.monotonic()

    def go_on() -> bool:
        nonlocal last, drawn
        now = time.monotonic()
        if terminal and now - last >= DRAW_S:
            click.echo(f"\r\033[K{line(progress)}", nl=False, err=True)
            last, drawn = now, True
        elif not terminal and now - last >= SAY_S:
            click.echo(line(progress), err=True)
            last = now
        return not stopped()

    try:
        with interrupts() as stopped:
            yield go_on
    finally:
        if drawn:
            click.echo("\r\033[K", nl=False, err=True)


def line(progress: Progress) -> str:
    """``40 %  400 of 1,000 points, 3 refused, 8.2/s, 1 min 13 s left``."""
    share = 100.0 * progress.done / progress.to_do if progress.to_do else 100.0
    parts = [f"{share:.0f} %  {progress.done:,} of {progress.to_do:,} points"]
    parts += [
        f"{progress.outcomes[name]:,} {name}"
        for name in ("saturated", "refused", "failed", "died")
        if progress.outcomes.get(name)
    ]
    if progress.left_s is not None:
        parts += [f"{progress.points_per_s:.3g}/s", f"{span(progress.left_s)} left"]
    return ", ".join(parts)


def span(seconds: float) -> str:
    """``42 s``, ``3 min 5 s``, ``2 h 10 min``: a time to wait."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
