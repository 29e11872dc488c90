"""What all tables share: how numbers and deployments are written, and a sheet of text that fits its reader.

On a terminal tables have a rule under their header and colour; in a pipe they are aligned columns and nothing else.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import click
from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from windtunnel.plan import words
from windtunnel.sim.prediction import Deployment, Estimate, Evidence
from windtunnel.units import MICRO, MILLI

PIPE_WIDTH = 100
LEAST_WIDTH = 76
"""Narrower than this the tables would lose their names; the terminal wraps them instead."""
UNKNOWN = "-"


@dataclass
class Sheet:
    """Text under construction; ``width`` and ``terminal`` are the reader's unless they are given."""

    width: int = 0
    terminal: bool | None = None
    parts: list[RenderableType] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.terminal is None:
            self.terminal = sys.stdout.isatty()

    def line(self, text: str = "", style: str = "") -> None:
        self.parts.append(Text(text, style=style))

    def bullet(self, text: str) -> None:
        """A line that hangs under its first word where it wraps."""
        row = Table(box=None, show_header=False, padding=0, pad_edge=False)
        row.add_column(width=2, no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row("- ", Text(text))
        self.parts.append(row)

    def facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Name and value, one a line."""
        grid = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in pairs:
            grid.add_row(name, Text(value))
        self.parts.append(grid)

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        left: int = 1,
        fold: Sequence[str] = (),
    ) -> None:
        """A titled table; the first ``left`` columns and those in ``fold``, which may wrap, are text, the others numbers."""
        gap = 1 if self.terminal else 2  # the rule under a header brings one of its own
        grid = Table(box=box.SIMPLE_HEAD if self.terminal else None, pad_edge=False, padding=(0, gap, 0, 0), show_edge=False)
        for index, name in enumerate(columns):
            text = index < left or name in fold
            # names and prose may wrap, where the reader's window is narrow; a number never does
            grid.add_column(name, justify="left" if text else "right", no_wrap=not text, overflow="fold")
        count = 0
        for row in rows:
            grid.add_row(*(Text(cell) for cell in row))
            count += 1
        if not count:
            return
        self.line()
        if title:
            self.line(title, style="bold")
        self.parts.append(Padding(grid, 0))

    @property
    def window(self) -> int:
        """Columns that the reader has."""
        own = Console().width if self.terminal else _columns() or PIPE_WIDTH
        return max(LEAST_WIDTH, self.width or own)

    def text(self) -> str:
        """The sheet as text, with colour on a terminal only."""
        if self.terminal:
            console = Console(highlight=False, markup=False, emoji=False)
            console.width = self.window
        else:
            console = Console(width=self.window, highlight=False, markup=False, emoji=False, force_terminal=False, no_color=True)
        with console.capture() as capture:
            for part in self.parts:
                console.print(part)
        text = capture.get().lstrip("\n")
        return text if self.terminal else "".join(f"{line.rstrip()}\n" for line in text.splitlines())

    def show(self) -> None:
        click.echo(self.text(), nl=False)


def _columns() -> int:
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isdigit() and len(text) < 5 else 0


def number(value: float | None, digits: int = 3, *, counted: bool = True) -> str:
    """``value`` to three figures, whole with thousands apart above a hundred: ``1,520``, ``95.2``, ``0.0412``.

    counted: a whole number is shown as one (``2``); what is measured keeps its figures (``2.00``).
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0 or (counted and value == math.floor(value)) or abs(value) >= 10 ** (digits - 1) - 0.5:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    value = float(f"{value:.{digits}g}")  # 0.9999 is 1.00, not 1.000
    return f"{value:.{digits - 1 - math.floor(math.log10(abs(value)))}f}"


def _short(value: float) -> str:
    """A bound of an interval: two figures, whole from ten up."""
    return f"{value:,.0f}" if abs(value) >= 9.95 else number(value, 2)


def time_estimate(estimate: Estimate, shift_s: float = 0.0) -> str:
    """``1.42 s [1.1-1.8]``: the value, and its interval in the same unit."""
    values = [v + shift_s for v in (estimate.value, estimate.low, estimate.high)]
    factor, unit = _scale(values[0])
    value, low, high = (v / factor for v in values)
    return f"{number(value, counted=False)} {unit} [{_short(low)}-{_short(high)}]"


def time_text(seconds: float) -> str:
    """``2.00 s``, ``17.0 us``: three figures, so that a column of them reads alike."""
    factor, unit = _scale(seconds)
    return f"{number(seconds / factor, counted=False)} {unit}"


def _scale(seconds: float) -> tuple[float, str]:
    if seconds == 0:
        return 1.0, "s"
    return next(((f, u) for f, u in ((1.0, "s"), (MILLI, "ms")) if abs(seconds) >= f * 0.9995), (MICRO, "us"))


def requests(value: float) -> str:
    """A mean number of requests: ``64``, ``9.5``."""
    return number(value) if abs(value) >= 99.5 else f"{value:.1f}".removesuffix(".0")


def percent(share: float, places: int = 0) -> str:
    """``80 %``: a share of one."""
    return f"{100 * share:.{places}f} %"


def rate_estimate(estimate: Estimate) -> str:
    """``1,520 [1,300-1,700]``."""
    return f"{number(estimate.value)} [{_short(estimate.low)}-{_short(estimate.high)}]"


def evidence(value: Evidence) -> str:
    return value.name.lower()


def parallelism(deployment: Deployment) -> str:
    """``TP8``, ``TP4 PP2``, ``DP16 EP16``: the degrees above one, or TP1."""
    parts = [f"{n}{d}" for n, d in (("TP", deployment.tp), ("PP", deployment.pp), ("DP", deployment.dp)) if d > 1] or ["TP1"]
    if deployment.moe_ep > 1:
        parts.append(f"EP{deployment.moe_ep}")
        if deployment.moe_tp > 1:
            parts.append(f"expert TP{deployment.moe_tp}")
    return " ".join(parts)


def deployed_as(deployment: Deployment) -> str:
    """``TP8, FP8, vLLM 0.11``: how one instance runs."""
    return ", ".join(part for part in (parallelism(deployment), words.precision(deployment), words.engine(deployment)) if part)


def count(value: float, one: str, many: str = "") -> str:
    """``1 chip``, ``2 chips``, ``1,024 tokens``."""
    return f"{value:,.10g} {one if value == 1 else many or one + 's'}"
