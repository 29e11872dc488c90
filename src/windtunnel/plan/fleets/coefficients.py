"""What each workload needs on each chip: searched once, over the cores of this machine, and kept."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from windtunnel.catalog import chip, system
from windtunnel.catalog.models import model
from windtunnel.plan.fleets import cache
from windtunnel.plan.fleets.inference import Search
from windtunnel.plan.fleets.runs import run_on
from windtunnel.plan.fleets.spec import FleetSpec, InferenceSpec, TrainingSpec, WorkloadSpec
from windtunnel.plan.fleets.ways import Found
from windtunnel.plan.place import stands_for

DAY_HOURS = 24.0
Progress = Callable[[int, int], None]
"""Called with the workloads that are done, and all of them."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One workload on the chips that it may run on; pairs: those at one site, which may serve it together."""

    workload: WorkloadSpec
    on: tuple[str, ...]
    pairs: tuple[str, ...]
    days: float
    fresh: bool


def coefficients(spec: FleetSpec, *, jobs: int = 1, fresh: bool = False, progress: Progress | None = None) -> Mapping[str, Found]:
    """Workload -> what was found. jobs: processes at once; fresh: whatever is kept."""
    tasks = [_task(spec, workload, fresh) for workload in (*spec.inference, *spec.training)]
    done: dict[str, Found] = {}
    open_tasks: list[_Task] = []
    for task in tasks:
        found = None if fresh else _kept(task)
        if found is None:
            open_tasks.append(task)
        else:
            done[task.workload.name] = found
    if progress is not None:
        progress(len(done), len(tasks))
    for task, found in zip(open_tasks, _searched(open_tasks, jobs), strict=True):
        done[task.workload.name] = found
        if progress is not None:
            progress(len(done), len(tasks))
    return done


def _searched(tasks: Sequence[_Task], jobs: int) -> Iterator[Found]:
    """What is found, in the order of the tasks."""
    if jobs <= 1 or len(tasks) <= 1:
        yield from map(_search, tasks)
        return
    with ProcessPoolExecutor(min(jobs, len(tasks)), multiprocessing.get_context("spawn"), initializer=_begin) as pool:
        yield from pool.map(_search, tasks)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started us


def _task(spec: FleetSpec, workload: WorkloadSpec, fresh: bool) -> _Task:
    able = [each for each in spec.chips if workload.may_run_on(each)]
    on = tuple(dict.fromkeys(each.on for each in able))
    if isinstance(workload, TrainingSpec):
        days = sum(each.hours for each in spec.periods[workload.first : workload.deadline + 1]) / DAY_HOURS
        return _Task(workload, on, (), days, fresh)
    assert isinstance(workload, InferenceSpec)
    together = any(a.site == b.site for a in able for b in able if a.on != b.on)
    return _Task(workload, on, on if workload.split == "any chip" and together else (), 0.0, fresh)


def _question(workload: WorkloadSpec, days: float, on: Sequence[str]) -> tuple[object, ...]:
    """All that an answer follows from, apart from this program."""
    places = [stands_for(name) for name in on]
    records = [(chip(chip_name), system(system_id) if system_id else None) for chip_name, system_id in places]
    # of the workload only what its search reads: other names, other chips and other penalties change nothing
    asked = replace(workload, name="", chips=(), without=(), sites=(), weight=1.0)
    if isinstance(asked, InferenceSpec):
        some = [rate for rate in asked.requests_per_s if rate > 0.0]
        asked = replace(asked, penalty_usd=None, requests_per_s=(min(some), max(some)))
    if isinstance(asked, TrainingSpec):
        asked = replace(asked, first=0, deadline=0)
    return (asked, days, model(workload.model), tuple(on), records)


def _kept(task: _Task) -> Found | None:
    """What is kept of a task, None where a part of it is not."""
    parts = [cache.kept(cache.key(*_question(task.workload, task.days, [on]))) for on in task.on]
    if task.pairs:
        parts.append(cache.kept(cache.key("pairs", *_question(task.workload, task.days, task.pairs))))
    known = [part for part in parts if part is not None]
    return _joined(known) if len(known) == len(parts) else None


def _search(task: _Task) -> Found:
    """Everything about one workload, what is kept taken from there."""
    workload = task.workload
    search = Search(workload) if isinstance(workload, InferenceSpec) else None
    alone: dict[str, Found] = {}
    for on in task.on:
        name = cache.key(*_question(workload, task.days, [on]))
        found = None if task.fresh else cache.kept(name)
        if found is None:
            found = search.alone(on) if search is not None else _run(workload, on, task.days)
            cache.keep(name, found)
        alone[on] = found
    parts = list(alone.values())
    if task.pairs and search is not None:
        name = cache.key("pairs", *_question(workload, task.days, task.pairs))
        together = None if task.fresh else cache.kept(name)
        if together is None:
            together = search.pairs(alone)
            cache.keep(name, together)
        parts.append(together)
    return _joined(parts)


def _run(workload: WorkloadSpec, on: str, days: float) -> Found:
    assert isinstance(workload, TrainingSpec)
    return run_on(workload, on, days)


def _joined(parts: Sequence[Found]) -> Found:
    return Found(
        tuple(way for part in parts for way in part.ways),
        tuple(run for part in parts for run in part.runs),
        {name: why for part in parts for name, why in part.refused.items()},
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )
