"""A run as a trace that Perfetto (ui.perfetto.dev) and chrome://tracing open, written piece by piece.

A process for each chip, with a thread for each of its streams, one for the steps and one for the modules; a process for
the host, with the operators that fall back to it and the chip's waits for it; counters of the memory. Times count from the
run's start on the virtual clock.

**Source:** the Trace Event Format: times in microseconds, ``X`` complete events, ``i`` instants, ``C`` counters, ``M`` names.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from windtunnel.errors import InvalidInputError
from windtunnel.run import words
from windtunnel.run.record import Launch, RunReport
from windtunnel.workload.program.call import Site

Event = dict[str, Any]
Span = tuple[int, int, str, Event]
"""Start and end in whole nanoseconds, name, arguments: whole, so that what lies within another never sticks out by rounding."""

STEPS, MODULES, STREAMS = 1, 2, 10
"""Thread numbers in a chip's process; stream n is thread STREAMS + n."""
ON_CPU, WAITING = 1, 10
"""Thread numbers in the host's process; the wait of stream n is thread WAITING + n."""


def write_trace(reports: RunReport | Sequence[RunReport], path: str | Path) -> None:
    """Writes the trace to ``path``, whole or not at all. Raises InvalidInputError where the file cannot be written."""
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(trace_text(reports))
            mask = os.umask(0)
            os.umask(mask)
            Path(name).chmod(0o666 & ~mask)
            Path(name).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as problem:
        raise InvalidInputError("trace", f"cannot write '{target}': {problem.strerror or problem}")


def trace_text(reports: RunReport | Sequence[RunReport]) -> Iterator[str]:
    """The trace's JSON, a line an event."""
    reports = [reports] if isinstance(reports, RunReport) else list(reports)
    about = {
        "program": reports[0].program if reports else "",
        "clock": "virtual: predicted times, nothing ran on these chips",
        "launches left out": sum(report.dropped_launches for report in reports),
    }
    yield f'{{"displayTimeUnit":"ms","otherData":{_dump(about)},"traceEvents":[\n'
    first = True
    for event in events(reports):
        yield _dump(event) if first else f",\n{_dump(event)}"
        first = False
    yield "\n]}\n"


_dump = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


def events(reports: Sequence[RunReport]) -> Iterator[Event]:
    """Names first, then everything in order of time, the longer first where two begin together."""
    for i, report in enumerate(reports):
        yield from _names(report, 2 * i + 1, len(reports) > 1)
    yield from heapq.merge(*(part for i, report in enumerate(reports) for part in _parts(report, 2 * i + 1)), key=_order)


def _order(event: Event) -> tuple[float, float]:
    return event["ts"], -event.get("dur", 0.0)


def _names(report: RunReport, pid: int, several: bool) -> Iterator[Event]:
    host = f"host of {words.label(report)}" if several else "host"
    for number, name, order in ((pid, f"{words.label(report)} (virtual)", pid), (pid + 1, host, pid + 1)):
        yield {"ph": "M", "pid": number, "name": "process_name", "args": {"name": name}}
        yield {"ph": "M", "pid": number, "name": "process_sort_index", "args": {"sort_index": order}}
    streams = sorted({launch.stream for launch in report.launches})
    threads = [(pid, STEPS, report.step_kind or "steps"), (pid, MODULES, "modules")]
    threads += [(pid, STREAMS + n, f"stream {n}") for n in streams]
    threads += [(pid + 1, ON_CPU, "operators on the CPU")]
    threads += [(pid + 1, WAITING + n, f"stream {n} waits for the host") for n in streams]
    for number, thread, name in threads:
        yield {"ph": "M", "pid": number, "tid": thread, "name": "thread_name", "args": {"name": name}}
        yield {"ph": "M", "pid": number, "tid": thread, "name": "thread_sort_index", "args": {"sort_index": thread}}


def _parts(report: RunReport, pid: int) -> list[Iterable[Event]]:
    """Streams of events, each in order of time."""
    place = cache(words.place)  # a program has few lines and launches from each of them thousands of times
    launches = sorted(report.launches, key=lambda launch: (launch.start_s, -launch.end_s))
    steps = [
        (_ns(s.start_s), _ns(s.end_s), f"step {i}", {"busy_s": s.busy_s, "wait_s": s.wait_s}) for i, s in enumerate(report.steps)
    ]
    return [
        _complete(steps, pid, STEPS, "step"),
        ({"ph": "i", "s": "p", "pid": pid, "tid": STEPS, "ts": start / 1e3, "name": name} for start, _, name, _ in steps),
        _complete(_modules(launches), pid, MODULES, "module"),
        (_launch(launch, pid, place) for launch in launches),
        _waits(launches, pid + 1),
        _memory(report, pid),
    ]


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _times(start: int, end: int) -> Event:
    return {"ts": start / 1e3, "dur": (end - start) / 1e3}


def _complete(spans: Iterable[Span], pid: int, tid: int, category: str) -> Iterator[Event]:
    for start, end, name, args in spans:
        yield {"ph": "X", "pid": pid, "tid": tid, "cat": category, "name": name, **_times(start, end), "args": args}


def _launch(launch: Launch, pid: int, place: Callable[[Site | None], str]) -> Event:
    cpu = launch.where == "cpu"
    return {
        "ph": "X",
        "pid": pid + 1 if cpu else pid,
        "tid": ON_CPU if cpu else STREAMS + launch.stream,
        "cat": launch.phase,
        "name": words.operator(launch.op),
        **_times(_ns(launch.start_s), _ns(launch.end_s)),
        "args": {
            "op": launch.op,
            "family": launch.family,
            "module": launch.module,
            "site": place(launch.site),
            "function": launch.site.function if launch.site else "",
            "step": launch.step,
            "bound": launch.bound,
            "flops": launch.flops,
            "bytes": launch.bytes,
            "evidence": launch.evidence.name.lower(),
            "fused calls": launch.calls,
        },
    }


def _waits(launches: Sequence[Launch], pid: int) -> list[Event]:
    """When each stream lay idle because the host had not launched yet: never before the launch that went before."""
    found: list[Event] = []
    idle_since: dict[int, int] = {}
    for launch in launches:
        start = _ns(launch.start_s)
        since = max(start - _ns(launch.wait_s), idle_since.get(launch.stream, 0))
        idle_since[launch.stream] = max(start, _ns(launch.end_s))
        if since < start:
            about = {"name": f"launch of {words.operator(launch.op)}", "cat": "wait", "args": {}}
            found.append({"ph": "X", "pid": pid, "tid": WAITING + launch.stream, **_times(since, start), **about})
    return sorted(found, key=_order)


def _memory(report: RunReport, pid: int) -> Iterator[Event]:
    last = 0
    for seconds, allocated, reserved in report.memory.curve:
        last = max(last, _ns(seconds))  # a clock never runs backwards, and a trace must not
        held = {"allocated": allocated, "reserved": reserved}
        yield {"ph": "C", "pid": pid, "ts": last / 1e3, "name": "memory in bytes", "args": held}


def _modules(launches: Sequence[Launch]) -> list[Span]:
    """Phase, and within it the modules as they contain each other, from one launch to the next on the busiest stream."""
    count: dict[int, int] = {}
    for launch in launches:
        count[launch.stream] = count.get(launch.stream, 0) + 1
    main = max(count, key=lambda stream: count[stream]) if count else 0
    found: list[Span] = []
    open_since: list[tuple[str, int]] = []
    end, step = 0, -1

    def close(depth: int) -> None:
        while len(open_since) > depth:
            name, start = open_since.pop()
            found.append((start, end, name, {}))

    for launch in launches:
        if launch.stream != main:
            continue
        path = [launch.phase, *(part for part in launch.module.split(".") if part)]
        alike = 0
        while alike < min(len(path), len(open_since)) and path[alike] == open_since[alike][0] and launch.step == step:
            alike += 1
        close(alike)
        start = max(end, _ns(launch.start_s))
        open_since += [(name, start) for name in path[alike:]]
        end, step = max(end, _ns(launch.end_s)), launch.step
    close(0)
    return sorted(found, key=lambda span: (span[0], -span[1]))
