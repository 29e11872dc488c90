"""Rows of measured programs: which program a row means, and the time that is predicted for it.

``program`` is ``timm:NAME`` or ``module:factory``: a callable of an importable module that is called without arguments and
returns a ``torch.nn.Module`` of images. A row is one inference of ``batch`` square images of ``image_size``, as timm's
benchmark script runs it: evaluation mode, no gradients, the device waited for after every step. Its tables of PyTorch 2.9 and
later give the speed of models whose branches were folded for inference (eager rows of such models are up to twice as fast as
in its tables of PyTorch 2.4, and no others are), so rows are read so.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from windtunnel.catalog.chip import Chip, chip
from windtunnel.cost.host import host_cost
from windtunnel.cost.model import CostModel
from windtunnel.errors import InvalidInputError, UnknownNameError, UnsupportedError, WindtunnelError
from windtunnel.fit.parameter_file import device_of
from windtunnel.fit.serving_rows import place
from windtunnel.fit.table import size
from windtunnel.workload.ops import Op
from windtunnel.workload.program.call import Call, Step
from windtunnel.workload.program.fusion import fuse
from windtunnel.workload.program.work import work

MODES = ("eager", "compiled")
PRECISIONS = ("amp-fp16", "amp-bf16", "fp16", "bf16", "fp32")
LAYOUTS = ("nchw", "nhwc")
FOLDED_SINCE = (2, 9)
ASSUMED = "no precision, layout or mode: read as PyTorch's own (fp32, nchw, eager)"
FEW = 6
"""Programs up to which starting further processes takes longer than it saves."""


@dataclass(frozen=True, slots=True)
class ProgramRow:
    """One measured program. folded: branches that can be folded into one for inference are."""

    chip: Chip
    program: str
    image_size: int
    batch: int
    precision: str
    layout: str
    compiled: bool
    folded: bool
    notes: tuple[str, ...] = ()

    @property
    def recording(self) -> tuple[str, int, str, str]:
        """What rows share that one recording serves (or two, where branches can be folded)."""
        return self.program, self.image_size, self.precision, self.layout


@dataclass(frozen=True, slots=True)
class ProgramTime:
    """Seconds of one inference; spread: 80 % of log errors."""

    seconds: float
    spread: float


def program_row(row: Mapping[str, str]) -> ProgramRow:
    """The program that a row means. Raises UnknownNameError, InvalidInputError."""
    program = row.get("program", "")
    if ":" not in program:
        raise InvalidInputError("program", f"'{program[:60]}' should be timm:NAME or module:factory")
    values = {key: row.get(key, "").lower() for key in ("precision", "layout", "mode")}
    assumed = (ASSUMED,) if not all(values.values()) else ()
    precision, layout, mode = values["precision"] or "fp32", values["layout"] or "nchw", values["mode"] or "eager"
    for key, value, known in (("precision", precision, PRECISIONS), ("layout", layout, LAYOUTS), ("mode", mode, MODES)):
        if value not in known:
            raise UnknownNameError(key, value, known)
    return ProgramRow(
        device_of(chip(place(row.get("chip", ""))[0])), program, int(size(row, "image_size")), int(size(row, "batch")), precision,
        layout, mode == "compiled", _version(row.get("torch", "")) >= FOLDED_SINCE, assumed,
    )  # fmt: skip


def _version(text: str) -> tuple[int, ...]:
    parts = text.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def program_times(
    rows: Sequence[Mapping[str, str]], parameters: Callable[[Chip], Mapping[str, Any] | None] = lambda of: None
) -> list[ProgramTime | WindtunnelError]:
    """The time of every row, or why there is none; each program is recorded once, on all cores where there are many.

    parameters: a chip's own tables in place of the packaged ones.
    """
    out: list[ProgramTime | WindtunnelError] = [UnsupportedError("not read")] * len(rows)
    read: list[tuple[int, ProgramRow]] = []
    for i, row in enumerate(rows):
        try:
            read.append((i, program_row(row)))
        except WindtunnelError as problem:
            out[i] = problem
    if read and importlib.util.find_spec("torch") is None:
        missing = UnsupportedError("programs are recorded by PyTorch; install it with: pip install 'windtunnel[run]' timm")
        for i, _ in read:
            out[i] = missing
        return out
    read.sort(key=lambda pair: (*pair[1].recording, pair[1].folded, pair[1].batch))
    groups = [list(members) for _, members in groupby(read, key=lambda pair: pair[1].recording)]
    tasks = [([i for i, _ in g], [r for _, r in g], {r.chip.id: parameters(r.chip) for _, r in g}) for g in groups]
    for places, told in _spread_out(tasks):
        for i, time in zip(places, told, strict=True):
            out[i] = UnsupportedError(time) if isinstance(time, str) else time
    return out


_Task = tuple[list[int], list[ProgramRow], dict[str, Mapping[str, Any] | None]]


def _spread_out(tasks: Sequence[_Task]) -> Iterable[tuple[list[int], list[ProgramTime | str]]]:
    workers = min(os.cpu_count() or 1, len(tasks))
    if len(tasks) <= FEW or workers < 2:
        yield from map(_recording_times, tasks)
        return
    # processes that copy this one need no __main__ to import; where there are none such, the usual kind
    kind = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
    with ProcessPoolExecutor(workers, multiprocessing.get_context(kind)) as pool:
        yield from pool.map(_recording_times, tasks, chunksize=4)


def _recording_times(task: _Task) -> tuple[list[int], list[ProgramTime | str]]:
    """The times of rows that share a recording; a reason where there is none (errors with fields of their own do not travel)."""
    from windtunnel.run.programs import record_program

    places, rows, parameters = task
    models: dict[str, CostModel] = {}
    told: list[ProgramTime | str] = []
    kept: dict[tuple[int, bool], tuple[Step, ...]] = {}
    for row in rows:
        key = row.batch, row.folded
        try:
            if key not in kept:
                kept = {key: record_program(row.program, row.image_size, row.batch, row.precision, row.layout, folded=row.folded)}
            if row.chip.id not in models:
                models[row.chip.id] = CostModel(row.chip, own=parameters[row.chip.id])
            told.append(time_of(kept[key], models[row.chip.id], compiled=row.compiled))
        except UnknownNameError as problem:
            told.append(f"unknown {problem.kind} '{problem.name[:60]}'")
        except WindtunnelError as problem:
            told.append(str(problem))
    return places, told


def time_of(steps: Sequence[Step], costs: CostModel, *, compiled: bool = False) -> ProgramTime:
    """One run of recorded calls on a chip: launched one after the other by a host that runs ahead of the device, until all is
    done. Raises MissingFactError, UnsupportedError."""
    host = host_cost(costs.chip.device, "compiled" if compiled else "eager")
    launched = host.step_s
    done = weighed = busy = 0.0
    known: dict[int, tuple[float, float]] = {}
    launches: list[tuple[Call | None, tuple[Op, ...]]] = (
        [(None, kernel.ops) for kernel in fuse(steps)] if compiled else [(step.call, work(step.call)) for step in steps]
    )
    for call, ops in launches:
        if not ops:
            launched += host.view_s
            continue
        price = known.get(id(call)) if call is not None else None
        if price is None:
            each = [(costs.cost(op), op.count) for op in ops]
            price = sum(c.time_s * n for c, n in each), sum(c.time_s * n * c.spread for c, n in each)
            if call is not None:
                known[id(call)] = price
        launched += host.call_s
        done = max(done, launched) + price[0]
        busy += price[0]
        weighed += price[1]
    return ProgramTime(max(done, launched), weighed / busy if busy else host.spread)
