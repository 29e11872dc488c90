"""The findings of a run, one sentence each: what a reader takes away before any plot is explained."""

from __future__ import annotations

from collections.abc import Sequence

from windtunnel.run import words as run_words
from windtunnel.run.record import RunReport
from windtunnel.web import words

BOUND_BY = {
    "matrix unit": "the matrix unit",
    "memory": "memory bandwidth",
    "link": "the links between chips",
    "start": "the fixed part of kernels",
    "host": "the host",
}
"""What a bound is called in a sentence."""


def answer(reports: Sequence[RunReport]) -> str:
    """Whether it runs there and how fast; of several chips, which is the fastest."""
    if len(reports) == 1:
        return _alone(reports[0])
    timed = [report for report in reports if run_words.has_steps(report)]
    failed = [run_words.label(report) for report in reports if report.status == "failed"]
    said = []
    if timed:
        best = min(timed, key=lambda report: report.step_s)
        others = [report for report in timed if report is not best]
        step = f"{words.seconds(best.step_s)} per {best.step_kind or 'step'}"
        said.append(f"{run_words.label(best)} is fastest: {step}{_ahead(best, others)}.")
    if failed:
        said.append(f"It does not run on {_listed(failed)}.")
    return " ".join(said) or "It ran on none of the chips long enough to be timed."


def _ahead(best: RunReport, others: Sequence[RunReport]) -> str:
    ratios = [(run_words.times_as_fast(other, best), other) for other in others]
    told = [(ratio, other) for ratio, other in ratios if ratio is not None]
    if not told:
        return ""
    ratio, other = min(told, key=lambda pair: pair[0])
    return f", {words.number(ratio)} times as fast as {run_words.label(other)}"


def _alone(report: RunReport) -> str:
    name = run_words.label(report)
    if report.status == "failed":
        return f"It does not run on {name}: {run_words.failed_at(report)}."
    start = "As far as is known it runs" if run_words.with_status(report, run_words.UNKNOWN) else "It runs"
    fallbacks = len(run_words.with_status(report, run_words.FALLBACK))
    on_cpu = f", with {fallbacks} operator{'s' * (fallbacks != 1)} on the CPU" if fallbacks else ""
    if not run_words.has_steps(report) and report.measured is None:
        return f"{start} on {name}{on_cpu}, but no step was finished."
    step = f"per {report.step_kind or 'step'}"
    if report.measured is not None:
        return f"{start} on {name}{on_cpu}: {words.seconds(report.measured.step_s)} {step}, measured."
    return f"{start} on {name}{on_cpu}: {words.seconds(report.step_s)} {step}."


def runner(reports: Sequence[RunReport]) -> str:
    """What the time goes to on the chip that the answer is about."""
    timed = [report for report in reports if run_words.has_steps(report)]
    if not timed:
        return ""
    best = min(timed, key=lambda report: report.step_s)
    name = f"On {run_words.label(best)} " if len(reports) > 1 else ""
    said = []
    if best.by_bound:
        top = sorted(best.by_bound, key=lambda share: -share.seconds)[:2]
        parts = [f"{words.percent(s.seconds / best.step_s)} of it goes to {BOUND_BY.get(s.name, s.name)}" for s in top[:1]]
        parts += [f"{words.percent(s.seconds / best.step_s)} to {BOUND_BY.get(s.name, s.name)}" for s in top[1:]]
        told = f"{name}{', '.join(parts)}"
        said.append(f"{told}, as predicted." if best.measured is not None else f"{told}.")
    return " ".join(said)


def measured_finding(reports: Sequence[RunReport]) -> str:
    """How far the prediction is off, where there is one alone to speak of."""
    told = [r for r in reports if r.measured is not None and r.measured.chip and run_words.has_steps(r)]
    if len(told) != 1 or told[0].measured is None or told[0].measured.step_s <= 0:
        return "Prediction beside measurement"
    measured_s, predicted_s = told[0].measured.step_s, told[0].step_s
    off = predicted_s / measured_s - 1.0
    way = "too long" if off > 0 else "too short"
    return f"Measured {words.seconds(measured_s)}, predicted {words.seconds(predicted_s)}: {words.percent(abs(off))} {way}."


def operators_finding(report: RunReport) -> str:
    """Which operator takes most of a step."""
    if not report.by_operator or not run_words.has_steps(report):
        return "No step was finished, so no operator's share can be told."
    top = report.by_operator[0]
    share = words.percent(top.seconds / report.step_s)
    return f"{run_words.operator(top.name)} takes {share} of a step, in {top.calls:,.3g} call{'s' * (top.calls != 1)}."


def modules_finding(report: RunReport) -> str:
    folded = run_words.fold_modules(report.by_module)
    inside = [share for share in folded if share.name]
    if not inside or not run_words.has_steps(report):
        return "Where in the model the time goes"
    first = inside[0]
    who = f"The layers {first.name} take" if "*" in first.name else f"{first.name} takes"
    return f"{who} {words.percent(first.seconds / report.step_s)} of a step."


def lines_finding(report: RunReport) -> str:
    if not report.by_line or not run_words.has_steps(report):
        return "Where in the source the time goes"
    site = run_words.line_of(report.by_line[0].name)
    name = run_words.place(site) or report.by_line[0].name
    return f"The line that takes longest is {name}: {words.percent(report.by_line[0].seconds / report.step_s)} of a step."


def memory_finding(report: RunReport) -> str:
    memory = report.memory
    if not memory.peak:
        return "What the memory held was not told."
    share = f", {words.percent(memory.peak / memory.capacity)} of {words.memory(memory.capacity)}" if memory.capacity else ""
    over = "It ran out of memory at" if report.failure and "OutOfMemory" in report.failure.error else "Memory peaks at"
    return f"{over} {words.memory(memory.peak)}{share}."


def timeline_finding(report: RunReport) -> str:
    busy = run_words.busy_share(report)
    if busy is None or report.measured is not None:
        return "One step on the clock"
    return f"One step on the clock: the device works {words.percent(busy)} of the time."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
