"""``windtunnel validate FILE.csv``: how far the predictions are from what was measured."""

from __future__ import annotations

from pathlib import Path

import click

from windtunnel.cli.files import check_readable
from windtunnel.cli.params import json_option


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--parameters",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="Parameters that `windtunnel fit` wrote, for the chip they name.",
)
@json_option
def validate(file: Path, parameters: Path | None, as_json: bool) -> None:
    """Predictions against the measurements in a file.

    FILE is a CSV of serving measurements or of operators; its columns tell which (docs/accuracy.md lists them).
    Rows that cannot be predicted are counted with the reason, never dropped.
    """
    check_readable(file, "FILE")
    own = None
    if parameters is not None:
        check_readable(parameters, "--parameters")
        from windtunnel.fit.parameter_file import read_parameters

        own = read_parameters(parameters)
    from windtunnel.fit.validate import validate as measure

    report = measure(file, parameters=own).to_json()
    if as_json:
        from windtunnel.cli.as_json import dumps

        click.echo(dumps(report))
        return
    from windtunnel.cli.render_reports import validation_sheet

    validation_sheet(file.name, report).show()
