"""``windtunnel port fix PATH``: the spelling rewritten, as a diff or on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from windtunnel.cli.params import json_option
from windtunnel.cli.port.options import chosen, path_argument, rules_options, shown_progress, targets_option
from windtunnel.errors import InvalidInputError, UnsupportedError

if TYPE_CHECKING:
    from windtunnel.port.fix import FixReport

ROLLED_BACK = 1
"""Exit status where a fix had to be taken back."""
MOST_NAMED = 3


@click.command()
@path_argument
@click.option("--diff", is_flag=True, help="Print the changes as a diff that `git apply` takes, and write nothing.")
@click.option("--write", is_flag=True, help="Change the files.")
@click.option("--unsafe", is_flag=True, help="Also what may do something else afterwards; each says what.")
@click.option("--force", is_flag=True, help="Write into a git tree that has uncommitted changes.")
@targets_option
@rules_options
@json_option
def fix(
    path: Path,
    diff: bool,
    write: bool,
    unsafe: bool,
    force: bool,
    to: tuple[str, ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    as_json: bool,
) -> int:
    """The spelling rewritten so that it runs everywhere.

    Without --diff or --write it tells what would change. On CUDA, and on a machine without an accelerator, the program does
    what it did. Only files with a finding are touched, every other byte stays, and a second fix changes nothing. What cannot be
    fixed is left, with the reason. Exit status 1 where a fix had to be taken back since the file would not have parsed.
    """
    if diff and write:
        raise InvalidInputError("--diff", "shows what would change, --write changes it; ask for one of them")
    if force and not write:
        raise InvalidInputError("--force", "is for --write, which is not asked for")
    if diff and as_json:
        raise InvalidInputError("--diff", "--json has the diffs too; ask for one of them")
    from windtunnel.port.fix import fix as fix_path

    rules = chosen(select, ignore)
    if write and not force:
        _check_committed(path)
    with shown_progress() as progress:
        try:
            report = fix_path(path, write=write, unsafe=unsafe, to=to, rules=rules, progress=progress)
        except KeyboardInterrupt:
            if write:
                progress.done()
                click.echo(_interrupted(progress.written), err=True)
            raise
    if as_json:
        from windtunnel.cli.as_json import dumps

        click.echo(dumps(fix_json(path, to, unsafe, report)))
    elif diff:
        for one in report.diffs:
            click.echo(one.diff, nl=False)
        from windtunnel.cli.port.render import EXPECTED
        from windtunnel.cli.render import count

        told = f"{count(len(report.fixed), 'place')} in {count(len(report.diffs), 'file')} would change"
        unread = sum(one.reason not in EXPECTED for one in report.skipped)
        for number, what in ((len(report.left), "left"), (unread, "not read")):
            told += f", {number:,} {what}" if number else ""
        click.echo(told, err=True)
    else:
        from windtunnel.cli.port.render_fix import fix_sheet

        fix_sheet(path, report, unsafe=unsafe).show()
    return ROLLED_BACK if report.rolled_back else 0


def _interrupted(written: int) -> str:
    from windtunnel.cli.render import count

    return f"windtunnel: interrupted; {count(written, 'file')} changed, every other is as it was"


def _check_committed(path: Path) -> None:
    """Raises UnsupportedError where ``path`` lies in a git tree with changes that are not committed; without git, or outside
    of any such tree, nobody can tell."""
    from windtunnel.port.git import uncommitted

    changed = uncommitted(path)
    if changed:
        more = f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
        raise UnsupportedError(
            f"{path} has changes that are not committed ({', '.join(changed[:MOST_NAMED])}{more}), from which the fix could "
            "not be told apart; commit them, or add --force"
        )


def fix_json(path: Path, to: tuple[str, ...], unsafe: bool, report: FixReport) -> dict[str, Any]:
    """The report as one object of plain values."""
    from windtunnel.cli.port.as_json import counts_json, finding_json, skipped_json

    return {
        "path": str(path),
        "to": list(to),
        "unsafe": unsafe,
        "written": report.written,
        "fixed": len(report.fixed),
        "fixed_by_rule": {rule: sum(f.rule == rule for f in report.fixed) for rule in sorted({f.rule for f in report.fixed})},
        "left": counts_json([one.finding for one in report.left]),
        "left_places": [{**finding_json(one.finding), "reason": one.reason} for one in report.left],
        "changed": [{"path": one.path, "diff": one.diff} for one in report.diffs],
        "rolled_back": skipped_json(report.rolled_back),
        "suppressed": len(report.suppressed),
        "skipped": skipped_json(report.skipped),
        "files": report.files,
        "lowest_torch": report.lowest_torch or None,
    }
