"""The program's own timers on the virtual clock."""

from __future__ import annotations

import asyncio.base_events
import multiprocessing.connection
import multiprocessing.popen_fork
import multiprocessing.queues
import time
import timeit
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from windtunnel.run.machine import Machine

_WAITING = (multiprocessing.connection, multiprocessing.queues, multiprocessing.popen_fork, asyncio.base_events)
"""Modules that wait for other processes until a moment of the real clock: for them it must go on."""

_SECONDS = ("time", "perf_counter", "monotonic", "process_time")


@contextmanager
def script_clock(machine: Machine) -> Iterator[None]:
    """While entered, ``time.time``, ``perf_counter``, ``monotonic`` (and their ``_ns``) advance with the virtual host, and
    ``sleep`` lets it sleep. Only what the host does for the device takes time: plain Python takes none."""
    truly = types.SimpleNamespace(**vars(time))
    waiting = [module for module in _WAITING if getattr(module, "time", None) is time]
    begun = {name: getattr(time, name)() for name in _SECONDS}
    kept = {name: getattr(time, name) for name in (*_SECONDS, *(f"{n}_ns" for n in _SECONDS), "sleep")}

    def seconds(name: str) -> Callable[[], float]:
        def read() -> float:
            machine.flush()
            return float(begun[name] + machine.timeline.host_s)

        return read

    def nanoseconds(name: str) -> Callable[[], int]:
        def read() -> int:
            machine.flush()
            return int((begun[name] + machine.timeline.host_s) * 1e9)

        return read

    def sleep(duration: Any) -> None:
        machine.timeline.host_s += max(float(duration), 0.0)

    clocks = (timeit.Timer.__init__, timeit.timeit, timeit.repeat)
    timers = [(clock, clock.__defaults__ or ()) for clock in clocks]
    real = timeit.default_timer
    for name in _SECONDS:
        setattr(time, name, seconds(name))
        setattr(time, f"{name}_ns", nanoseconds(name))
    time.sleep = sleep
    for module in waiting:
        module.time = truly  # type: ignore[attr-defined]
    timeit.default_timer = time.perf_counter
    for clock, defaults in timers:
        clock.__defaults__ = tuple(time.perf_counter if d is real else d for d in defaults)
    try:
        yield
    finally:
        for name, old in kept.items():
            setattr(time, name, old)
        for module in waiting:
            module.time = time  # type: ignore[attr-defined]
        timeit.default_timer = real
        for clock, defaults in timers:
            clock.__defaults__ = defaults
