"""A gate for CI: what is new since a baseline, by fingerprints that survive moves of lines, and ignores that give no reason."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from windtunnel.errors import InvalidInputError
from windtunnel.port.atomic import write_whole
from windtunnel.port.finding import Finding
from windtunnel.port.languages import language_of
from windtunnel.port.registry import all_rules
from windtunnel.port.source import Source
from windtunnel.port.tree import source_of

FORMAT = 1
"""Of the baseline file; a file of another is refused."""

_IGNORE = re.compile(r"windtunnel:\s*ignore(?:\[(?P<ids>[^\]\n]*)\])?(?P<reason>[^\n]*)", re.I)
_LETTER = re.compile(r"\w")


def fingerprints(findings: Sequence[Finding]) -> tuple[str, ...]:
    """For each finding what it is known by from one scan to the next: rule, file and the text of the line, and the how-manieth
    of that kind it is. Lines that move, and notebook cells that are inserted, do not change it; spaces do not count.

    16 hexadecimal digits of SHA-256; the findings are to be in order of their places, as a scan gives them.
    """
    seen: Counter[tuple[str, str, str]] = Counter()
    found = []
    for finding in findings:
        key = (finding.rule, finding.place.path, " ".join(finding.excerpt.split()))
        seen[key] += 1
        found.append(hashlib.sha256("\0".join((*key, str(seen[key]))).encode("utf-8", "replace")).hexdigest()[:16])
    return tuple(found)


@dataclass(frozen=True)
class Gate:
    """Findings held against a baseline. new: not in it. known: in it. gone: fingerprints of what it names and is no longer
    there. marks: the fingerprint of each finding, in the order of the scan."""

    new: tuple[Finding, ...]
    known: tuple[Finding, ...]
    gone: tuple[str, ...]
    marks: tuple[str, ...]


def gate(findings: Sequence[Finding], baseline: Iterable[str] = ()) -> Gate:
    """What is new since the baseline, a set of fingerprints (``read_baseline``)."""
    marks, before = fingerprints(findings), set(baseline)
    pairs = list(zip(findings, marks, strict=True))
    return Gate(
        tuple(f for f, mark in pairs if mark not in before),
        tuple(f for f, mark in pairs if mark in before),
        tuple(sorted(before - set(marks))),
        marks,
    )


def read_baseline(path: Path) -> frozenset[str]:
    """The fingerprints in a baseline file. Raises InvalidInputError where it is none."""
    if path.is_dir():
        raise InvalidInputError("--baseline", f"{path} is a folder; name a file in it")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInputError("--baseline", f"{path}: {error.strerror}; write one with --write-baseline {path}")
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise InvalidInputError("--baseline", f"{path} is no baseline: it is not JSON")
    if not isinstance(told, dict) or told.get("format") != FORMAT or not isinstance(told.get("findings"), dict):
        raise InvalidInputError("--baseline", f"{path} is no baseline of format {FORMAT}; write it anew with --write-baseline")
    return frozenset(told["findings"])


def write_baseline(path: Path, findings: Sequence[Finding]) -> None:
    """Writes the findings as the baseline of scans to come, in order of files, without line numbers, so that it merges well."""
    entries = {
        mark: {"rule": f.rule, "path": f.place.path, "excerpt": f.excerpt}
        for f, mark in zip(findings, fingerprints(findings), strict=True)
    }
    text = json.dumps({"format": FORMAT, "findings": entries}, indent=1, ensure_ascii=False) + "\n"
    write_whole(path, text)


@dataclass(frozen=True, slots=True)
class BadIgnore:
    """A comment that means to set findings aside and does not: where, and why not."""

    path: str
    line: int
    cell: int
    why: str


def bad_ignores(root: Path, paths: Iterable[str]) -> tuple[BadIgnore, ...]:
    """The ``windtunnel: ignore`` comments of some files (of a scan, those with findings) that give no reason, or name no
    rule or one that there is not. paths: from ``root``, which may be a file itself."""
    known = {rule.id for rule in all_rules()}
    found: list[BadIgnore] = []
    for path in sorted(set(paths)):
        where = root / path if root.is_dir() else root
        try:
            raw = where.read_bytes()
            if b"windtunnel:" not in raw:
                continue
            language = language_of(path, raw)
            if language is None:
                continue
            source = source_of(path, raw, language)
        except (OSError, InvalidInputError):
            continue  # the scan has said why it cannot be read
        for part in source.cells or (source,):
            found.extend(_bad_ignores_in(part, known))
    return tuple(dict.fromkeys(found))


def _bad_ignores_in(source: Source, known: set[str]) -> Iterable[BadIgnore]:
    for number, line in enumerate(source.lines, 1):
        match = _IGNORE.search(line)
        if match is None:
            continue
        ids = [name.strip() for name in (match["ids"] or "").split(",") if name.strip()]
        unknown = [name for name in ids if name != "*" and name not in known]
        if not ids:
            why = "names no rule; write ignore[RULE] and the reason"
        elif unknown:
            why = f"there is no rule {', '.join(unknown)}"
        elif not _LETTER.search(match["reason"]):
            why = "gives no reason, so it sets nothing aside"
        else:
            continue
        yield BadIgnore(source.path, number, source.cell, why)
