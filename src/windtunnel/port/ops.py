"""The operators that a program really calls, recorded on a virtual chip, and what a target's plugin does with each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel.catalog.chip import Chip
from windtunnel.catalog.chip import chip as chip_named
from windtunnel.catalog.chip import shelf as chip_shelf
from windtunnel.catalog.number_types import State, computes
from windtunnel.catalog.support import Census, OperatorStatus, SupportTable, plugins, support_for, support_table
from windtunnel.errors import InvalidInputError, UnknownNameError, UnsupportedError, nearest
from windtunnel.port.prove import CHIPS

if TYPE_CHECKING:
    from windtunnel.run.record import Called, RunReport

TABLES = {"cuda": "cuda", "npu": "torch_npu", "musa": "torch_musa", "mlu": "torch_mlu", "xpu": "xpu"}
"""Devices of PyTorch, and the plugin whose table tells of them."""

IMAGE_SIZE = 224
FLOATS = frozenset({"fp64", "fp32", "bf16", "fp16", "fp8", "fp4"})
STEPS = 2
"""Steps after which a program that trains is ended: what it calls, it has called by then."""


@dataclass(frozen=True, slots=True)
class TypeRow:
    """A number type that an operator was called with and that the chip lacks, or of which that is not known."""

    dtype: str
    state: State
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """One operator: what the plugin does with it, how often the program called it and where first. types: those in doubt."""

    status: OperatorStatus
    calls: int
    site: str
    dtypes: tuple[str, ...]
    launches: bool
    types: tuple[TypeRow, ...] = ()


@dataclass(frozen=True)
class OpsReport:
    """A program's operators on one plugin. recorded_on: the virtual chip that it ran on, where that is not of the target
    ``substituted`` says why. failure: why it did not run to its end, with the line; what it would have called is not known."""

    program: str
    target: str
    chip: str
    recorded_on: str
    table: SupportTable
    rows: tuple[OperatorRow, ...]
    failure: str = ""
    substituted: str = ""
    ended_after: str = ""

    @property
    def census(self) -> Census:
        return Census(self.table, tuple((row.status, row.calls) for row in self.rows))

    @property
    def lacking(self) -> tuple[tuple[OperatorRow, TypeRow], ...]:
        """Operators whose number types the chip is known not to compute."""
        return tuple((row, kind) for row in self.rows for kind in row.types if kind.state == "lacking")

    @property
    def types_unknown(self) -> tuple[str, ...]:
        return tuple(sorted({kind.dtype for row in self.rows for kind in row.types if kind.state == "unknown"}))

    @property
    def floats_unknown(self) -> tuple[str, ...]:
        """Types of broken numbers of which nobody tells; of integers no chip's record does, and the plugin's table has to do."""
        return tuple(dtype for dtype in self.types_unknown if dtype in FLOATS)

    @property
    def all_well(self) -> bool:
        """Whether the program ran to its end and every operator, in every type, is known to run on the chip."""
        return self.census.all_on_chip and not (self.lacking or self.floats_unknown or self.failure)

    @property
    def verdict(self) -> str:
        """One line that says all is well only where that is known."""
        told = [self.census.verdict]
        if self.lacking:
            kinds = sorted({kind.dtype for _, kind in self.lacking})
            told.append(f"{self.chip} does not compute {', '.join(kinds)}")
        if self.floats_unknown:
            told.append(f"whether {self.chip} computes {', '.join(self.floats_unknown)} is not known")
        if self.failure:
            told.append("the program stopped early, and what it would call after that is not known")
        return "; ".join(told)


def ops(
    program: str, args: Sequence[str] = (), *, to: str, version: str | None = None, steps: int | None = STEPS,
    image_size: int = IMAGE_SIZE,
) -> OpsReport:  # fmt: skip
    """Runs a script, or a model (``module:factory``, ``timm:NAME``), on a virtual chip of the target and tells of each operator.

    to: a device of PyTorch or a chip of the catalogue. version: of the plugin; without it the newest that a dispatcher was asked
    about. Where the program itself does not run on the target (it says "cuda"), it is recorded on a virtual CUDA chip, which the
    report says. Raises UnknownNameError, InvalidInputError, UnsupportedError for what there is not.
    """
    table, chip = _target(to, version)
    _check(program)
    on = chip.id if chip is not None else ""
    report = _run(program, args, on, steps, image_size) if on else None
    substituted = "" if on else f"the catalogue has no chip whose device is {to}"
    if on and report is not None and on != CHIPS["cuda"] and _cut_off(report):
        substituted = _why(report)
        report = None
    if report is None:
        report = _run(program, args, CHIPS["cuda"], steps, image_size)
    if not report.called:
        why = f": {_failure(report)}" if report.failure else ""
        raise UnsupportedError(f"{program} called no operator on {on or 'the chip'}, nor on a virtual {CHIPS['cuda']}{why}")
    rows = tuple(_row(called, table, chip, to) for called in report.called)
    stopped = report.status == "stopped"
    ended = f"{len(report.steps)} {report.step_kind}s" if stopped and report.steps else ""
    return OpsReport(
        " ".join([program, *args]), to, on, report.chip, table, rows, _failure(report), substituted, ended
    )  # fmt: skip


def _target(to: str, version: str | None) -> tuple[SupportTable, Chip | None]:
    """The table that tells of a target, and the chip whose number types count."""
    if to in TABLES:
        _check_version(TABLES[to], version)
        return support_table(TABLES[to], version), chip_named(CHIPS[to]) if to in CHIPS else None
    if to in ("cpu", "mps"):
        known = ", ".join(f"{plugin} ({', '.join(versions)})" for plugin, versions in plugins().items())
        raise UnsupportedError(f"no table of PyTorch's operators on {to} is known; there are: {known}")
    try:
        chip = chip_named(chip_shelf.resolve(to))
    except UnknownNameError:
        raise UnknownNameError("target", to, [*TABLES, *chip_shelf.ids(), *chip_shelf.aliases()])
    return support_for(chip, version), chip


def _check_version(plugin: str, version: str | None) -> None:
    """Raises InvalidInputError, with every version that there is a table of."""
    known = plugins()[plugin]
    if version is not None and version.strip().lower().removeprefix("v") not in known:
        raise InvalidInputError("--plugin-version", f"no table of {plugin} {version} is known; there are: {', '.join(known)}")


def _check(program: str) -> None:
    """Raises InvalidInputError where the program is neither a script nor the name of a factory."""
    path = Path(program)
    if path.is_file() or (path.is_dir() and (path / "__main__.py").is_file()):
        return
    if path.is_dir():
        scripts = sorted(p.name for p in path.glob("*.py"))[:3]
        hint = f", as {' or '.join(str(path / name) for name in scripts)}" if scripts else ""
        raise InvalidInputError("PROGRAM", f"{path} is a folder, and a census needs a program to run; name a script in it{hint}")
    source, colon, what = program.partition(":")
    if colon and what.isidentifier() and all(part.isidentifier() for part in source.split(".")):
        return
    if program.startswith("timm:"):
        return
    folder = path.parent if path.parent.is_dir() else Path()
    close = nearest(path.name, [p.name for p in folder.glob("*.py")])
    hint = f"; nearest: {', '.join(str(folder / name) for name in close)}" if close else ""
    raise InvalidInputError("PROGRAM", f"'{program}' is neither a script nor module:factory{hint}")


def _run(program: str, args: Sequence[str], on: str, steps: int | None, image_size: int) -> RunReport:
    from windtunnel.run.launch import run_program

    if Path(program).exists():
        return run_program(program, args, on=on, steps=steps, keep_launches=False, limit_memory=False)
    device = chip_named(on).device
    return run_program(
        "windtunnel.run.factory", [program, device, str(image_size)], on=on, module=True, keep_launches=False, limit_memory=False
    )  # fmt: skip


def _cut_off(report: RunReport) -> bool:
    """Whether the program did not find the target's device: it called nothing there, or asked for CUDA and failed."""
    if not report.called:
        return True
    words = f"{report.failure.error} {report.failure.message}".lower() if report.failure else ""
    return "cuda" in words or "nvidia" in words


def _why(report: RunReport) -> str:
    failure = _failure(report)
    return f"it does not run on {report.device} as it is: {failure}" if failure else f"as it is, it leaves {report.device} unused"


def _failure(report: RunReport) -> str:
    if report.failure is None:
        return f"exit status {report.exit_status}" if report.status == "failed" else ""
    site = report.failure.site
    line = f" ({Path(site.file).name}:{site.line})" if site else ""
    return f"{report.failure.error}: {report.failure.message}{line}"


def _row(called: Called, table: SupportTable, chip: Chip | None, to: str) -> OperatorRow:
    from windtunnel.run.summary import asked_as

    device = to if to in TABLES else chip.device if chip is not None else ""
    status = table.of(asked_as(called.op, device))
    if status.op != called.op:  # asked under another name; shown under the one by which it was called
        status = OperatorStatus(
            called.op, status.status, status.source, status.word, (status.op, *status.via), status.always, status.note
        )  # fmt: skip
    doubts = []
    for dtype in called.dtypes if chip is not None else ():
        found = computes(chip, dtype, called.op) if chip is not None else None
        if found is not None and found.state != "computed":
            doubts.append(TypeRow(dtype, found.state, found.reason, found.source))
    site = f"{called.site.file}:{called.site.line}" if called.site else ""
    return OperatorRow(status, called.calls, site, called.dtypes, called.launches, tuple(doubts))
