"""A run as the page's scripts read it: plain lists and numbers, every name still untrusted text."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from windtunnel.run import words as run_words
from windtunnel.run.record import MemoryReport, RunReport, Share
from windtunnel.web import run_answer

Json = dict[str, Any]
OPERATORS = 14
"""Operators that have a bar of their own."""
CURVE_POINTS = 1200
LAUNCHES = 12_000
"""Launches of one step that the page draws; the shortest beyond are left out, and the page says how many."""
CPU_LANE = "CPU"


def page_data(reports: Sequence[RunReport]) -> Json:
    return {"chips": [_chip(report, place) for place, report in enumerate(reports)]}


def _chip(report: RunReport, place: int) -> Json:
    timed = run_words.has_steps(report)
    return {
        "name": run_words.label(report),
        "place": place,
        "met": report.status != "failed",
        "step": report.step_s if timed else None,
        "kind": report.step_kind or "step",
        "verdict": run_words.verdict(report),
        "bounds": [{"name": share.name, "s": share.seconds} for share in report.by_bound] if timed else [],
        "operators": _operators(report) if timed else [],
        "modules": module_tree(report.by_module) if timed else None,
        "memory": _memory(report.memory, report),
        "timeline": _timeline(report),
        "findings": {
            "operators": run_answer.operators_finding(report),
            "modules": run_answer.modules_finding(report),
            "lines": run_answer.lines_finding(report),
            "memory": run_answer.memory_finding(report),
            "timeline": run_answer.timeline_finding(report),
        },
    }


def _operators(report: RunReport) -> list[Json]:
    """Bars, longest first, each cut by what bounds its launches; all beyond a few in one bar."""
    pieces = _pieces(report)
    bars = [_bar(share, pieces) for share in report.by_operator[:OPERATORS]]
    rest = report.by_operator[OPERATORS:]
    if rest:
        parts: dict[str, float] = {}
        for bar in (_bar(share, pieces) for share in rest):
            for piece in bar["pieces"]:
                parts[piece["bound"]] = parts.get(piece["bound"], 0.0) + piece["s"]
        cut = [{"bound": bound, "s": seconds} for bound, seconds in parts.items()]
        bars.append(
            {
                "name": f"{len(rest)} more",
                "full": "",
                "s": sum(s.seconds for s in rest),
                "calls": sum(s.calls for s in rest),
                "pieces": cut,
            }
        )
    return bars


def _bar(share: Share, pieces: dict[str, dict[str, float]]) -> Json:
    found = pieces.get(share.name) or {share.bound or "not told": 1.0}
    whole = sum(found.values()) or 1.0
    cut = [
        {"bound": bound, "s": share.seconds * part / whole} for bound, part in sorted(found.items(), key=lambda item: -item[1])
    ]
    return {"name": run_words.operator(share.name), "full": share.name, "s": share.seconds, "calls": share.calls, "pieces": cut}


def _pieces(report: RunReport) -> dict[str, dict[str, float]]:
    """Operator -> bound -> seconds, from the launches, where they were kept."""
    found: dict[str, dict[str, float]] = {}
    for launch in report.launches:
        parts = found.setdefault(launch.op, {})
        parts[launch.bound] = parts.get(launch.bound, 0.0) + launch.seconds
    return found


def module_tree(shares: Sequence[Share]) -> Json:
    """Modules as they contain each other: {name, s (its own time, without its children's), bound, children}."""
    root: Json = {"name": "", "path": "", "s": 0.0, "bound": "", "children": []}
    nodes: dict[str, Json] = {"": root}
    for share in run_words.fold_modules(shares):
        node = root
        path = ""
        for part in share.name.split(".") if share.name else []:
            path = f"{path}.{part}" if path else part
            if path not in nodes:
                nodes[path] = {"name": part, "path": path, "s": 0.0, "bound": "", "children": []}
                node["children"].append(nodes[path])
            node = nodes[path]
        node["s"] += share.seconds
        node["bound"] = share.bound
    return _joined(root)


def _joined(node: Json) -> Json:
    """Modules that do nothing but hold one other made one with it: ``h`` and ``*`` are ``h.*``."""
    children: list[Json] = [_joined(child) for child in node["children"]]
    if node["path"] and len(children) == 1 and not node["s"]:
        return {**children[0], "name": f"{node['name']}.{children[0]['name']}"}
    return {**node, "children": children}


def _memory(memory: MemoryReport, report: RunReport) -> Json:
    return {
        "capacity": memory.capacity or None,
        "peak": memory.peak,
        "peak_at": memory.peak_at_s,
        "curve": thinned(memory.curve),
        "steps": [step.start_s for step in report.steps],
        "holders": _held(memory),
    }


def _held(memory: MemoryReport) -> list[Json]:
    """Bytes at the peak by kind, largest first, and what no holder accounts for."""
    kinds: dict[str, int] = {}
    for holder in memory.holders:
        kinds[holder.kind] = kinds.get(holder.kind, 0) + holder.bytes
    found = [{"kind": kind, "bytes": held} for kind, held in sorted(kinds.items(), key=lambda item: -item[1])]
    rest = memory.peak - sum(kinds.values())
    return [*found, {"kind": "not listed", "bytes": rest}] if found and rest > memory.peak // 200 else found


def thinned(curve: Sequence[tuple[float, int, int]], most: int = CURVE_POINTS) -> list[list[float]]:
    """The curve with at most about ``most`` points: of each stretch its ends, and where it is lowest and highest."""
    if len(curve) <= most:
        return [list(point) for point in curve]
    size = -(-len(curve) * 4 // most)
    found: list[list[float]] = []
    for i in range(0, len(curve), size):
        part = range(i, min(i + size, len(curve)))
        keep = {i, min(part, key=lambda k: curve[k][1]), max(part, key=lambda k: curve[k][1]), part[-1]}
        found += [list(curve[k]) for k in sorted(keep)]
    return found


def _timeline(report: RunReport) -> Json | None:
    """One step's launches, the one nearest to the median; None where they were not kept."""
    chosen = _step(report)
    mine = [launch for launch in report.launches if chosen is None or launch.step == chosen]
    if not mine or report.measured is not None:
        return None
    kept = sorted(sorted(mine, key=lambda launch: -launch.seconds)[:LAUNCHES], key=lambda launch: launch.start_s)
    start = min(launch.start_s for launch in kept)
    if chosen is not None and chosen < len(report.steps):
        start = min(start, report.steps[chosen].start_s)
    names, places, modules = _Index(), _Index(), _Index()
    streams = sorted({launch.stream for launch in kept if launch.where == "chip"})
    lanes = {stream: i for i, stream in enumerate(streams)}
    rows = [
        [
            len(streams) if launch.where == "cpu" else lanes[launch.stream],
            round((launch.start_s - start) * 1e6, 3),
            round(launch.seconds * 1e6, 3),
            names.of(run_words.operator(launch.op)),
            launch.bound,
            modules.of(launch.module),
            places.of(run_words.place(launch.site)),
            launch.phase[0],
        ]
        for launch in kept
    ]
    cpu = [CPU_LANE] if any(launch.where == "cpu" for launch in kept) else []
    return {
        "step": chosen,
        "us": round((max(launch.end_s for launch in kept) - start) * 1e6, 3),
        "lanes": [*(f"stream {stream}" for stream in streams), *cpu],
        "ops": names.known,
        "modules": modules.known,
        "places": places.known,
        "launches": rows,
        "left_out": len(mine) - len(kept),
    }


def _step(report: RunReport) -> int | None:
    """The number of the whole step whose time is nearest the median; the one that failed, where none is whole."""
    there = {launch.step for launch in report.launches}
    timed = [(i, step.seconds) for i, step in enumerate(report.steps) if i in there]
    if not timed:
        return min(there, default=None)
    later = timed[1:] or timed
    middle = median(seconds for _, seconds in later)
    return min(later, key=lambda pair: abs(pair[1] - middle))[0]


class _Index:
    """Each text once, and its number."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self._place: dict[str, int] = {}

    def of(self, text: str) -> int:
        if text not in self._place:
            self._place[text] = len(self.known)
            self.known.append(text)
        return self._place[text]
