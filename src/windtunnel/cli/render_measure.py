"""What was measured of a device, as a sheet: its figures, what could not be, and what the file is for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from windtunnel.cli.render import Sheet, count, number, time_text

if TYPE_CHECKING:
    from windtunnel.run.measure import MeasureReport


def measure_sheet(report: MeasureReport, *, width: int = 0, terminal: bool | None = None) -> Sheet:
    """The device, its peaks, rows written and left, and the commands that take them."""
    sheet = Sheet(width=width, terminal=terminal)
    sheet.line(f"{report.device.name} ({report.device.torch_name})", style="bold")
    sheet.facts(_figures(report))
    if report.left:
        sheet.line()
        why = "interrupted" if report.interrupted else "the time is over"
        sheet.line(f"{why}: {count(report.left, 'measurement')} left; the same command goes on with them")
    if report.skipped:
        sheet.line()
        sheet.line("Not measured", style="bold")
        for reason, times in sorted(report.skipped.items()):
            sheet.bullet(f"{times} x {reason}")
    if report.measured or report.kept:
        sheet.line()
        sheet.line("What it is for", style="bold")
        for command in _commands(report):
            sheet.line(f"  {command}")
    return sheet


def _figures(report: MeasureReport) -> Iterator[tuple[str, str]]:
    found = report.figures
    if found is not None:
        for dtype, peak in found.peaks.items():
            yield f"fastest in {dtype}", f"{number(peak / 1e12)} TFLOP/s"
        if found.memory_bytes_per_s:
            yield "memory", f"{number(found.memory_bytes_per_s / 1e9)} GB/s"
        if found.launch_s:
            yield "launching a tiny operator", f"{time_text(found.launch_s)} of the host"
        for way, speed in (("to the device", found.to_device_bytes_per_s), ("to the host", found.to_host_bytes_per_s)):
            if speed:
                yield f"copies {way}", f"{number(speed / 1e9)} GB/s"
    yield "rows", f"{report.kept + report.measured} in {report.file}" + (f", {report.kept} from before" if report.kept else "")
    if report.chip_file is not None:
        yield "as a chip", f"{report.chip_file} (the catalogue has none of this name)"
    elif report.chip.endswith(".toml"):
        yield "as a chip", "not yet: no product or no large pass over memory has been measured"


def _commands(report: MeasureReport) -> Iterator[str]:
    file, chip = shlex.quote(str(report.file)), shlex.quote(report.chip)
    parameters = shlex.quote(str(report.file.with_suffix(".parameters.toml")))
    yield f"windtunnel fit {file} --chip {chip} -o {parameters}"
    yield f"windtunnel validate {file} --parameters {parameters}"
    named = f" --as {chip}" if report.chip_file is not None else ""
    yield f"windtunnel run --on {report.device.torch_name}{named} SCRIPT"
