"""A run as a plain JSON object: stable keys, SI numbers with the unit in the key, unknown as null.

docs/json.md describes every key; a test holds it to this module. Launches are not among them: the trace has those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from windtunnel.run import words
from windtunnel.run.record import (
    ComparedOperator,
    Failure,
    Holder,
    Measured,
    MemoryReport,
    RunReport,
    Served,
    Share,
    StandIn,
    StepTime,
    Support,
)
from windtunnel.workload.program.call import Site

Json = dict[str, Any]


def runs_json(reports: Sequence[RunReport], refused: Mapping[str, str] | None = None) -> Json:
    """One run as its own object; several, or any that was refused, as a list under ``runs``."""
    if len(reports) == 1 and not refused:
        return run_json(reports[0])
    return {"runs": [run_json(report) for report in reports], "refused": dict(refused or {})}


def run_json(report: RunReport) -> Json:
    steps = words.has_steps(report)
    low, high = report.interval_s
    return {
        "program": report.program,
        "chip": report.chip,
        "device": report.device or None,
        "ranks": report.ranks,
        "status": report.status,
        "verdict": words.verdict(report),
        "exit_status": report.exit_status,
        "failure": _failure(report.failure) if report.failure else None,
        "step_kind": report.step_kind,
        "step_s": {"value": report.step_s, "low": low, "high": high, "evidence": report.evidence.name.lower()} if steps else None,
        "steps": [_step(step) for step in report.steps],
        "busy_share": words.busy_share(report),
        "mfu": words.mfu(report),
        "dtype": report.dtype or None,
        "peak_flops_per_s": report.peak_flops_per_s or None,
        "flops_per_step": report.flops_per_step if steps else None,
        "bound": words.main_bound(report) or None,
        "by_bound": [_share(share) for share in report.by_bound],
        "by_operator": [_share(share) for share in report.by_operator],
        "by_module": [_share(share) for share in report.by_module],
        "by_line": [_share(share) | {"site": _site(words.line_of(share.name))} for share in report.by_line],
        "memory": _memory(report.memory),
        "support": [_support(entry) for entry in report.support],
        "support_source": report.support_source or None,
        "stand_ins": [_stand_in(entry) for entry in report.stand_ins],
        "operators": report.operators,
        "settings": dict(report.settings),
        "measured": _measured(report.measured) if report.measured else None,
        "served": [_served(forward) for forward in report.served],
        "notes": list(report.notes),
    }


def _site(site: Site | None) -> Json | None:
    return {"file": site.file, "line": site.line, "function": site.function or None} if site else None


def _failure(failure: Failure) -> Json:
    return {"error": failure.error, "message": failure.message, "site": _site(failure.site)}


def _step(step: StepTime) -> Json:
    return {"start_s": step.start_s, "end_s": step.end_s, "busy_s": step.busy_s, "wait_s": step.wait_s}


def _share(share: Share) -> Json:
    return {
        "name": share.name,
        "time_s": share.seconds,
        "calls": share.calls,
        "flops": share.flops,
        "bytes": share.bytes,
        "bound": share.bound or None,
        "evidence": share.evidence.name.lower() if share.evidence is not None else None,
    }


def _memory(memory: MemoryReport) -> Json:
    return {
        "capacity_bytes": memory.capacity,
        "peak_bytes": memory.peak,
        "reserved_peak_bytes": memory.reserved_peak,
        "peak_at_s": memory.peak_at_s,
        "holders": [_holder(holder) for holder in memory.holders],
        "curve": [list(point) for point in memory.curve],
    }


def _holder(holder: Holder) -> Json:
    return {
        "kind": holder.kind,
        "name": holder.name or None,
        "held_bytes": holder.bytes,
        "count": holder.count,
        "site": _site(holder.site),
    }


def _support(entry: Support) -> Json:
    return {
        "op": entry.op,
        "status": entry.status,
        "calls": entry.calls,
        "time_s": entry.seconds,
        "via": list(entry.via),
        "site": _site(entry.site),
        "note": entry.note or None,
    }


def _stand_in(entry: StandIn) -> Json:
    return {"what": entry.what, "given": entry.given, "calls": entry.calls, "site": _site(entry.site)}


def _measured(measured: Measured) -> Json:
    return {
        "device_name": measured.device,
        "chip": measured.chip or None,
        "software": measured.software or None,
        "steps_measured": measured.steps,
        "measured_s": measured.step_s,
        "busy_s": measured.busy_s,
        "peak_bytes": measured.peak,
        "compared": [_compared(row) for row in measured.operators],
        "notes": list(measured.notes),
    }


def _compared(row: ComparedOperator) -> Json:
    return {"op": row.op, "calls": row.calls, "measured_s": row.measured_s, "predicted_s": row.predicted_s}


def _served(forward: Served) -> Json:
    return {
        "model": forward.model,
        "phase": forward.phase,
        "sequences": forward.sequences,
        "tokens": forward.tokens,
        "context": forward.context,
        "forwards": forward.forwards,
        "written_s": forward.written_s,
        "served_s": forward.served_s,
        "written_launches": forward.written_launches,
        "served_launches": forward.served_launches,
        "precision": forward.precision,
        "evidence": forward.evidence.name.lower(),
        "parts": [{"name": p.name, "written_s": p.written_s, "served_s": p.served_s} for p in forward.parts],
    }
