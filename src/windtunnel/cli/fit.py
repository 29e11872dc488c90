"""``windtunnel fit FILE.csv``: a chip's parameters from measurements."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from windtunnel.cli.files import check_readable, check_writable
from windtunnel.cli.params import json_option
from windtunnel.errors import UnsupportedError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--chip", metavar="NAME|FILE.toml", help="The chip: one of the catalogue, or a new one described in TOML.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the parameters to this TOML file.")
@json_option
def fit(file: Path, chip: str | None, output: Path | None, as_json: bool) -> None:
    """A chip's parameters from the measurements in a file.

    FILE is a CSV of operators as `windtunnel validate` reads it. Says what was fitted on, and the error on shapes that were
    held out. Without --chip, every chip that the file names is fitted. What --output writes is for `--parameters` of
    `windtunnel predict` and `windtunnel validate`.
    """
    check_readable(file, "FILE")
    if output is not None:
        check_writable(output, "--output")
    if importlib.util.find_spec("scipy") is None:
        raise UnsupportedError("fit needs numpy and scipy; install them with: pip install 'windtunnel[fit]'")
    from windtunnel.fit.fitting import fit as fit_chip

    described = Path(chip) if chip is not None and chip.endswith(".toml") else chip
    if isinstance(described, Path):
        check_readable(described, "--chip")
    report = fit_chip(file, chip=described, output=output).to_json()
    if as_json:
        from windtunnel.cli.as_json import dumps

        click.echo(dumps(report))
    else:
        from windtunnel.cli.render_reports import fit_sheet

        fit_sheet(file.name, report).show()
    if output is not None:
        click.echo(f"wrote {output}", err=True)
