"""``windtunnel fleet FILE.toml``: which workload on which chips, bought when, under supply, budget, power and rules."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from windtunnel.cli.files import check_readable, check_writable
from windtunnel.cli.params import Count, json_option
from windtunnel.errors import InfeasibleError

MOST_JOBS = 256
STDOUT = 1


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--jobs", type=Count(MOST_JOBS, "processes"), help="Processes at once while chips are searched; one a core.")
@click.option("--fresh", is_flag=True, help="Search every chip again, whatever is kept from before.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Also draw chips and cost by quarter, as SVG.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write it as a page.")
@json_option
def fleet(file: Path, jobs: int | None, fresh: bool, plot: Path | None, html: Path | None, as_json: bool) -> None:
    """Which workload on which chips, bought when, at the least cost.

    FILE is TOML: [fleet] says quarters, budget, power, floor space and destination, each [[chip]] what can be had at what price,
    each [[workload]] what is to be served or trained. The plan is proven: no other costs less by more than the gap that is
    printed. Where not all can be had, the limits that conflict are named, and the exit status is 2.
    """
    check_readable(file, "FILE")
    for path, field in ((plot, "--plot"), (html, "--html")):
        if path is not None:
            check_writable(path, field)
    from windtunnel.plan.fleets.fleet import fleet as solve

    with _silent():
        found = solve(file, jobs=jobs or os.cpu_count() or 1, fresh=fresh, progress=_Told())
    from windtunnel.cli.render_fleet import fleet_sheet

    sheet = fleet_sheet(found)
    if plot is not None or html is not None:
        from windtunnel.web.file import write_whole
        from windtunnel.web.fleet_plot import fleet_svg, page

        for path, text in ((plot, fleet_svg(found)), (html, page(found, sheet.text()))):
            if path is not None:
                write_whole(text, path)
    if as_json:
        from windtunnel.cli.as_json import dumps
        from windtunnel.cli.fleet_json import fleet_json

        click.echo(dumps(fleet_json(found)))
    else:
        sheet.show()
    for path in (plot, html):
        if path is not None:
            click.echo(f"wrote {path}", err=True)
    if found.solved is None:
        assert found.conflict is not None
        raise InfeasibleError(f"not all can be had; what conflicts: {'; '.join(found.conflict.told)}")


class _Told:
    """How far the search is, on a terminal."""

    def __init__(self) -> None:
        self.drawn = False

    def __call__(self, done: int, all_of_them: int) -> None:
        if sys.stderr.isatty() and (done < all_of_them or self.drawn):
            self.drawn = True
            click.echo(f"\rsearched {done} of {all_of_them} workloads", nl=done == all_of_them, err=True)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keeps off standard output what HiGHS writes there past Python, so that tables and JSON stand alone."""
    try:
        sys.stdout.flush()
        kept, nowhere = os.dup(STDOUT), os.open(os.devnull, os.O_WRONLY)
    except OSError:  # no standard output at all
        yield
        return
    os.dup2(nowhere, STDOUT)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).fflush(None)  # what C holds back would come out later
        os.dup2(kept, STDOUT)
        os.close(kept)
        os.close(nowhere)
