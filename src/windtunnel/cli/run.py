"""``windtunnel run --on CHIP SCRIPT [ARGS...]``: a PyTorch program on accelerators that are not there, or on one that is."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from windtunnel.cli.files import check_readable, check_writable
from windtunnel.cli.params import Count, OnChips, json_option
from windtunnel.errors import InvalidInputError, UnknownNameError, UnsupportedError, WindtunnelError, nearest

if TYPE_CHECKING:
    from windtunnel.run.record import RunReport

MOST_STEPS = 1_000_000
MOST_ROWS = 10_000
DEVICES = ("cpu", "cuda", "npu", "musa", "mlu", "xpu", "mps")
"""Real devices, by PyTorch's words for them."""
STARTERS = ("python", "python3", "torchrun", "accelerate", "deepspeed")
"""Programs that start a script, which people put before it."""


class OnPlaces(OnChips):
    """``CHIP[:N]``, a system, or a real device, whose number counts from 0 (``cuda:0``); several with commas between."""

    name = "CHIP[:N]|DEVICE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        found: list[str] = []
        for part in str(value).split(","):
            kind, _, index = part.strip().lower().partition(":")
            real = kind in DEVICES and (not index or index.isdecimal())
            found += [part.strip().lower()] if real else super().convert(part, param, ctx)
        return tuple(dict.fromkeys(found))


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--on",
    "on",
    type=OnPlaces(),
    required=True,
    multiple=True,
    help="Chip or system, several to see side by side; cuda, npu, cpu: the real device, measured.",
)
@click.option("--steps", type=Count(MOST_STEPS, "steps"), help="End the program after so many steps.")
@click.option("--values", is_flag=True, help="Compute real numbers on the CPU behind the virtual chip; small models only.")
@click.option(
    "--clock",
    type=click.Choice(["wall", "virtual"]),
    default="wall",
    help="What the program's own timers read; virtual: the chip's time, so that its own tokens/s are the chip's.",
)
@click.option(
    "--graph/--eager",
    help="Launches replayed from a captured graph, which takes the host no time; or as the program makes them.  [eager]",
)
@click.option("--memory-limit/--no-memory-limit", default=True, help="Run out of memory where the chip would, or go on.  [limit]")
@click.option("--served", is_flag=True, help="Beside a language model's forwards, what a serving engine would launch for them.")
@click.option("--as", "as_chip", metavar="CHIP", help="Of a real device: the chip, or the TOML file of one, to predict it as.")
@click.option(
    "--parameters", type=click.Path(path_type=Path), metavar="FILE", help="Parameters that `windtunnel fit` wrote, for the chip."
)
@click.option("--top", type=Count(MOST_ROWS, "rows"), help="Rows of each table.  [8]")
@click.option("--detail", is_flag=True, help="Of several chips, show each in full.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write a self-contained report.")
@click.option(
    "--trace", type=click.Path(path_type=Path), metavar="FILE", help="Also write a trace for Perfetto (ui.perfetto.dev)."
)
@json_option
@click.option("-m", "module", is_flag=True, help="SCRIPT names a module, as for `python -m`.")
@click.argument("script")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def run(
    on: tuple[tuple[str, ...], ...],
    steps: int | None,
    values: bool,
    clock: Literal["wall", "virtual"],
    graph: bool,
    memory_limit: bool,
    served: bool,
    as_chip: str | None,
    parameters: Path | None,
    top: int | None,
    detail: bool,
    html: Path | None,
    trace: Path | None,
    as_json: bool,
    module: bool,
    script: str,
    args: tuple[str, ...],
) -> int:
    """A PyTorch program on an accelerator that is not there.

    SCRIPT runs unchanged with everything after it as its own arguments, and needs no GPU and no driver. Says whether it
    runs on the chip and which line stops it; time per step by operator, module, source line, and by what bounds it; peak
    memory; MFU; operators without a kernel there. The program's own output comes first (on standard error with --json),
    and the exit status is the program's own.
    """
    check_program(script, module)
    chips = list(dict.fromkeys(name for names in on for name in names))
    for name in chips:
        check_chip(name)
    for path, field in ((html, "--html"), (trace, "--trace")):
        if path is not None:
            check_writable(path, field)
    if importlib.util.find_spec("torch") is None:
        raise UnsupportedError("run needs PyTorch; install it with: pip install 'windtunnel[run]'")
    from windtunnel.run.launch import run_program

    fitted: Mapping[str, Any] | None = None
    if parameters is not None:
        from windtunnel.fit.parameter_file import read_parameters

        fitted = read_parameters(parameters)
    reports: list[RunReport] = []
    refused: dict[str, str] = {}
    with output_to_stderr() if as_json else contextlib.nullcontext():
        for name in chips:
            if len(chips) > 1:
                click.echo(f"{name}:", err=True)  # whose output comes next
            try:
                report = run_program(
                    script,
                    args,
                    on=name,
                    module=module,
                    steps=steps,
                    values=values,
                    clock=clock,
                    graph=graph,
                    keep_launches=html is not None or trace is not None,
                    limit_memory=memory_limit,
                    chip=as_chip,
                    parameters=fitted,
                    served=served,
                )
            except WindtunnelError as problem:
                if len(chips) == 1:
                    raise
                refused[name] = str(problem)
                continue
            reports.append(report)
            if report.status == "stopped" and steps is None:
                break  # interrupted: what is there is shown, and no further chip is begun
    written = _write(reports, refused, html, trace)
    _show(reports, refused, as_json=as_json, top=top, detail=detail)
    for path in written:
        click.echo(f"wrote {path}", err=True)
    if not reports:
        raise UnsupportedError("the program ran on none of these chips")
    return next((status for status in map(_exit_status, reports) if status), WindtunnelError.exit_status if refused else 0)


def _exit_status(report: RunReport) -> int:
    """The program's own, as a shell tells it: 128 and the signal's number where one killed it."""
    return 128 - report.exit_status if report.exit_status < 0 else report.exit_status


def _write(reports: Sequence[RunReport], refused: dict[str, str], html: Path | None, trace: Path | None) -> list[Path]:
    """The files that were asked for, before anything is said."""
    if not reports:
        return []
    written = []
    if html is not None:
        from windtunnel.web.run_report import write_run_report

        write_run_report(reports, html, refused=refused)
        written.append(html)
    if trace is not None:
        from windtunnel.run.trace import write_trace

        write_trace(reports, trace)
        written.append(trace)
    return written


def _show(reports: Sequence[RunReport], refused: dict[str, str], *, as_json: bool, top: int | None, detail: bool) -> None:
    if as_json:
        from windtunnel.cli.as_json import dumps
        from windtunnel.cli.run_json import runs_json

        click.echo(dumps(runs_json(reports, refused)))
        return
    from windtunnel.cli.render_run import TOP, run_sheet
    from windtunnel.cli.render_runs import runs_sheet

    if len(reports) == 1 and not refused:
        run_sheet(reports[0], top=top or TOP).show()
    else:
        runs_sheet(reports, refused, top=top or TOP, detail=detail).show()


@contextlib.contextmanager
def output_to_stderr() -> Iterator[None]:
    """What programs write to standard output goes to standard error, from processes that are started within as well."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # somebody closed standard output; there is nothing to keep clean
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def check_program(script: str, module: bool) -> None:
    """Raises InvalidInputError where there is no such script or module, with the nearest that there is."""
    if module:
        top = script.partition(".")[0]
        if PathFinder.find_spec(top, [str(Path.cwd()), *sys.path]) is None:
            raise InvalidInputError("-m", f"there is no module {script}")
        return
    path = Path(script)
    if path.is_dir():
        if (path / "__main__.py").is_file():
            return  # python runs such a folder too
        raise InvalidInputError("SCRIPT", f"{path} is a folder; name a script in it, or a module after -m")
    if path.exists():
        check_readable(path, "SCRIPT")
        return
    if script in STARTERS:
        raise InvalidInputError(
            "SCRIPT", f"leave out '{script}': name the script itself, as in: windtunnel run --on h20 train.py"
        )
    folder = path.parent if path.parent.is_dir() else Path()
    close = nearest(path.name, [p.name for p in folder.glob("*.py")])
    hint = f"; nearest: {', '.join(str(folder / name) for name in close)}" if close else ""
    raise InvalidInputError("SCRIPT", f"there is no file {path}{hint}")


def check_chip(name: str) -> None:
    """Raises UnknownNameError where ``name`` is neither a chip, nor a system, nor a real device."""
    from windtunnel.catalog.chip import shelf as chips
    from windtunnel.catalog.system import shelf as systems

    plain = name.partition(":")[0]
    if plain in DEVICES:
        return
    if plain.lower().endswith(".toml"):
        check_readable(Path(plain), "--on")
        return
    for shelf in (chips, systems):
        with contextlib.suppress(UnknownNameError):
            shelf.resolve(plain)
            return
    raise UnknownNameError("chip or system", plain, [*chips.ids(), *systems.ids(), *chips.aliases(), *DEVICES])
