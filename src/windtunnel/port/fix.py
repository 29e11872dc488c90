"""The rewrite of a repository: every file's fixes, told as diffs or written; nothing is written before all is read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from windtunnel.errors import InvalidInputError
from windtunnel.port.atomic import replaced
from windtunnel.port.finding import TARGETS, Finding, Skipped
from windtunnel.port.languages import language_of
from windtunnel.port.neutral import LOWEST_TORCH
from windtunnel.port.rewrite import FixedText, Left, fix_bytes
from windtunnel.port.rule import Language
from windtunnel.port.scan import Progress, chosen_rules, chosen_targets
from windtunnel.port.suppress import Suppressed
from windtunnel.port.tree import File, read, walk


@dataclass(frozen=True, slots=True)
class FileDiff:
    """A file that a fix changes. before, after: its text; diff: unified, with the newlines of the file."""

    path: str
    before: str
    after: str

    @property
    def diff(self) -> str:
        """A unified diff that ``git apply`` takes."""
        lines = difflib.unified_diff(
            _lines(self.before), _lines(self.after), _quoted(f"a/{self.path}"), _quoted(f"b/{self.path}"), lineterm="\n"
        )  # fmt: skip
        return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True)
class FixReport:
    """What was fixed, what was left and why. rolled_back: files that stay as they were though there was something to fix, since
    they would not parse afterwards or could not be written. written: whether the files were changed on disk.

    lowest_torch: the oldest PyTorch that the fixed files run with; empty where nothing was fixed.
    """

    diffs: tuple[FileDiff, ...] = ()
    fixed: tuple[Finding, ...] = ()
    left: tuple[Left, ...] = ()
    rolled_back: tuple[Skipped, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    written: bool = False
    files: int = 0

    @property
    def lowest_torch(self) -> str:
        return LOWEST_TORCH if any(f.needs for f in self.fixed) else ""


def fix(
    path: str | Path,
    *,
    write: bool = False,
    unsafe: bool = False,
    to: Iterable[str] = TARGETS,
    rules: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> FixReport:
    """The files below ``path`` with what can be fixed fixed; changed on disk only where ``write`` says so.

    unsafe: also what may change the program's behaviour. A file whose fix does not parse stays as it was. Writing begins when
    everything was read; it replaces a file at once or not at all, and keeps its permissions. progress: told how many files
    were looked at, and how many written. Raises InvalidInputError, UnknownNameError as ``scan`` does.
    """
    targets, asked = chosen_targets(to), chosen_rules(rules)
    kept: list[tuple[File, FixedText]] = []
    changed: list[tuple[File, bytes, FixedText]] = []
    skipped: list[Skipped] = []
    for number, item in enumerate(walk(Path(path)), 1):
        if progress:
            progress("looked at", number)
        raw = read(item) if isinstance(item, File) else item
        language = language_of(item.path, raw) if isinstance(raw, bytes) else None
        if isinstance(raw, Skipped):
            skipped.append(raw)
        if language is None or not isinstance(item, File) or not isinstance(raw, bytes):
            continue
        result = fix_bytes(item.path, raw, language, unsafe, targets, asked)
        if isinstance(result, Skipped):
            skipped.append(result)
        elif result.rolled_back or result.text == raw.decode("utf-8"):
            kept.append((item, FixedText("", result.fixed, result.left, result.suppressed, result.rolled_back)))
        else:
            changed.append((item, raw, result))
    if write:
        _write(changed, progress)
    return _report(kept, changed, skipped, write)


def _write(changed: list[tuple[File, bytes, FixedText]], progress: Progress | None) -> None:
    """Writes the files; what could not be written is noted as taken back."""
    written = 0
    for item, raw, result in changed:
        problem = replaced(item.where, raw, result.text.encode("utf-8"))
        if problem:
            result.rolled_back = f"not written: {problem}"
            continue
        written += 1
        if progress:
            progress("written", written)


def _report(
    kept: list[tuple[File, FixedText]], changed: list[tuple[File, bytes, FixedText]], skipped: list[Skipped], write: bool
) -> FixReport:
    changed = sorted(changed, key=lambda one: one[0].path)
    results = sorted([*kept, *((item, result) for item, _, result in changed)], key=lambda pair: pair[0].path)
    left = [one for _, result in results for one in result.left]
    left += [Left(finding, result.rolled_back) for _, result in results if result.rolled_back for finding in result.fixed]
    return FixReport(
        diffs=tuple(FileDiff(f.path, raw.decode("utf-8"), result.text) for f, raw, result in changed if not result.rolled_back),
        fixed=tuple(finding for _, result in results if not result.rolled_back for finding in result.fixed),
        left=tuple(sorted(left, key=lambda one: one.finding.place)),
        rolled_back=tuple(Skipped(item.path, result.rolled_back) for item, result in results if result.rolled_back),
        skipped=tuple(skipped),
        suppressed=tuple(one for _, result in results for one in result.suppressed),
        written=write,
        files=len(results),
    )


def fix_text(
    text: str, language: Language = "python", path: str = "case.py", *, unsafe: bool = False, rules: Iterable[str] | None = None
) -> FixedText:
    """One text with what can be fixed fixed. Raises InvalidInputError where it cannot be read."""
    result = fix_bytes(path, text.encode(), language, unsafe, frozenset(TARGETS), chosen_rules(rules))
    if isinstance(result, Skipped):
        raise InvalidInputError(path, result.reason)
    return result


def _lines(text: str) -> list[str]:
    """Lines with their ends, as a diff shows them: only a newline ends one."""
    pieces = text.split("\n")
    return [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


_UNQUOTED = re.compile(r'[^"\\\x00-\x1f\x7f]*')


def _quoted(path: str) -> str:
    """A path as git writes it in the head of a diff: in quotes where it has characters that would end the line or the name."""
    if _UNQUOTED.fullmatch(path):
        # the tab ends a name that has spaces
        return path + ("\t" if " " in path else "")
    escaped = re.sub(r'["\\]', r"\\\g<0>", path)
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\{ord(m[0]):03o}", escaped) + '"'


__all__ = ["FileDiff", "FixReport", "FixedText", "Left", "fix", "fix_bytes", "fix_text"]
