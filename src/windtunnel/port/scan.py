"""What binds a repository: every rule asked about every file; nothing of it is imported or run."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from windtunnel.errors import InvalidInputError, UnknownNameError
from windtunnel.port.finding import TARGETS, Finding, Skipped
from windtunnel.port.languages import language_of
from windtunnel.port.registry import all_rules, rule_named, rules_for
from windtunnel.port.rule import Language, Rule
from windtunnel.port.source import Source
from windtunnel.port.suppress import Suppressed, suppressed
from windtunnel.port.tree import File, read, source_of, walk

Progress: TypeAlias = Callable[[Literal["looked at", "written"], int], None]
"""Told what was done with how many files so far."""


@dataclass(frozen=True)
class ScanReport:
    """What a scan found.

    findings: in order of their places. suppressed: findings that a comment with a reason sets aside. skipped: files and
    folders that were not read, and why. files, lines: how many were read. seconds: how long it took.
    """

    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...] = ()
    files: int = 0
    lines: int = 0
    seconds: float = 0.0
    suppressed: tuple[Suppressed, ...] = ()

    @property
    def spelling(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.kind == "spelling")

    @property
    def capability(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.kind == "capability")


def scan(
    path: str | Path,
    to: Iterable[str] = TARGETS,
    rules: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> ScanReport:
    """Everything below ``path`` (a folder or one file) that binds it, as far as it concerns one of the targets ``to``.

    rules: ids of the only rules to ask. progress: told how many files were looked at. Raises InvalidInputError where there is
    nothing at ``path``, UnknownNameError for a target or a rule that there is not.
    """
    began = time.perf_counter()
    targets, asked = chosen_targets(to), chosen_rules(rules)
    findings: list[Finding] = []
    set_aside: list[Suppressed] = []
    skipped: list[Skipped] = []
    files = lines = 0
    for number, item in enumerate(walk(Path(path)), 1):
        if progress:
            progress("looked at", number)
        result = scan_file(item, targets, asked) if isinstance(item, File) else item
        if isinstance(result, Skipped):
            skipped.append(result)
        elif result is not None:
            files, lines = files + 1, lines + result.lines
            findings.extend(result.findings)
            set_aside.extend(result.suppressed)
    findings.sort(key=lambda f: (f.place, f.rule))
    return ScanReport(tuple(findings), tuple(skipped), files, lines, time.perf_counter() - began, tuple(set_aside))


@dataclass(frozen=True)
class FileReport:
    """One file's findings, the suppressed ones apart, and how many lines were read."""

    findings: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...]
    lines: int


def chosen_targets(to: Iterable[str]) -> frozenset[str]:
    """The targets as a set. Raises UnknownNameError, InvalidInputError where there is none."""
    targets = frozenset([to] if isinstance(to, str) else to)
    for name in sorted(targets - set(TARGETS)):
        raise UnknownNameError("target", name, TARGETS)
    if not targets:
        raise InvalidInputError("--to", f"names no target; known: {', '.join(TARGETS)}")
    return targets


def chosen_rules(rules: Iterable[str] | None) -> frozenset[str] | None:
    """The ids of the rules to ask; None for all. Raises UnknownNameError."""
    return None if rules is None else frozenset(rule_named(name).id for name in rules)


def scan_file(file: File, targets: frozenset[str], asked: frozenset[str] | None = None) -> FileReport | Skipped | None:
    """One file's findings; Skipped with the reason where it cannot be read; None where no rule reads such files."""
    raw = read(file)
    if raw is None or isinstance(raw, Skipped):
        return raw
    language = language_of(file.path, raw)
    if language is None:
        return None
    return scan_bytes(file.path, raw, language, targets, asked)


def scan_bytes(
    path: str, raw: bytes, language: Language, targets: frozenset[str] = frozenset(TARGETS), asked: frozenset[str] | None = None
) -> FileReport | Skipped:
    """The findings in a file's bytes. Rules whose hints are not among them are not asked, and nothing is parsed for them."""
    lines = raw.count(b"\n") + (not raw.endswith(b"\n") and bool(raw))
    try:
        if not hinted(language, raw) and raw.isascii():
            # nothing here that any rule looks for; the same checks, without making a text
            return FileReport((), (), lines)
        source = source_of(path, raw, language)
        found = tuple(findings_in(source, targets, asked))
    except InvalidInputError as error:
        return Skipped(path, str(error).removeprefix(f"{error.field}: "))
    except SyntaxError as error:
        return Skipped(path, why_not_parsed(raw, error))
    except RecursionError:
        return Skipped(path, "nested too deeply")
    kept, set_aside = suppressed(source, found)
    return FileReport(kept, set_aside, lines)


def findings_in(
    source: Source, targets: frozenset[str] = frozenset(TARGETS), asked: frozenset[str] | None = None, beside: bytes = b""
) -> list[Finding]:
    """What the rules find in one source, suppressions not heeded. Raises SyntaxError for Python that does not parse.

    beside: what hints are looked for in too. A notebook's cell may use what another cell imports.
    """
    if source.language == "notebook":
        found: list[Finding] = []
        cells = b"\n".join(cell.text.encode() for cell in source.cells)
        for cell in source.cells:
            try:
                found.extend(findings_in(cell, targets, asked, cells))
            except SyntaxError:
                continue  # a cell of other syntax; the others are read
        found.sort(key=lambda f: (f.place, f.rule))
        return found
    raw = beside or source.raw or source.text.encode()
    rules = [
        rule
        for rule in rules_for(source.language)
        if (asked is None or rule.id in asked) and targets.intersection(rule.targets) and _has_hint(rule, raw)
    ]
    if not rules:
        return []
    if source.language == "python":
        source.python  # noqa: B018  parsed once, before any rule asks
    # rules of two kinds may see the same thing; each says it once
    found = list({(f.rule, f.place): f for rule in rules for f in rule.find(source) if targets.intersection(f.targets)}.values())
    found.sort(key=lambda f: (f.place, f.rule))
    return found


def _has_hint(rule: Rule, raw: bytes) -> bool:
    return not rule.hints or any(hint in raw for hint in rule.hints)


def hinted(language: Language, raw: bytes) -> bool:
    """Whether a file can hold anything that a rule looks for; where it cannot, it need not be parsed."""
    return language == "notebook" or bool(_hinted(language).search(raw))


@cache
def _hinted(language: Language) -> re.Pattern[bytes]:
    """Matches where any rule for the language has a hint; everywhere where one of them has none."""
    hints = [rule.hints for rule in rules_for(language)]
    if not all(hints):
        return re.compile(b"")
    return re.compile(b"|".join(sorted({re.escape(hint) for some in hints for hint in some})) or b"(?!)")


_PYTHON_2 = re.compile(
    rb"^\s*(print\s+[\"'\w%]|exec\s+[\"'\w]|raise\s+\w+\s*,\s*|except\s+[\w., ()]+,\s*\w+\s*:)|\b0[0-7]+\b|<>|`\w+`", re.M
)


def why_not_parsed(raw: bytes, error: SyntaxError) -> str:
    """The reason in words: Python 2 is told apart from what is broken."""
    if "nested too deeply" in str(error) or "too many nested" in str(error):
        return "nested too deeply"
    if _PYTHON_2.search(raw):
        return "Python 2"
    return f"does not parse: {error.msg} (line {error.lineno})"


def rule_ids() -> list[str]:
    """The ids of all rules."""
    return [rule.id for rule in all_rules()]
