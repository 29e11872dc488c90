"""What the commands of ``windtunnel rules`` share: destinations, days, lists of chips, plain text that wraps."""

from __future__ import annotations

import datetime
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from windtunnel.errors import InvalidInputError

F = TypeVar("F", bound=Callable[..., Any])
PIPE_WIDTH = 100


def to_option(command: F) -> F:
    text = "Destination: CN (Hong Kong too), Macau, or a country group: D:1, D:4, D:5, A:5, A:6."
    return click.option("--to", default="CN", show_default=True, metavar="PLACE", help=text)(command)


def date_option(command: F) -> F:
    return click.option("--date", metavar="YYYY-MM-DD", help="The day that is asked about; today.")(command)


def today() -> str:
    return datetime.date.today().isoformat()


def names(text: str, field: str) -> list[str]:
    """``h20,mi308x`` as a list without doubles. Raises InvalidInputError for none."""
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise InvalidInputError(field, "names no chip; write it as h20,h200-sxm")
    return found


def width() -> int:
    """Columns that the reader has; plain text needs no tables, and starts without them."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return max(60, min(shutil.get_terminal_size((PIPE_WIDTH, 24)).columns, 120))
    return PIPE_WIDTH


def hanging(head: str, text: str, indent: int) -> list[str]:
    """``text`` after ``head``, wrapped under its own first word."""
    lines = textwrap.wrap(text, max(20, width() - indent), break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{head:<{indent}}{lines[0]}", *(" " * indent + line for line in lines[1:])]


def columns(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = (), last: bool = True) -> list[str]:
    """Aligned columns; those of the indices ``right`` to the right, the last one wraps where ``last``."""
    table = [list(head), *(list(row) for row in rows)]
    sizes = [max(len(row[i]) for row in table) for i in range(len(head))]
    flush = set(right)
    out = []
    for row in table:
        cells = [cell.rjust(sizes[i]) if i in flush else cell.ljust(sizes[i]) for i, cell in enumerate(row)]
        if last:
            before = "  ".join(cells[:-1]) + "  "
            out += [line.rstrip() for line in hanging(before, row[-1], len(before))]
        else:
            out.append("  ".join(cells).rstrip())
    return out


def figure(value: float | None, unit: str = "") -> str:
    """``15,832``, ``2.91``, ``not known``."""
    if value is None:
        return "not known"
    text = f"{value:,.2f}" if abs(value) < 100 and value != int(value) else f"{value:,.0f}"
    return f"{text} {unit}".strip()


def plot_options(command: F) -> F:
    command = click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write it as a page.")(command)
    return click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Also draw it, as SVG.")(command)


def write_plot(path: Path | None, text: str) -> None:
    """Writes ``text`` whole or not at all, and says so; nothing where no file was named."""
    if path is None:
        return
    from windtunnel.web.file import write_whole

    write_whole(text, path)
    click.echo(f"wrote {path}", err=True)
