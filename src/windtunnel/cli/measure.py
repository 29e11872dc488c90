"""``windtunnel measure --on DEVICE FILE.csv``: microbenchmarks of a device that this machine has."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from windtunnel.cli.files import check_readable, check_writable
from windtunnel.cli.params import Rate, json_option
from windtunnel.errors import InvalidInputError, UnsupportedError

if TYPE_CHECKING:
    from windtunnel.run.measure import MeasureReport, Progress

MOST_MINUTES = 24 * 60.0
INTERRUPTED = 130


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--on", "on", required=True, metavar="DEVICE", help="cpu, cuda, cuda:1, npu, musa, mlu, xpu or mps.")
@click.option("--minutes", type=Rate(MOST_MINUTES, "minutes"), default=10.0, help="How long, at most.  [10]")
@click.option("--quick", is_flag=True, help="Half a minute: fewer shapes, enough to see that all works.")
@json_option
def measure(file: Path, on: str, minutes: float, quick: bool, as_json: bool) -> int:
    """Microbenchmarks of a device that this machine has.

    Matrix products, attention, convolutions and passes over memory of many sizes, the device's peaks, launches and copies
    from and to the host. Writes FILE, a CSV of operators for `windtunnel fit` and `windtunnel validate`; a device that the
    catalogue does not know is also described as a chip, in a TOML file beside it. Ctrl-C keeps what there is, and the same
    command goes on from there.
    """
    check_writable(file, "FILE")
    if file.exists():
        check_readable(file, "FILE")
    if file.suffix.lower() != ".csv":
        raise InvalidInputError("FILE", f"{file} should end in .csv")
    if importlib.util.find_spec("torch") is None:
        raise UnsupportedError("measure needs PyTorch; install it with: pip install 'windtunnel[run]'")
    from windtunnel.run.measure import measure as run_benchmarks

    report = run_benchmarks(on, file, minutes=minutes, quick=quick, progress=_show_progress())
    if as_json:
        from windtunnel.cli.as_json import dumps

        click.echo(dumps(measure_json(report)))
    else:
        from windtunnel.cli.render_measure import measure_sheet

        measure_sheet(report).show()
    return INTERRUPTED if report.interrupted else 0


def _show_progress() -> Any:
    """A line on standard error: one that changes on a terminal, else a new one with every tenth."""
    terminal = sys.stderr.isatty()
    tenth = -1

    def show(now: Progress) -> None:
        nonlocal tenth
        text = f"{now.done}/{now.of}  {now.seconds:3.0f} s  {now.at}"
        if terminal:
            click.echo(f"\r{text[:78]:78}", nl=now.done >= now.of, err=True)
        elif now.of and now.done * 10 // now.of > tenth:
            tenth = now.done * 10 // now.of
            click.echo(text, err=True)

    return show


def measure_json(report: MeasureReport) -> dict[str, Any]:
    """The report as one object of plain values, in SI units."""
    found = report.figures
    return {
        "device": report.device.name,
        "chip": report.chip,
        "file": str(report.file),
        "chip_file": None if report.chip_file is None else str(report.chip_file),
        "rows": report.kept + report.measured,
        "rows_measured": report.measured,
        "rows_left": report.left,
        "skipped": report.skipped,
        "peaks_flops_per_s": {} if found is None else dict(found.peaks),
        "memory_bytes_per_s": None if found is None else found.memory_bytes_per_s,
        "launch_s": None if found is None else found.launch_s,
        "to_device_bytes_per_s": None if found is None else found.to_device_bytes_per_s,
        "to_host_bytes_per_s": None if found is None else found.to_host_bytes_per_s,
    }
