"""Measures a real device with microbenchmarks, into a file that parameters are fitted on: what ``windtunnel measure`` does."""

from __future__ import annotations

import csv
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch

from windtunnel.errors import InvalidInputError
from windtunnel.run.benchmarks import DTYPES, Case, Run, cases
from windtunnel.run.devices import Device, chip_of, device_named
from windtunnel.run.measured_chip import DeviceFigures, write_chip

COLUMNS = (
    "id", "chip", "op", "dtype", "m", "n", "k", "batch", "seq", "q_heads", "kv_heads", "head_dim", "experts", "topk", "ep",
    "in_channels", "out_channels", "image", "result", "kernel", "latency_us", "cache_warm", "source",
)  # fmt: skip
QUICK_S = 30.0
MOST_COPIES = 8
"""Sets of operands that take turns, so that none is still in the cache."""
LARGEST_SHARE = 0.2
"""Of the device's memory, for one measurement's operands; of the CPU's, which others use too, a part of 2 GiB at most."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a measurement is. seconds: since its start."""

    done: int
    of: int
    seconds: float
    at: str


@dataclass
class MeasureReport:
    """What ``measure`` did. measured: rows written this time, kept: rows that the file had; skipped: what this device cannot
    run or would take too long for, with the reason; left: how many were not come to."""

    device: Device
    chip: str
    file: Path
    measured: int = 0
    kept: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    left: int = 0
    interrupted: bool = False
    figures: DeviceFigures | None = None
    chip_file: Path | None = None


def measure(
    device: str, file: str | Path, *, minutes: float = 10.0, quick: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> MeasureReport:  # fmt: skip
    """Measures ``device`` and appends to ``file`` (a CSV of operators); rows that it has already are not measured again.

    For a device that is no chip of the catalogue, a TOML file of the same name beside it describes it as one, and its rows
    name that file. An interrupt (Ctrl-C) ends it early and keeps what there is. Raises UnsupportedError for a device that is
    not there, InvalidInputError for a file of something else.
    """
    on = device_named(device)
    path = Path(file)
    known = chip_of(on.name)
    chip_file = None if known is not None else path.with_suffix(".toml")
    name = known.id if known is not None else str(chip_file)
    rows = read_rows(path, name)
    report = MeasureReport(on, name, path, kept=len(rows), chip_file=chip_file)
    until = (QUICK_S if quick else 60.0 * minutes) * 0.95
    source = f"windtunnel measure, {date.today().isoformat()}, {on.name}, {on.software}"
    bench = Bench(on)
    try:
        _measure_all(bench, path, rows, report, cases(_types(on), quick=quick), until, source, progress)
    except KeyboardInterrupt:
        report.interrupted = True
    report.figures = figures(bench, rows)
    if chip_file is not None and report.figures.peaks and report.figures.memory_bytes_per_s:
        write_chip(chip_file, on, report.figures, source)
    elif chip_file is not None:
        report.chip_file = None
    return report


def _types(on: Device) -> tuple[str, ...]:
    """Number types worth measuring: what the CPU is used with, what accelerators are bought for."""
    return ("fp32", "bf16") if on.kind == "cpu" else ("bf16", "fp16", "fp32")


def _measure_all(
    bench: Bench, path: Path, rows: list[dict[str, str]], report: MeasureReport, todo: list[Case], until: float, source: str,
    progress: Callable[[Progress], None] | None,
) -> None:  # fmt: skip
    began = time.perf_counter()
    there = {row["id"] for row in rows}
    flops_per_s, bytes_per_s = bench.rough()
    left = [case for case in todo if case.id not in there]
    for i, case in enumerate(left):
        spent = time.perf_counter() - began
        report.left = len(left) - i
        if progress is not None:
            progress(Progress(i, len(left), spent, case.id))
        if spent > until:
            return
        budget = (until - spent) / (len(left) - i)
        if case.flops / flops_per_s + case.bytes / bytes_per_s > max(budget, 0.05):
            why = "too long for the time that there is"
        else:
            why = _one(bench, case, budget, path, rows, report, source)
        if why:
            report.skipped[why] = report.skipped.get(why, 0) + 1
    report.left = 0
    if progress is not None:
        progress(Progress(len(left), len(left), time.perf_counter() - began, ""))


def _one(
    bench: Bench, case: Case, budget: float, path: Path, rows: list[dict[str, str]], report: MeasureReport, source: str
) -> str:
    """Measures one case and writes its row; empty, or why it could not be."""
    if case.bytes > bench.room:
        return "larger than the memory that there is for it"
    try:
        seconds, warm = bench.case(case, budget)
    except (RuntimeError, NotImplementedError, TypeError) as problem:
        return f"{case.row['op']} in {case.row['dtype']}: {str(problem).splitlines()[0][:80] if str(problem) else 'failed'}"
    row = {key: str(value) for key, value in case.row.items()}
    row |= {"id": case.id, "chip": report.chip, "latency_us": f"{seconds * 1e6:.4g}", "source": source}
    row["cache_warm"] = "true" if warm else "false"
    append(path, row)
    rows.append({key: row.get(key, "") for key in COLUMNS})
    report.measured += 1
    return ""


class Bench:
    """Times functions on one device."""

    def __init__(self, on: Device) -> None:
        self.on = on
        self.device = torch.device(on.torch_name)
        self.cache = on.cache() or 0
        memory = on.memory() or 2**31
        self.room = memory * LARGEST_SHARE if on.asynchronous else min(memory * LARGEST_SHARE, 2.0**31)

    def rough(self) -> tuple[float, float]:
        """About how many FLOP/s and bytes/s, to know what will take long; low rather than high."""
        x = torch.randn(512, 512, device=self.device)
        y = torch.randn(4 * 2**20, device=self.device)
        return 2.0 * 512**3 / self.time([lambda: x @ x], 0.2), 2.0 * y.nbytes / self.time([lambda: y * 1.5], 0.2)

    def case(self, case: Case, budget: float) -> tuple[float, bool]:
        """Median seconds of a run, and whether its operands may have been in the cache."""
        wanted = math.ceil(3.0 * self.cache / max(case.bytes, 1.0))
        copies = max(1, min(wanted, MOST_COPIES, int(self.room / max(case.bytes, 1.0))))
        with torch.no_grad():
            return self.time([case.build(self.device) for _ in range(copies)], budget), copies * case.bytes < 2.0 * self.cache

    def time(self, runs: list[Run], budget: float) -> float:
        """Median seconds of one run; the runs take turns. Takes about ``budget`` seconds, and at least three runs."""
        for run in runs[:2]:
            run()
        self.on.wait()
        before = time.perf_counter()
        runs[0]()
        self.on.wait()
        once = max(time.perf_counter() - before, 1e-7)
        return self._launched(runs, once, budget) if self.on.asynchronous else self._called(runs, once, budget)

    def _called(self, runs: list[Run], once: float, budget: float) -> float:
        """On the CPU: groups of calls that are long enough for the clock."""
        group = max(1, min(100, int(20e-6 / once)))
        found: list[float] = []
        end = time.perf_counter() + 0.7 * budget
        i = 0
        while len(found) < 3 or (time.perf_counter() < end and len(found) < 1000):
            before = time.perf_counter()
            for _ in range(group):
                runs[i % len(runs)]()
                i += 1
            found.append((time.perf_counter() - before) / group)
        return statistics.median(found)

    def _launched(self, runs: list[Run], once: float, budget: float) -> float:
        """On an accelerator: many launches between two events, the device kept busy until the host is ahead."""
        count = max(3, min(200, int(0.2 * budget / once)))
        found: list[float] = []
        for _ in range(3):
            start, end = self.on.mark(), self.on.mark()
            self.on.head_start(count * 20e-6)
            start.record()
            for i in range(count):
                runs[i % len(runs)]()
            end.record()
            self.on.wait()
            found.append(start.elapsed_time(end) * 1e-3 / count)
        return statistics.median(found)

    def launch(self) -> float:
        """Seconds of the host for one tiny operator that nobody waits for."""
        x = torch.ones(1, device=self.device)
        found = []
        for _ in range(5):
            self.on.wait()
            before = time.perf_counter()
            for _ in range(200):
                torch.add(x, x)
            found.append((time.perf_counter() - before) / 200)
        self.on.wait()
        return statistics.median(found)

    def copies(self) -> tuple[float | None, float | None]:
        """Bytes/s from pinned host memory to the device and back; None on the host itself."""
        if not self.on.asynchronous or self.on.kind == "mps":
            return None, None
        try:
            here = torch.empty(64 * 2**20, dtype=torch.uint8, pin_memory=True)
            there = torch.empty_like(here, device=self.device, pin_memory=False)
        except RuntimeError:
            return None, None
        to_device = self.time([lambda: there.copy_(here, non_blocking=True)], 0.3)
        return here.nbytes / to_device, here.nbytes / self.time([lambda: here.copy_(there, non_blocking=True)], 0.3)


def figures(bench: Bench, rows: list[dict[str, str]]) -> DeviceFigures:
    """The device's peaks, from all rows that its file has, and what no row holds."""
    by_id = {case.id: case for quick in (True, False) for case in cases(tuple(DTYPES), quick=quick)}
    peaks: dict[str, float] = {}
    fastest = 0.0
    for row in rows:
        case = by_id.get(row["id"])
        if case is None:
            continue
        seconds = float(row["latency_us"]) * 1e-6
        if case.flops:
            peaks[row["dtype"]] = max(peaks.get(row["dtype"], 0.0), case.flops / seconds)
        elif row["cache_warm"] == "false" and case.bytes > 4.0 * bench.cache:
            fastest = max(fastest, case.bytes / seconds)
    return DeviceFigures(peaks, fastest or None, bench.launch(), *bench.copies())


def read_rows(path: Path, chip: str) -> list[dict[str, str]]:
    """The rows that an earlier measurement left. Raises InvalidInputError where the file is something else."""
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines)
            rows = list(reader)
            columns = tuple(reader.fieldnames or ())
    except (OSError, ValueError, csv.Error) as problem:
        raise InvalidInputError(str(path), f"cannot be read: {problem}")
    if columns != COLUMNS:
        raise InvalidInputError(str(path), "is no file of `windtunnel measure`; name a new one")
    others = sorted({str(row["chip"]) for row in rows} - {chip})
    if others:
        raise InvalidInputError(str(path), f"holds measurements of {', '.join(others[:3])}, and this is {chip}; name a new file")
    whole = [row for row in rows if all(isinstance(v, str) for v in row.values()) and row["source"]]
    if len(whole) < len(rows) or not path.read_bytes().endswith(b"\n"):
        _write(path, whole)  # a row that was cut off when the machine stopped is measured again
    return whole


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    """The file anew. Raises InvalidInputError where it cannot be written."""
    try:
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    except OSError as problem:
        raise InvalidInputError(str(path), f"cannot be written: {problem.strerror}")


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Adds a row, and the names of the columns to a new file. Raises InvalidInputError where it cannot be written."""
    try:
        if not path.exists():
            _write(path, [])
        with path.open("a", encoding="utf-8", newline="") as out:
            csv.DictWriter(out, COLUMNS, restval="").writerow(row)
    except OSError as problem:
        raise InvalidInputError(str(path), f"cannot be written: {problem.strerror}")
