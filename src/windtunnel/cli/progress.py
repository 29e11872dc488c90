"""How far a long simulation is, on a terminal; the first Ctrl-C asks it to stop with what it knows, the second ends it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from windtunnel.cli.interrupt import interrupts
from windtunnel.sim.serving.simulation import Progress, Simulation

QUIET_S = 1.0
"""Runs shorter than this say nothing."""


@contextmanager
def watched(requests: int) -> Iterator[Progress]:
    """What a simulation asks whether to go on. requests: how many there will be, 0 where that is not known."""
    shown, began = sys.stderr.isatty(), time.monotonic()
    last, drawn = began, False

    def progress(run: Simulation) -> bool:
        nonlocal last, drawn
        now = time.monotonic()
        if shown and now - began > QUIET_S and now - last > 0.2:
            last, drawn = now, True
            tally = run.tally
            share = f"{100.0 * tally.arrived / requests:3.0f} %  " if requests else ""
            pace = tally.answered / (now - began)
            click.echo(
                f"\r{share}{tally.answered:,} requests, {run.now:,.0f} s simulated, {pace:,.0f} requests/s", nl=False, err=True
            )
        return not stopped()

    try:
        with interrupts() as stopped:
            yield progress
    finally:
        if drawn:
            click.echo("\r\033[K", nl=False, err=True)
