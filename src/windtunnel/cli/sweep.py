"""``windtunnel sweep FILE.toml``: thousands of simulations, on all cores or a cluster, into one Parquet file."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from windtunnel.cli.files import check_readable, check_writable
from windtunnel.cli.params import Count, json_option
from windtunnel.errors import InfeasibleError, InvalidInputError

if TYPE_CHECKING:
    from windtunnel.sweep.best import Best, Measure
    from windtunnel.sweep.file import Sweep
    from windtunnel.sweep.journal import Journal
    from windtunnel.sweep.money import Money

MOST_JOBS = 4096
MANY = 10_000
"""Points above which a sweep asks whether that many are meant."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.parquet", help="Where the rows go; beside FILE.")
@click.option("--jobs", type=Count(MOST_JOBS, "processes"), help="Processes at once; one a core.")
@click.option(
    "--ray", metavar="ADDRESS", help="Run on this Ray cluster: its address, auto, or local for one that is started here."
)
@click.option("--prices", type=click.Path(path_type=Path), metavar="FILE", help="Your prices and power tariff, in TOML.")
@click.option(
    "--best",
    type=click.Choice(["cost", "goodput", "ttft"]),
    help="What the table at the end ranks by; goodput with targets, else cost.",
)
@click.option("--yes", is_flag=True, help=f"Run more than {MANY:,} points.")
@click.option("--dry-run", is_flag=True, help="Say what would be run, and check every value.")
@json_option
def sweep(
    file: Path,
    out: Path | None,
    jobs: int | None,
    ray: str | None,
    prices: Path | None,
    best: str | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Thousands of simulations from a file, into one table.

    FILE is TOML: [base] holds options of `windtunnel simulate` that all points share, [grid] lists whose product is run, each
    [[case]] a single point. One row a point, with all that went in and came out; a point that cannot be is a row with
    its reason. What is stopped goes on where it was when the same command is given again, and a changed FILE runs only
    what changed.
    """
    check_readable(file, "FILE")
    if prices is not None:
        check_readable(prices, "--prices")
    from windtunnel.sweep.table import check_parquet

    out = out or file.with_suffix(".parquet")
    if not dry_run:
        check_parquet()
        check_writable(out, "--out")
        if out.absolute() == file.absolute():
            raise InvalidInputError("--out", f"{out} is the sweep's own file")
    if ray is not None:
        from windtunnel.sweep.cluster import check_ray

        check_ray()
    asked = _read(file)
    if asked.count > MANY and not (yes or dry_run):
        raise InvalidInputError(file.name, f"{asked.told} = {asked.count:,} points; add --yes to run more than {MANY:,}")
    if dry_run:
        _say_what_would_run(asked, as_json)
        return
    measure, money = _measure(asked, best), _money(asked, prices)
    from windtunnel.sweep.journal import Journal

    with Journal(out.with_name(f"{out.name}.journal")) as journal:
        whole = _run(asked, journal, ray, jobs or os.cpu_count() or 1)
        shown = _write(asked, journal, out, measure, money)
    _show(asked, out, shown, as_json)
    if not whole:
        click.echo("stopped before its end; the same command goes on with the rest", err=True)
        raise click.Abort
    _complain(shown, asked)


def _read(file: Path) -> Sweep:
    """The file, with every value in it held against its option."""
    from windtunnel.cli.sweep_point import check, check_known, kinds
    from windtunnel.errors import WindtunnelError
    from windtunnel.sweep.file import read_sweep

    found = read_sweep(file, kinds())
    for place, name, value in found.values():
        try:
            check(name, value)
            check_known(name, value, file.absolute().parent)
        except WindtunnelError as error:
            raise InvalidInputError(f"{file.name}, {place}", str(error))
    missing = next((point for point in found.points() if "model" not in point.settings), None)
    if missing is not None:
        raise InvalidInputError(file.name, f"point {missing.number:,} has no model; set it in [base]")
    return found


def _say_what_would_run(asked: Sweep, as_json: bool) -> None:
    from itertools import islice

    from windtunnel.cli.render import count

    some = [point.command for point in islice(asked.points(), 3)]
    if as_json:
        from windtunnel.cli.as_json import dumps

        click.echo(dumps({"points": asked.count, "varied": asked.varied, "commands": some}))
        return
    click.echo(f"{count(asked.count, 'point')}: {asked.told}")
    for command in some:
        click.echo(f"  {command}")
    if asked.count > len(some):
        click.echo(f"  and {asked.count - len(some):,} more")


def _run(asked: Sweep, journal: Journal, ray: str | None, jobs: int) -> bool:
    """Runs what is not done; False where it was stopped before its end."""
    from windtunnel.cli.render import count
    from windtunnel.cli.sweep_point import answer, inputs_of
    from windtunnel.cli.sweep_progress import watched
    from windtunnel.sweep.cluster import cluster
    from windtunnel.sweep.run import Progress, keep, pending
    from windtunnel.sweep.workers import local

    keys = {point.key for point in asked.points()}
    to_do = sum(key not in journal for key in keys)
    progress = Progress(to_do, kept=len(keys) - to_do)
    jobs = max(min(jobs, to_do), 1)
    where = f"on Ray ({ray})" if ray else f"in {jobs} process{'es' * (jobs > 1)}"
    before = f", {progress.kept:,} done before" if progress.kept else ""
    click.echo(
        f"{count(asked.count, 'point')}: {asked.told}{before}; {to_do:,} to run {where if to_do else ''}".rstrip(), err=True
    )
    if not to_do:
        return True
    points = pending(asked.points(), journal)
    answers = cluster(points, answer, ray, jobs) if ray else local(points, answer, jobs)
    with watched(progress) as go_on, closing(answers):
        return keep(answers, journal, progress, inputs_of, go_on)


def _measure(asked: Sweep, best: str | None) -> Measure:
    from windtunnel.sweep.best import MEASURES

    targets = any(name in ("ttft", "tpot") for _, name, _ in asked.values())
    if best == "goodput" and not targets:
        raise InvalidInputError("--best", "goodput counts what meets targets; set ttft or tpot in [base]")
    name = best or ("goodput" if targets else "cost")
    return MEASURES["cost without targets" if name == "cost" and not targets else name]


def _money(asked: Sweep, prices: Path | None) -> Money:
    from windtunnel.sweep.money import Money

    places = dict.fromkeys(str(value) for _, name, value in asked.values() if name in ("on", "prefill", "decode"))
    return Money.of(places, prices)


def _write(asked: Sweep, journal: Journal, out: Path, measure: Measure, money: Money) -> Best:
    from windtunnel.sweep.best import Best
    from windtunnel.sweep.run import rows
    from windtunnel.sweep.table import write_parquet

    best = Best(measure, note=money.note)
    write_parquet(out, best.watch(rows(asked.points(), journal, money)))
    return best


def _show(asked: Sweep, out: Path, best: Best, as_json: bool) -> None:
    from windtunnel.cli import render_sweep

    if as_json:
        from windtunnel.cli.as_json import dumps

        click.echo(dumps(render_sweep.sweep_json(asked, out, best)))
    else:
        render_sweep.sweep_sheet(asked, best).show()
        click.echo(f"\nwrote {out}; to read it, in Python:\n  {render_sweep.reading(out, best)}")


def _complain(best: Best, asked: Sweep) -> None:
    """Raises InfeasibleError where points were lost, or none could be simulated."""
    lost = sum(best.outcomes.get(outcome, 0) for outcome in ("died", "failed"))
    if lost:
        why = next(reason for reason, outcome in best.why.items() if outcome in ("died", "failed"))
        raise InfeasibleError(
            f"{lost:,} of {asked.count:,} points have no result, and are tried again by the same command: {why}"
        )
    if not best.outcomes.get("simulated", 0) + best.outcomes.get("saturated", 0):
        raise InfeasibleError(f"no point can be simulated: {next(iter(best.reasons))}")
