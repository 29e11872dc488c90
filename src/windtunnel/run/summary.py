"""The report of a run, from what the machine remembered."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

from windtunnel.cost.evidence import Evidence
from windtunnel.errors import MissingFactError, UnsupportedError
from windtunnel.run.forwards import Forwards
from windtunnel.run.machine import SHOWN, Machine, Mark
from windtunnel.run.overlap import exposed_s, overlap_note
from windtunnel.run.record import Called, Launch, MemoryReport, RunReport, Share, StepTime, Support
from windtunnel.run.script import Ended
from windtunnel.run.served import served_of
from windtunnel.run.targets import HOST_BYTES_PER_S, HOST_FLOPS_PER_S, HOST_LINK_BYTES_PER_S
from windtunnel.workload.program.work import is_collective, known

MOST_LISTED = 5000
"""Lines of a break-down that are kept; what is left is one line."""

_BACKWARD = "aten.scaled_dot_product_attention_backward.default"
_ASKED = {"cuda": "aten._scaled_dot_product_flash_attention_backward.default"}
_FORWARD = "aten.scaled_dot_product_attention.default"
"""What a plugin is asked about for the gradient of attention, which is no operator of PyTorch's own: CUDA's kernel of that
name; elsewhere the forward operator, which brings its gradient with it."""

MOST_ALIKE = 1.5
"""How much longer than the shortest step the longest may be before the report says that they are not alike."""

_Z80 = 1.2816
"""Standard normal quantile that bounds the central 80 %."""


def report_of(
    machine: Machine, ended: Ended, *, program: str, name: str, values: bool, keep_launches: bool,
    forwards: Forwards | None = None,
) -> RunReport:  # fmt: skip
    """What happened, as the user sees it. name: what the user called the chip. forwards: to be set beside an engine's."""
    machine.flush()
    served, said = served_of(forwards) if forwards is not None else ((), ())
    kind, marks = _steps_of(machine)
    times = _step_times(machine.began, marks)
    steady = times[1:] if len(times) > 1 else times
    first, last = _steady_launches(machine, marks)
    launches = machine.launches[first:last]
    count = max(len(steady), 1)
    step_s = fmean(t.seconds for t in steady) if steady else 0.0
    flops = sum(launch.flops for launch in launches) / count
    dtype, peak = _peak(machine)
    evidence = min((launch.evidence for launch in launches if launch.seconds), default=Evidence.DATASHEET)
    return RunReport(
        program=program,
        chip=name,
        device=machine.chip.device,
        ranks=machine.ranks,
        status=ended.status,
        step_kind=kind,
        steps=tuple(times),
        step_s=step_s,
        interval_s=_interval(machine, launches, step_s),
        evidence=evidence,
        flops_per_step=flops,
        peak_flops_per_s=peak,
        dtype=dtype,
        mfu=flops / (step_s * peak) if step_s and peak else 0.0,
        by_operator=_shares(launches, count, lambda one: one.op),
        by_module=_shares(launches, count, lambda one: one.module),
        by_line=_shares(launches, count, lambda one: f"{one.site.file}:{one.site.line}" if one.site else ""),
        by_bound=_by_bound(launches, steady, count),
        memory=_memory(machine),
        support=_support(machine),
        support_source=f"{machine.support.name}: {machine.support.source}" if machine.support.name else "",
        stand_ins=machine.told_stand_ins(),
        failure=ended.failure,
        exit_status=ended.exit_status,
        operators=machine.operators,
        launches=tuple(machine.launches) if keep_launches else (),
        dropped_launches=machine.dropped,
        settings={
            "launching": ", ".join([machine.launching, *sorted(machine.launched_as - {"recurrent"})]),
            "values": "computed on the CPU" if values else "not computed",
        },
        notes=(*_unlike(kind, steady), *_notes(machine), *overlap_note(launches, count), *said),
        served=served,
        called=_called(machine),
    )


def _steps_of(machine: Machine) -> tuple[str, list[Mark]]:
    """What a step is in this program, and the ends of the steps."""
    end = Mark(machine.timeline, len(machine.launches))
    if machine.step_marks:
        return "optimizer step", machine.step_marks
    if machine.forward_marks:
        return "forward", machine.forward_marks
    return "program", [end] if end.launches else []


def _step_times(began: Mark | None, marks: Sequence[Mark]) -> list[StepTime]:
    times, start, busy, wait = [], 0.0, 0.0, 0.0
    if began is not None:
        start, busy, wait = began.at_s, began.busy_s, began.wait_s
    for mark in marks:
        times.append(StepTime(start, mark.at_s, mark.busy_s - busy, mark.wait_s - wait))
        start, busy, wait = mark.at_s, mark.busy_s, mark.wait_s
    return times


def _unlike(kind: str, steps: Sequence[StepTime]) -> tuple[str, ...]:
    """Where steps are not alike (a prompt and the tokens after it): that what is told is their mean."""
    shortest, longest = min((t.seconds for t in steps), default=0.0), max((t.seconds for t in steps), default=0.0)
    if longest <= MOST_ALIKE * shortest:
        return ()
    apart = f"from {1e3 * shortest:.3g} to {1e3 * longest:.3g} ms"
    return (f"the {len(steps)} {kind}s took {apart}; times and shares are of their mean",)


def _steady_launches(machine: Machine, marks: Sequence[Mark]) -> tuple[int, int]:
    """First and last of the launches of the steps after the first (of the first, where there is one alone)."""
    if not marks:
        return 0, len(machine.launches)
    begin = machine.began.launches if machine.began is not None else 0
    return (marks[0].launches, marks[-1].launches) if len(marks) > 1 else (begin, marks[0].launches)


def _interval(machine: Machine, launches: Sequence[Launch], step_s: float) -> tuple[float, float]:
    """80 % interval of a step: errors of one family of operators go together, those of different families do not."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for launch in launches:
        seconds[launch.family] += launch.seconds
        seconds["host"] += launch.wait_s
    total = sum(seconds.values())
    if not total:
        return step_s, step_s
    spread = math.sqrt(sum((s / total * machine.pricing.spread(family)) ** 2 for family, s in seconds.items()))
    return step_s * math.exp(-spread), step_s * math.exp(spread)


def _shares(launches: Sequence[Launch], steps: int, name: Callable[[Launch], str]) -> tuple[Share, ...]:
    groups: defaultdict[str, list[Launch]] = defaultdict(list)
    for launch in launches:
        groups[name(launch)].append(launch)
    shares = []
    for key, group in groups.items():
        bounds: Counter[str] = Counter()
        for launch in group:
            bounds[launch.bound] += launch.seconds  # type: ignore[assignment]
        shares.append(
            Share(
                key,
                sum(launch.seconds for launch in group) / steps,
                sum(launch.calls for launch in group) / steps,
                sum(launch.flops for launch in group) / steps,
                sum(launch.bytes for launch in group) / steps,
                bounds.most_common(1)[0][0],
                min(launch.evidence for launch in group),
            )
        )
    shares.sort(key=lambda share: -share.seconds)
    if len(shares) > MOST_LISTED:
        rest = shares[MOST_LISTED:]
        shares[MOST_LISTED:] = [
            Share(f"{len(rest)} others", sum(s.seconds for s in rest), sum(s.calls for s in rest), sum(s.flops for s in rest),
                  sum(s.bytes for s in rest))
        ]  # fmt: skip
    return tuple(shares)


def _by_bound(launches: Sequence[Launch], steps: Sequence[StepTime], count: int) -> tuple[Share, ...]:
    """Kernels by what bounds them, collectives by what of them nothing hides; the time between them, in which the device waits
    for the host, as "host"."""
    exposed = exposed_s(launches) / count
    shares = [replace(s, seconds=exposed) if s.name == "link" else s for s in _shares(launches, count, lambda one: one.bound)]
    idle = sum(max(t.seconds - t.busy_s, 0.0) for t in steps) / count
    inside = next((s for s in shares if s.name == "host"), None)
    shares = [s for s in shares if s.name != "host"]
    host = idle + (inside.seconds if inside else 0.0)
    if host > 0:
        shares.append(Share("host", host, inside.calls if inside else 0.0, bound="host"))
    return tuple(sorted(shares, key=lambda s: -s.seconds))


def _memory(machine: Machine) -> MemoryReport:
    holders = machine.holders_at_failure or tuple(machine.holders.at_peak())
    curve = machine.curve
    return MemoryReport(machine.capacity, curve.peak, curve.reserved_peak, curve.peak_at_s, curve.points(), holders)


def asked_as(op: str, device: str) -> str:
    """The name under which the plugin of a device is asked about an operator of a report."""
    return _ASKED.get(device, _FORWARD) if op == _BACKWARD else op


def _support(machine: Machine) -> tuple[Support, ...]:
    """Operators that do not run as kernels of the chip, or of which that is not known; fall-backs first."""
    found = []
    for op, (calls, seconds, site) in machine.calls.items():
        if op.startswith("copy to ") or is_collective(op):
            continue
        status = machine.support.of(asked_as(op, machine.chip.device))
        if status.status not in ("native", "composite"):
            found.append(Support(op, status.status, calls, seconds, site, status.via, status.note))
    order = {"cpu fallback": 0, "unknown": 1}
    return tuple(sorted(found, key=lambda s: (order.get(s.status, 2), -s.seconds)))


def _called(machine: Machine) -> tuple[Called, ...]:
    """Every operator, most often called first; what a plugin's own back end is not asked about (copies from and to the host,
    collectives) is left out."""
    found = [
        Called(op, n, site, tuple(sorted(machine.dtypes.get(op, ()))), launches)
        for calls, launches in ((machine.calls, True), (machine.views, False))
        for op, (n, _, site) in calls.items()
        if not op.startswith("copy to ") and not is_collective(op)
    ]
    return tuple(sorted(found, key=lambda c: (-c.calls, c.op)))


def _peak(machine: Machine) -> tuple[str, float]:
    """The number type in which most matrix work is done, and the chip's peak in it (0 where it is not known)."""
    work = machine.pricing.flops_by_dtype
    dtype = max(work, key=lambda d: work[d]) if work else machine.pricing.costs.wide
    try:
        return dtype, machine.chip.peak(dtype).value
    except (MissingFactError, UnsupportedError):
        return dtype, 0.0


def _notes(machine: Machine) -> tuple[str, ...]:
    peak, capacity = machine.curve.reserved_peak, machine.capacity
    misfit = [f"it does not fit: {peak / 2**30:,.1f} GiB are needed of {capacity / 2**30:,.1f} GiB"] if peak > capacity else []
    notes = misfit + [
        f"{reason}: {n} operators are counted as taking no time" for reason, n in machine.pricing.unpriced.most_common(5)
    ]
    general = sorted({op for op in machine.calls if op not in SHOWN and not known(op) and not is_collective(op)})
    if general:
        more = f" and {len(general) - 5} more" if len(general) > 5 else ""
        notes.append(f"priced as one pass over what they read and write: {', '.join(general[:5])}{more}")
    if any(launch.family in ("copy", "cpu fallback") for launch in machine.launches):
        notes.append(
            f"copies between host and chip at {HOST_LINK_BYTES_PER_S / 1e9:.0f} GB/s (PCIe 4.0 x16) and operators on the host at "
            f"{HOST_BYTES_PER_S / 1e9:.0f} GB/s and {HOST_FLOPS_PER_S / 1e12:.0f} TFLOP/s are assumed; the "
            "catalogue does not know this host"
        )
    if machine.dropped:
        notes.append(f"{machine.dropped} launches beyond the first {len(machine.launches)} are in the steps' times alone")
    return (*notes, *machine.notes)
