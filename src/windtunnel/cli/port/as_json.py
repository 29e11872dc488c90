"""What ``port`` finds as plain JSON objects; docs/json.md describes every key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from windtunnel.port.finding import Finding, Place, Skipped
from windtunnel.port.gate import BadIgnore, Gate
from windtunnel.port.registry import rule_named
from windtunnel.port.rule import Rule
from windtunnel.port.scan import ScanReport

Json = dict[str, Any]


def place_json(place: Place) -> Json:
    return {
        "path": place.path,
        "line": place.line,
        "column": place.column,
        "end_line": place.end_line,
        "end_column": place.end_column,
        "cell": place.cell if place.cell >= 0 else None,
    }


def finding_json(finding: Finding) -> Json:
    return {
        "rule": finding.rule,
        "kind": finding.kind,
        **place_json(finding.place),
        "excerpt": finding.excerpt,
        "why": finding.why,
        "advice": finding.advice,
        "targets": list(finding.targets),
        "safety": finding.safety,
        "unfixed": finding.unfixed or None,
    }


def counts_json(findings: Iterable[Finding]) -> Json:
    """How many, and of which kinds; the same in a scan and for what a fix leaves."""
    found = list(findings)
    return {
        "places": len(found),
        "spelling": sum(f.kind == "spelling" for f in found),
        "capability": sum(f.kind == "capability" for f in found),
        "fixable": sum(f.safety == "safe" for f in found),
        "fixable_unsafe": sum(f.safety == "unsafe" for f in found),
        "left": sum(f.safety == "none" for f in found),
    }


def by_rule_json(findings: Iterable[Finding]) -> list[Json]:
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.rule, []).append(finding)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [{"rule": rule, "kind": rule_named(rule).kind, **counts_json(found)} for rule, found in ordered]


def skipped_json(skipped: Iterable[Skipped]) -> list[Json]:
    return [{"path": one.path, "reason": one.reason} for one in skipped]


def scan_json(path: Path, to: Sequence[str], report: ScanReport, gate: Gate, ignores: Sequence[BadIgnore]) -> Json:
    new = set(map(id, gate.new))
    return {
        "path": str(path),
        "to": list(to),
        **counts_json(report.findings),
        "new": len(gate.new),
        "known": len(gate.known),
        "gone": list(gate.gone),
        "by_target": {target: sum(target in f.targets for f in report.findings) for target in to},
        "by_rule": by_rule_json(report.findings),
        "findings": [
            {**finding_json(f), "fingerprint": mark, "new": id(f) in new}
            for f, mark in zip(report.findings, gate.marks, strict=True)
        ],
        "suppressed": [{**finding_json(s.finding), "reason": s.reason} for s in report.suppressed],
        "bad_ignores": [
            {"path": one.path, "line": one.line, "cell": one.cell if one.cell >= 0 else None, "reason": one.why}
            for one in ignores
        ],
        "skipped": skipped_json(report.skipped),
        "files": report.files,
        "lines": report.lines,
        "scan_s": report.seconds,
    }


def rule_json(rule: Rule) -> Json:
    return {
        "rule": rule.id,
        "kind": rule.kind,
        "languages": list(rule.languages),
        "targets": list(rule.targets),
        "safety": rule.safety,
        "what": rule.what,
        "why": rule.why,
        "instead": rule.instead,
    }
