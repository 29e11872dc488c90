"""A plan as the page's scripts read it: plain lists and numbers, every name still untrusted text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from windtunnel.plan.result import Candidate, ChipPlan, Plan
from windtunnel.sim.prediction import MemoryUse, OperatorRow
from windtunnel.web import answer, words
from windtunnel.web.peaks import ChipPeaks

Json = dict[str, Any]


def page_data(plan: Plan, peaks: Mapping[str, ChipPeaks]) -> Json:
    """Everything that is plotted, chips in the order of the answer: ranked first, then those that fail."""
    order = {id(chip): i for i, chip in enumerate(plan.chips)}
    ranked = plan.ranked
    rest = [chip for chip in plan.chips if chip.best is None]
    return {
        "target": {"tpot_s": plan.targets.tpot_s or None, "ttft_s": plan.targets.ttft_s or None},
        "chips": [_chip(chip, order[id(chip)], peaks) for chip in [*ranked, *rest]],
    }


def script_json(data: Json) -> str:
    """JSON that may stand inside a script element: nothing in it can close the element or open a comment."""
    text = json.dumps(_finite(data), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    """``value`` with the numbers that JSON cannot hold made null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def _chip(chip: ChipPlan, place: int, peaks: Mapping[str, ChipPeaks]) -> Json:
    best = chip.best
    return {
        "name": chip.name,
        "place": place,
        "met": best is not None,
        "best": _point(best) if best else None,
        "pareto": [_point(candidate) for candidate in chip.pareto if candidate.prediction.tpot.value > 0],
        "usd": best.usd_per_mtok if best else None,
        "joules": best.joules_per_token if best else None,
        "finding": answer.roofline_finding(chip),
        "roofs": _roofs(best, chip.name, peaks) if best else None,
        "operators": _operators(best) if best else [],
        "off_roof": _off_roof(best) if best else [],
        "memory": _memory(best) if best else [],
    }


def _point(candidate: Candidate) -> Json:
    """Where a candidate lies between the user's speed and the chip's yield."""
    tpot = candidate.prediction.tpot
    return {
        "x": 1.0 / tpot.value,
        "x_low": 1.0 / tpot.high if tpot.high > 0 else None,
        "x_high": 1.0 / tpot.low if tpot.low > 0 else None,
        "y": candidate.output_tokens_per_s_per_chip,
        "chips": candidate.chips,
        "apart": candidate.prefill is not None,
        "words": words.in_short(candidate),
        "ttft": words.seconds(candidate.ttft_s),
        "tpot": words.seconds(tpot.value),
        "concurrency": candidate.prediction.load.concurrency,
    }


def _roofs(best: Candidate, name: str, peaks: Mapping[str, ChipPeaks]) -> Json:
    found = peaks.get(best.prediction.deployment.chip) or peaks.get(name)
    if found is None:
        return {"bytes_per_s": None, "peaks": []}
    by_value: dict[float, list[str]] = {}
    for dtype, value in found.flops_per_s.items():
        if value > 0 and dtype not in ("fp32", "fp64"):
            by_value.setdefault(value, []).append(dtype)
    roofs = [{"dtype": " = ".join(dtypes), "flops_per_s": value} for value, dtypes in sorted(by_value.items())]
    return {"bytes_per_s": found.bytes_per_s or None, "peaks": roofs}


def phases(best: Candidate) -> list[tuple[str, list[OperatorRow]]]:
    """The steps whose operators are shown: prefill from the prefill instance where it is apart."""
    rows = best.prediction.operators
    if best.prefill is not None:
        before = [row for row in best.prefill.operators if row.phase == "prefill"]
        rows = (*before, *(row for row in rows if row.phase != "prefill"))
    return [(phase, [row for row in rows if row.phase == phase]) for phase in dict.fromkeys(row.phase for row in rows)]


def _operators(best: Candidate) -> list[Json]:
    """Dots of the roofline: operators that compute something; a row's time, FLOPs and bytes are sums over its launches."""
    dots: list[Json] = []
    for phase, rows in phases(best):
        total = sum(row.time_s for row in rows)
        dots += [_dot(phase, row, total) for row in rows if row.flops > 0 and row.bytes > 0 and row.time_s > 0]
    return dots


def _dot(phase: str, row: OperatorRow, total: float) -> Json:
    return {
        "phase": phase,
        "name": row.name,
        "x": row.flops / row.bytes,
        "y": row.flops / row.time_s,
        "share": row.time_s / total,
        "time": words.seconds(row.time_s),
        "bound": answer.bound_words(row.bound),
        "evidence": row.evidence.label,
    }


def _off_roof(best: Candidate) -> list[Json]:
    """What a roofline cannot show, such as collectives: its share of each phase's time."""
    shares = []
    for phase, rows in phases(best):
        total = sum(row.time_s for row in rows)
        silent = sum(row.time_s for row in rows if not (row.flops > 0 and row.bytes > 0))
        if total and silent:
            shares.append({"phase": phase, "share": silent / total})
    return shares


def _memory(best: Candidate) -> list[Json]:
    bars = (
        [("prefill", best.prefill.memory), ("decode", best.prediction.memory)] if best.prefill else [("", best.prediction.memory)]
    )
    return [_memory_bar(role, use) for role, use in bars]


def _memory_bar(role: str, use: MemoryUse) -> Json:
    return {
        "role": role,
        "capacity": use.capacity,
        "parts": [
            {"part": "weights", "bytes": use.weights},
            {"part": "KV cache", "bytes": use.kv_cache},
            {"part": "activations", "bytes": use.activations},
            {"part": "reserved", "bytes": use.reserved},
            {"part": "free", "bytes": max(0.0, use.headroom)},
        ],
    }
