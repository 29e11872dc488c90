"""Findings as SARIF 2.1.0, the format that GitHub's code scanning and other viewers show.

**Source:** OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0, and GitHub's documentation of the
properties that its code scanning reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from windtunnel import __version__
from windtunnel.errors import InvalidInputError
from windtunnel.port.finding import Finding
from windtunnel.port.gate import fingerprints
from windtunnel.port.notebook import cells_of
from windtunnel.port.registry import all_rules
from windtunnel.port.rule import Rule
from windtunnel.port.scan import ScanReport
from windtunnel.port.source import BOM

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
ROOT = "%SRCROOT%"
"""What paths are relative to; GitHub takes it for the repository's root."""

Json = dict[str, Any]


def sarif(report: ScanReport, root: Path, *, known: Iterable[str] | None = None, prefix: str = "") -> Json:
    """The log of one scan. root: what was scanned, read again to find the lines of notebooks' cells in their files. known:
    fingerprints of a baseline, where there is one. prefix: of paths, where what was scanned is a folder of the repository.

    A place in a notebook is that of the line in the notebook's own text; cell and line within it are in the message.
    """
    rules = all_rules()
    index = {rule.id: number for number, rule in enumerate(rules)}
    lines = _NotebookLines(root)
    together = [*((f, None) for f in report.findings), *((s.finding, s.reason) for s in report.suppressed)]
    together.sort(key=lambda pair: (pair[0].place, pair[0].rule))
    before = None if known is None else set(known)
    kept = dict(zip(map(id, report.findings), fingerprints(report.findings), strict=True))
    results = []
    for finding, reason in together:
        mark = kept.get(id(finding), "")
        result = _result(finding, index[finding.rule], lines, prefix)
        if mark:
            result["partialFingerprints"] = {"primaryLocationLineHash": f"{mark}:1", "windtunnelPort/v1": mark}
            if before is not None:
                result["baselineState"] = "unchanged" if mark in before else "new"
        if reason is not None:
            result["suppressions"] = [{"kind": "inSource", "justification": reason}]
        results.append(result)
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "windtunnel port",
                        "version": __version__,
                        "semanticVersion": __version__,
                        "rules": [_rule(rule) for rule in rules],
                    }
                },
                "automationDetails": {"id": "windtunnel-port/"},
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the repository."}}},
                "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": list(_skipped(report, prefix))}],
                "results": results,
            }
        ],
    }


def sarif_text(log: Json) -> str:
    """The log as the text of a file; what is no Unicode text in somebody's path is escaped."""
    return json.dumps(log, indent=1, ensure_ascii=True) + "\n"


def _rule(rule: Rule) -> Json:
    fix = {"safe": "fixed by `windtunnel port fix`", "unsafe": "fixed by `windtunnel port fix --unsafe`", "none": "left to you"}
    text = f"{rule.what}\n\n{rule.why}\n\nInstead: {rule.instead}"
    said = f"{rule.what}\n\n**Why it binds:** {rule.why}\n\n**Instead:** {rule.instead}\n\n**Fix:** {fix[rule.safety]}."
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.what},
        "fullDescription": {"text": f"{rule.what} {rule.why}"},
        "help": {"text": text, "markdown": said},
        "defaultConfiguration": {"level": _level(rule.kind)},
        "properties": {
            "tags": ["portability", rule.kind, *rule.targets],
            "problem.severity": _level(rule.kind),
            "precision": "high",
        },
    }


def _level(kind: str) -> str:
    """A name that another replaces is a recommendation; what others lack is a warning."""
    return "warning" if kind == "capability" else "note"


def _uri(path: str, prefix: str = "") -> str:
    return quote(prefix + path, safe="/~-._")


def _result(finding: Finding, rule_index: int, lines: _NotebookLines, prefix: str) -> Json:
    place = finding.place
    first, last = lines.of(place.path, place.cell, place.line), lines.of(place.path, place.cell, place.end_line)
    region: Json = {"startLine": first, "snippet": {"text": finding.excerpt}}
    in_cell = f" (cell {place.cell}, line {place.line})" if place.cell >= 0 else ""
    if place.cell < 0:  # within a notebook's JSON text columns are others
        region |= {"startColumn": place.column, "endLine": last, "endColumn": place.end_column}
    told = f"{finding.why} {finding.advice}" if finding.advice not in finding.why else finding.why
    result: Json = {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": _level(finding.kind),
        "message": {"text": f"{told}{in_cell} Concerns {', '.join(finding.targets)}."},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(place.path, prefix), "uriBaseId": ROOT},
                    "region": region,
                }
            }
        ],
        "properties": {"kind": finding.kind, "safety": finding.safety, "targets": list(finding.targets)},
    }
    if finding.edits and not finding.needs and place.cell < 0:
        # a fix that also needs imports at the top of the file is the fixer's, not a viewer's
        result["fixes"] = [_fix(finding, prefix)]
    return result


def _fix(finding: Finding, prefix: str) -> Json:
    return {
        "description": {"text": finding.advice},
        "artifactChanges": [
            {
                "artifactLocation": {"uri": _uri(finding.place.path, prefix), "uriBaseId": ROOT},
                "replacements": [
                    {
                        "deletedRegion": {"charOffset": edit.start, "charLength": edit.end - edit.start},
                        "insertedContent": {"text": edit.text},
                    }
                    for edit in finding.edits
                ],
            }
        ],
    }


def _skipped(report: ScanReport, prefix: str) -> Iterator[Json]:
    for one in report.skipped:
        yield {
            "level": "note",
            "message": {"text": f"{one.path} was not read: {one.reason}"},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(one.path, prefix), "uriBaseId": ROOT}}}],
        }


class _NotebookLines:
    """Lines of notebooks' cells as lines of the notebooks' files; each notebook is read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: dict[str, dict[int, Sequence[int]]] = {}

    def of(self, path: str, cell: int, line: int) -> int:
        """Line, from 1, of a cell's line; of a file that is no notebook the line itself."""
        if cell < 0:
            return line
        if path not in self._read:
            self._read[path] = self._lines(path)
        lines = self._read[path].get(cell, ())
        return lines[min(line, len(lines)) - 1] if lines else 1

    def _lines(self, path: str) -> dict[int, Sequence[int]]:
        try:
            text = (self.root / path if self.root.is_dir() else self.root).read_bytes().decode("utf-8").removeprefix(BOM)
            cells = cells_of(text)
        except (OSError, UnicodeDecodeError, InvalidInputError):
            return {}
        found: dict[int, Sequence[int]] = {}
        for cell in cells:
            lines: list[int] = []
            for (start, _), piece in zip(cell.pieces, cell.texts, strict=True):
                lines += [text.count("\n", 0, start) + 1] * max(1, piece.count("\n"))
            found[cell.number] = lines
        return found
