"""``windtunnel port prove PATH -- SCRIPT ARGS``: a program before and after the fix, everything compared."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from windtunnel.cli.files import check_writable
from windtunnel.cli.params import Duration, json_option
from windtunnel.cli.port.options import path_argument
from windtunnel.errors import InvalidInputError, UnsupportedError

if TYPE_CHECKING:
    from windtunnel.port.evidence import Item
    from windtunnel.port.prove import ProveReport

NOT_PROVEN = 1


@click.command()
@path_argument
@click.option(
    "--to", "to", default="npu,musa", metavar="npu,CHIP,...", help="Devices or chips that it should run on.  [npu,musa]"
)
@click.option("--unsafe", is_flag=True, help="With the unsafe fixes too.")
@click.option("--timeout", type=Duration(), default=0.0, help="End a run after so long.")
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="Also write the report as text.")
@json_option
@click.argument("program", nargs=-1, type=click.UNPROCESSED, metavar="-- SCRIPT [ARGS]...")
def prove(
    path: Path, to: str, unsafe: bool, timeout: float, report: Path | None, as_json: bool, program: tuple[str, ...]
) -> int:  # fmt: skip
    """That the rewritten program computes the same.

    Copies the folder PATH, fixes the copy, and runs SCRIPT of it (in PATH, with its own ARGS after a `--`) before and after:
    on the CPU with the same seeds and one thread, on a virtual CUDA chip with its numbers computed, then the rewritten one on
    virtual chips of the targets, and on real ones where this machine has them. Standard output, exit status, losses, gradients,
    parameters, random state and files are compared. The original is not touched. Exit status 0: all identical, and it runs on
    the targets; 1: not so.
    """
    if not program:
        raise InvalidInputError("SCRIPT", f"name the program after --, as in: windtunnel port prove {path} -- train.py")
    targets = [word.strip().lower() for word in to.split(",") if word.strip()]
    if not targets:
        raise InvalidInputError("--to", "names no target, as npu or musa")
    if report is not None:
        check_writable(report, "--report")
    if importlib.util.find_spec("torch") is None:
        raise UnsupportedError("prove needs PyTorch; install it with: pip install 'windtunnel[run]'")
    from windtunnel.cli.port.render_prove import prove_sheet
    from windtunnel.port.prove import prove as prove_path

    script, *args = program
    found = prove_path(path, script, args, to=list(dict.fromkeys(targets)), unsafe=unsafe, timeout_s=timeout or None)
    if report is not None:
        from windtunnel.port.atomic import write_whole

        write_whole(report, prove_sheet(path, found, terminal=False).text())
    if as_json:
        from windtunnel.cli.as_json import dumps

        click.echo(dumps(prove_json(path, found)))
    else:
        prove_sheet(path, found).show()
    if report is not None:
        click.echo(f"wrote {report}", err=True)
    return 0 if found.proven else NOT_PROVEN


def prove_json(path: Path, report: ProveReport) -> dict[str, Any]:
    """The report as one object of plain values."""
    return {
        "path": str(path),
        "program": report.program,
        "proven": report.proven,
        "identical": report.identical,
        "runs_on_targets": report.runs,
        "changed_files": list(report.changed),
        "changed_files_run": list(report.run_changed),
        "left": report.left,
        "needs_cuda": report.needs_cuda or None,
        "on_cpu": [_item_json(item) for item in report.items],
        "on_cuda": [_item_json(item) for item in report.cuda_items],
        "cuda_where": report.cuda_where or None,
        "targets": [
            {"target": one.target, "where": one.where, "real": one.real, "ran": one.ran, "detail": one.detail or None}
            for one in report.targets
        ],
        "obstacles": list(report.obstacles),
        "notes": list(report.notes),
        "prove_s": report.seconds,
    }


def _item_json(item: Item) -> dict[str, Any]:
    return {"name": item.name, "status": item.status, "count": item.count, "detail": item.detail or None}
