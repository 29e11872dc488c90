"""``windtunnel port ops PROGRAM --to npu``: the operators that a program calls, and what the target's plugin does with each."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from windtunnel.cli.params import Count, json_option
from windtunnel.errors import UnsupportedError

if TYPE_CHECKING:
    from windtunnel.port.ops import OpsReport

NOT_ALL_WELL = 1
MOST_STEPS = 1_000_000
LARGEST_IMAGE = 10_000
MOST_ROWS = 30


@click.command()
@click.option("--to", "to", required=True, metavar="DEVICE|CHIP", help="npu, musa, mlu, xpu, cuda, or a chip's name.")
@click.option("--plugin-version", metavar="V", help="Of torch_npu, ...  [the newest whose dispatcher was asked]")
@click.option("--steps", type=Count(MOST_STEPS, "steps"), default=2, help="Steps after which training is ended.  [2]")
@click.option(
    "--image-size", type=Count(LARGEST_IMAGE, "pixels"), default=224, help="Of the images that a model is given.  [224]"
)
@click.option("--all", "show_all", is_flag=True, help="List every operator, those that have kernels too.")
@json_option
@click.argument("program")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def ops(
    to: str,
    plugin_version: str | None,
    steps: int,
    image_size: int,
    show_all: bool,
    as_json: bool,
    program: str,
    args: tuple[str, ...],
) -> int:
    """What an accelerator does with the operators of a program.

    PROGRAM is a script (its ARGS after a `--`), or a model: module:factory, a function that gives a torch.nn.Module (and, in
    a tuple, what it is called with), or timm:NAME. It runs on a virtual chip; its output goes to standard error. Every operator
    that it called is held against the plugin's table: its own kernel, made of others, the host's CPU, unknown. Exit status 0:
    all run on the chip; 1: not so, or not known.
    """
    if importlib.util.find_spec("torch") is None:
        raise UnsupportedError("ops needs PyTorch; install it with: pip install 'windtunnel[run]'")
    from windtunnel.cli.run import output_to_stderr
    from windtunnel.port.ops import ops as census_of

    with output_to_stderr():
        report = census_of(program, args, to=to.strip().lower(), version=plugin_version, steps=steps, image_size=image_size)
    if as_json:
        from windtunnel.cli.as_json import dumps

        click.echo(dumps(ops_json(report)))
    else:
        _show(report, show_all)
    return 0 if report.all_well else NOT_ALL_WELL


def _show(report: OpsReport, show_all: bool) -> None:
    from windtunnel.cli.render import Sheet

    sheet = Sheet()
    sheet.line(f"{report.program} to {report.target}: {report.verdict}", style="bold")
    counts, calls = report.census.counts, report.census.calls
    facts = [("operators", ", ".join(f"{n:,} {status}" for status, n in counts.items() if n))]
    facts.append(("calls", ", ".join(f"{n:,} {status}" for status, n in calls.items() if n)))
    on = report.recorded_on
    facts.append(("recorded on", f"virtual {on}" + (f": {report.substituted}" if report.substituted else "")))
    if report.ended_after:
        facts.append(("ended after", report.ended_after))
    if report.failure:
        facts.append(("stopped by", report.failure))
    facts.append(("table", f"{report.table.name}: {report.table.source}"))
    if report.types_unknown:
        facts.append(("types", f"whether {report.chip} computes {', '.join(report.types_unknown)} in them, no source tells"))
    sheet.facts(facts)
    shown = [row for row in report.rows if show_all or row.status.status in ("cpu fallback", "unknown")]
    order = {"cpu fallback": 0, "unknown": 1, "composite": 2, "native": 3}
    shown.sort(key=lambda row: (order[row.status.status], -row.calls, row.status.op))
    title = "Every operator" if show_all else "Operators that do not run on the chip, or of which that is not known"
    rows = shown if show_all else shown[:MOST_ROWS]
    sheet.table(
        title,
        ("operator", "calls", "is", "first called", "why"),
        (
            (
                row.status.op.removesuffix(".default"),
                f"{row.calls:,}",
                row.status.status + ("" if row.status.always else ", for some arguments"),
                _short(row.site),
                _why(row.status.via, row.status.note),
            )
            for row in rows
        ),
        fold=("is", "first called", "why"),
    )
    if len(rows) < len(shown):
        sheet.line(f"and {len(shown) - len(rows)} more; --all lists them", style="dim")
    sheet.table(
        "Number types that the chip lacks",
        ("operator", "type", "first called", "why"),
        ((row.status.op.removesuffix(".default"), kind.dtype, _short(row.site), kind.reason) for row, kind in report.lacking),
        left=4,
    )
    for note in report.table.notes:
        sheet.line()
        sheet.bullet(note)
    sheet.show()


def _why(via: tuple[str, ...], note: str) -> str:
    chain = " > ".join(name.removeprefix("aten.").removesuffix(".default") for name in via)
    return f"{note} (through {chain})" if chain and note else note or (f"through {chain}" if chain else "")


def _short(site: str) -> str:
    return f"{Path(site).name}" if site else ""


def ops_json(report: OpsReport) -> dict[str, Any]:
    """The report as one object of plain values."""
    return {
        "program": report.program,
        "target": report.target,
        "chip": report.chip or None,
        "recorded_on": report.recorded_on,
        "substituted": report.substituted or None,
        "plugin": report.table.plugin,
        "plugin_version": report.table.version or None,
        "source": report.table.source,
        "verdict": report.verdict,
        "all_well": report.all_well,
        "failure": report.failure or None,
        "operators_by_status": dict(report.census.counts),
        "calls_by_status": dict(report.census.calls),
        "census": [
            {
                "op": row.status.op,
                "status": row.status.status,
                "always": row.status.always,
                "word": row.status.word or None,
                "via": list(row.status.via),
                "note": row.status.note or None,
                "calls": row.calls,
                "first_called": row.site or None,
                "dtypes": list(row.dtypes),
                "launches": row.launches,
                "types_in_doubt": [
                    {"dtype": kind.dtype, "state": kind.state, "reason": kind.reason, "source": kind.source} for kind in row.types
                ],
            }
            for row in report.rows
        ],
    }
