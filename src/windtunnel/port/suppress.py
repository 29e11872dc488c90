"""Findings that somebody set aside by a comment, with the reason: ``# windtunnel: ignore[cuda-graph] only on CUDA``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from windtunnel.port.finding import Finding
from windtunnel.port.source import Source

_COMMENT = re.compile(
    r"(?P<mark>#|//|/\*|<!--|;|--|\brem\b)\s*windtunnel:\s*ignore\[(?P<ids>[\w\-*, ]+)\]\s*(?P<reason>.*)", re.I
)
_TAIL = re.compile(r"\s*(\*/|-->)\s*$")


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that a comment sets aside, and the reason that the comment gives."""

    finding: Finding
    reason: str


def suppressed(source: Source, findings: Iterable[Finding]) -> tuple[tuple[Finding, ...], tuple[Suppressed, ...]]:
    """The findings that stay, and those that a comment on their first line or on a line of its own just above sets aside.

    A comment without a reason sets nothing aside; ``ignore[*]`` stands for every rule.
    """
    findings = tuple(findings)
    if not findings or "windtunnel:" not in source.text:
        return findings, ()
    texts = {cell.cell: cell.lines for cell in source.cells} or {-1: source.lines}
    kept: list[Finding] = []
    aside: list[Suppressed] = []
    for finding in findings:
        reason = _reason(texts.get(finding.place.cell, []), finding)
        if reason:
            aside.append(Suppressed(finding, reason))
        else:
            kept.append(finding)
    return tuple(kept), tuple(aside)


def _reason(lines: list[str], finding: Finding) -> str:
    at = finding.place.line - 1
    for number in (at, at - 1):
        if not 0 <= number < len(lines):
            continue
        match = _COMMENT.search(lines[number])
        # above the line, only a comment that has its line to itself
        if not match or (number != at and lines[number][: match.start()].strip()):
            continue
        ids = {name.strip() for name in match.group("ids").split(",")}
        if finding.rule in ids or "*" in ids:
            return _TAIL.sub("", match.group("reason")).strip()
    return ""
