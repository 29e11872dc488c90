"""``windtunnel port scan PATH``: what binds a repository, as tables, JSON or SARIF; a gate for CI."""

from __future__ import annotations

import os
from pathlib import Path

import click

from windtunnel.cli.files import check_writable
from windtunnel.cli.params import json_option
from windtunnel.cli.port.options import chosen, path_argument, rules_options, shown_progress, targets_option
from windtunnel.errors import InvalidInputError

MOST_RESULTS = 25_000
"""Of a SARIF file that GitHub takes. **Source:** GitHub's documentation of SARIF support, "Validating your SARIF file"."""
FOUND = 1
"""Exit status where something binds that no baseline knows."""


@click.command()
@path_argument
@targets_option
@rules_options
@click.option("--sarif", type=click.Path(path_type=Path), metavar="FILE", help="Also write SARIF 2.1.0, which GitHub shows.")
@click.option("--baseline", type=click.Path(path_type=Path), metavar="FILE", help="Tell only what this file does not know.")
@click.option("--write-baseline", type=click.Path(path_type=Path), metavar="FILE", help="Write what is found as a baseline.")
@click.option("--exit-zero", is_flag=True, help="Leave with status 0 whatever is found.")
@click.option("--all", "show_all", is_flag=True, help="List every place, however many there are.")
@json_option
def scan(
    path: Path,
    to: tuple[str, ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    sarif: Path | None,
    baseline: Path | None,
    write_baseline: Path | None,
    exit_zero: bool,
    show_all: bool,
    as_json: bool,
) -> int:
    """What binds a repository to one vendor's accelerators.

    PATH is a folder or a file: Python, notebooks, C++ and CUDA, builds, scripts, images, manifests, requirements, CI. Only
    reads; nothing is imported or run. Exit status 0: nothing binds (beyond the baseline); 1: something does.
    A comment `windtunnel: ignore[RULE] reason` on a line, or alone above it, sets a finding aside; without a reason it does not.
    """
    for file, option in ((sarif, "--sarif"), (write_baseline, "--write-baseline")):
        if file is not None:
            check_writable(file, option)
    if sarif is not None and write_baseline is not None and sarif.absolute() == write_baseline.absolute():
        raise InvalidInputError("--sarif", f"{sarif} is to be the baseline too; name another file")
    from windtunnel.port import gate as gates
    from windtunnel.port.scan import scan as scan_path

    known = gates.read_baseline(baseline) if baseline is not None else None
    rules = chosen(select, ignore)
    with shown_progress() as progress:
        report = scan_path(path, to=to, rules=rules, progress=progress)
    gate = gates.gate(report.findings, known or ())
    ignores = gates.bad_ignores(path, {f.place.path for f in report.findings})
    if sarif is not None:
        from windtunnel.port.atomic import write_whole
        from windtunnel.port.sarif import sarif as log_of
        from windtunnel.port.sarif import sarif_text

        write_whole(sarif, sarif_text(log_of(report, path, known=known, prefix=_prefix(path))))
        if len(report.findings) + len(report.suppressed) > MOST_RESULTS:
            click.echo(f"{sarif} has more than the {MOST_RESULTS:,} results that GitHub takes; --select fewer rules", err=True)
    if write_baseline is not None:
        gates.write_baseline(write_baseline, report.findings)
    if as_json:
        from windtunnel.cli.as_json import dumps
        from windtunnel.cli.port.as_json import scan_json

        click.echo(dumps(scan_json(path, to, report, gate, ignores)))
    else:
        from windtunnel.cli.port.render import scan_sheet

        scan_sheet(path, to, report, gate, ignores, baseline=baseline, show_all=show_all).show()
    for file in (sarif, write_baseline):
        if file is not None:
            click.echo(f"wrote {file}", err=True)
    return FOUND if gate.new and not exit_zero and write_baseline is None else 0


def _prefix(path: Path) -> str:
    """What stands before the paths of a scan, seen from the folder that SARIF's reader takes for the root: that of the
    repository, or without one the current folder."""
    here = Path(os.path.realpath(path if path.is_dir() else path.parent))
    top = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), Path.cwd())
    if here == top or not here.is_relative_to(top):
        return ""
    return here.relative_to(top).as_posix() + "/"
