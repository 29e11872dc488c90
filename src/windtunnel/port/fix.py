"""The rewrite: the edits of the findings, what they need at the top, and nothing else; taken back where it does not parse."""

from __future__ import annotations

import ast
import difflib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from windtunnel.errors import InvalidInputError
from windtunnel.port import top
from windtunnel.port.finding import TARGETS, Edit, Finding, Skipped
from windtunnel.port.languages import language_of
from windtunnel.port.neutral import LOWEST_TORCH
from windtunnel.port.notebook import cells_of, written_back
from windtunnel.port.python import PythonTree, parsed
from windtunnel.port.rule import Language
from windtunnel.port.scan import chosen_rules, chosen_targets, findings_in, hinted, why_not_parsed
from windtunnel.port.source import BOM, Source
from windtunnel.port.suppress import Suppressed, suppressed
from windtunnel.port.tree import File, read, source_of, walk

MOST_ROUNDS = 6
"""How often a file is looked at again for what one round's edits kept another from doing."""
ON_REQUEST = "its fix may change what the program does: {} (ask for unsafe fixes to have it)"
OVERLAPS = "its fix overlaps another one"


@dataclass(frozen=True, slots=True)
class Left:
    """A finding that was not fixed, and why."""

    finding: Finding
    reason: str


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
            _lines(self.before), _lines(self.after), f"a/{self.path}", f"b/{self.path}", lineterm="\n"
        )  # fmt: skip
        return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True)
class FixReport:
    """What was fixed, what was left and why, and what was taken back. written: whether the files were changed on disk.

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


@dataclass
class FixedText:
    """A text after its fixes."""

    text: str
    fixed: list[Finding] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    suppressed: list[Suppressed] = field(default_factory=list)
    rolled_back: str = ""


def fix(
    path: str | Path,
    *,
    write: bool = False,
    unsafe: bool = False,
    to: Iterable[str] = TARGETS,
    rules: Iterable[str] | None = None,
) -> FixReport:
    """The files below ``path`` with what can be fixed fixed; changed on disk only where ``write`` says so.

    unsafe: also what may change the program's behaviour. A file whose fix does not parse stays as it was. Writing replaces
    a file at once or not at all, and keeps its permissions. Raises InvalidInputError, UnknownNameError as ``scan`` does.
    """
    targets, asked = chosen_targets(to), chosen_rules(rules)
    diffs: list[FileDiff] = []
    fixed: list[Finding] = []
    left: list[Left] = []
    rolled: list[Skipped] = []
    skipped: list[Skipped] = []
    aside: list[Suppressed] = []
    files = 0
    for item in list(walk(Path(path))):
        raw = read(item) if isinstance(item, File) else item
        if isinstance(raw, Skipped):
            skipped.append(raw)
            continue
        if raw is None or not isinstance(item, File):
            continue
        language = language_of(item.path, raw)
        if language is None:
            continue
        result = fix_bytes(item.path, raw, language, unsafe, targets, asked)
        if isinstance(result, Skipped):
            skipped.append(result)
            continue
        files += 1
        aside.extend(result.suppressed)
        before = raw.decode("utf-8")
        problem = result.rolled_back
        if write and not problem and result.text != before:
            problem = _write(item.where, raw, result.text.encode("utf-8"))
        if problem:
            rolled.append(Skipped(item.path, problem))
            left.extend(result.left)
            left.extend(Left(f, problem) for f in result.fixed)
            continue
        fixed.extend(result.fixed)
        left.extend(result.left)
        if result.text != before:
            diffs.append(FileDiff(item.path, before, result.text))
    return FixReport(
        tuple(diffs), tuple(fixed), tuple(left), tuple(rolled), tuple(skipped), tuple(aside), write, files
    )  # fmt: skip


def fix_text(
    text: str, language: Language = "python", path: str = "case.py", *, unsafe: bool = False, rules: Iterable[str] | None = None
) -> FixedText:
    """One text with what can be fixed fixed. Raises InvalidInputError where it cannot be read."""
    result = fix_bytes(path, text.encode(), language, unsafe, frozenset(TARGETS), chosen_rules(rules))
    if isinstance(result, Skipped):
        raise InvalidInputError(path, result.reason)
    return result


def fix_bytes(
    path: str, raw: bytes, language: Language, unsafe: bool, targets: frozenset[str], asked: frozenset[str] | None
) -> FixedText | Skipped:
    """A file's text after its fixes (with its byte order mark), or why it cannot be read."""
    try:
        if not hinted(language, raw):
            if not raw.isascii():
                source_of(path, raw, language)  # what cannot be read is told, though nothing would be looked for in it
            return FixedText(raw.decode("utf-8"))
        source = source_of(path, raw, language)
        if source.language == "python":
            source.python  # noqa: B018
    except InvalidInputError as error:
        return Skipped(path, str(error).removeprefix(f"{error.field}: "))
    except SyntaxError as error:
        return Skipped(path, why_not_parsed(raw, error))
    except RecursionError:
        return Skipped(path, "nested too deeply")
    result = FixedText(source.text)
    for _ in range(MOST_ROUNDS):
        try:
            current = source_of(path, result.text.encode(), language)
            kept, aside = suppressed(current, findings_in(current, targets, asked))
            after, done, left = _one_round(current, kept, unsafe)
        except (SyntaxError, InvalidInputError) as error:
            return FixedText((BOM if source.bom else "") + source.text, result.fixed, result.left, [], f"taken back: {error}")
        result.left, result.suppressed = left, list(aside)
        if after == result.text:
            break
        problem = _unparsed(path, after, language, source.text)
        if problem:
            return FixedText((BOM if source.bom else "") + source.text, [*result.fixed, *done], left, [], problem)
        result.fixed.extend(done)
        result.text = after
    if source.bom:
        result.text = BOM + result.text
    return result


def _one_round(source: Source, findings: Iterable[Finding], unsafe: bool) -> tuple[str, list[Finding], list[Left]]:
    """The text after the edits that do not overlap, what they fixed, and what is left."""
    wanted, left = [], []
    for finding in findings:
        if not finding.edits:
            left.append(Left(finding, finding.unfixed))
        elif finding.safety == "unsafe" and not unsafe:
            left.append(Left(finding, ON_REQUEST.format(finding.unfixed or finding.advice)))
        else:
            wanted.append(finding)
    if source.language != "notebook":
        text, fixed, more = _edited(source, wanted)
        return text, fixed, left + more
    changes: dict[int, str] = {}
    fixed_all: list[Finding] = []
    originals = {cell.number: cell.source for cell in cells_of(source.text)}
    for cell in source.cells:
        mine = [f for f in wanted if f.place.cell == cell.cell and cell.language == "python"]
        if not mine:
            continue
        original = Source(cell.path, cell.language, originals[cell.cell], cell=cell.cell)
        text, fixed, more = _edited(cell, mine, original.text)
        left.extend(more)
        if fixed:
            changes[cell.cell] = text
            fixed_all.extend(fixed)
    return written_back(source.text, changes) if changes else source.text, fixed_all, left


def _edited(source: Source, findings: list[Finding], text: str | None = None) -> tuple[str, list[Finding], list[Left]]:
    """``text`` (the source's own, where none is given: of a notebook's cell it has what the source has blanked) after edits."""
    left: list[Left] = []
    edits: list[Edit] = []
    fixed: list[Finding] = []
    chosen: list[tuple[Finding, top.Home | None]] = []
    python = source.python if source.language == "python" else None
    homes = _Homes(python) if python else None
    for finding in findings:
        home = homes.of(finding) if homes and finding.needs else None
        if isinstance(home, str):
            left.append(Left(finding, home))
        else:
            chosen.append((finding, home))
    taken: list[Edit] = []
    lines: dict[top.Home, list[str]] = {}
    for finding, home in chosen:
        if any(_overlap(a, b) for a in finding.edits for b in taken):
            left.append(Left(finding, OVERLAPS))
            continue
        taken.extend(finding.edits)
        fixed.append(finding)
        if home:
            wanted = lines.setdefault(home, [])
            wanted.extend(line for line in top.names_lines(finding.needs, home.name) if line not in wanted)
    edits.extend(taken)
    if python:
        for home, names in lines.items():
            edits.extend(top.insertion(python, home, names))
    return applied(source.text if text is None else text, edits), fixed, left


class _Homes:
    """For each finding of a file the place of the names that it needs, or why there is none."""

    def __init__(self, python: PythonTree) -> None:
        self.python = python
        self.module = top.module_home(python)
        self.bound = top.bound_names(python)

    def of(self, finding: Finding) -> top.Home | str | None:
        offset = min(e.start for e in finding.edits)
        if top.needs_only_torch(finding) and self._says_torch(finding):
            return None
        inner = top.function_home(self.python, offset)
        home: top.Home | str = self.module
        if isinstance(home, str):
            if inner is None:
                return self._in_other_cell(finding) or home
            home = inner
        if top.evaluated_early(self.python, offset, home):
            return top.CONDITIONAL if home.conditional else top.TOO_EARLY
        own = top.own_lines(self.python, home.body)
        for line in top.names_lines(finding.needs, home.name):
            name = line.split(" ", 1)[0]
            if name in self.bound and line not in own:
                return top.TAKEN.format(name)
        if top.needs_only_torch(finding) and not home.adds_import:
            return None
        return home

    def _says_torch(self, finding: Finding) -> bool:
        """Whether what is replaced calls PyTorch by the name that stands in its place afterwards."""
        name = top.torch_name(self.python) + "."
        text = self.python.source.text
        return all(text.startswith(name, e.start) for e in finding.edits if e.text.startswith(name))

    def _in_other_cell(self, finding: Finding) -> top.Home | None:
        """In a notebook, the end of the imports of a cell that does not import torch itself, where an earlier one does."""
        source = self.python.source
        for sibling in source.siblings:
            if sibling.cell >= source.cell:
                return None
            try:
                home = top.module_home(sibling.python)
            except SyntaxError:
                continue
            if isinstance(home, top.Home) and not home.adds_import:
                return top.Home((0, len(source.text)), _first_line(self.python), home.name, "")
        return None


def _first_line(python: PythonTree) -> int:
    """Where a cell's own names go: after its leading commands and imports."""
    at = 0
    for statement in python.tree.body:
        if not isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass):
            break
        line = statement.end_lineno or statement.lineno
        at = python.source.starts[line] if line < len(python.source.starts) else len(python.source.text)
    return at


def _overlap(a: Edit, b: Edit) -> bool:
    if a.start == a.end or b.start == b.end:
        point, other = (a, b) if a.start == a.end else (b, a)
        return other.start < point.start < other.end
    return a.start < b.end and b.start < a.end


def applied(text: str, edits: Iterable[Edit]) -> str:
    """The text after edits that do not overlap; of insertions at one place, the earlier given comes first."""
    pieces, at = [], 0
    # what is put at a place comes before what replaces the characters that begin there
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        pieces += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join(pieces) + text[at:]


def _unparsed(path: str, text: str, language: Language, before: str) -> str:
    """Why a fixed text is not accepted; empty where it is."""
    try:
        if language == "python":
            tree = parsed(text, path)
            try:
                compile(parsed(before, path), path, "exec", dont_inherit=True)
            except (SyntaxError, ValueError, RecursionError):
                return ""  # it did not compile before either
            compile(tree, path, "exec", dont_inherit=True)
        elif language == "notebook":
            after = source_of(path, text.encode(), language)
            for cell in after.cells:
                if cell.language == "python":
                    old = next(
                        (
                            c
                            for c in source_of(path, before.encode(), language).cells
                            if c.cell == cell.cell and c.language == "python"
                        ),
                        None,
                    )
                    if old is not None and _parses(old.text) and not _parses(cell.text):
                        return f"taken back: cell {cell.cell} would not parse"
    except (SyntaxError, InvalidInputError, ValueError, RecursionError) as error:
        return f"taken back: it would not parse: {error}"
    return ""


def _parses(text: str) -> bool:
    try:
        parsed(text)
    except SyntaxError:
        return False
    return True


def _write(where: Path, before: bytes, after: bytes) -> str:
    """Replaces a file at once; why it could not, or nothing."""
    try:
        if where.read_bytes() != before:
            return "not written: the file was changed meanwhile"
        descriptor, name = tempfile.mkstemp(dir=where.parent, prefix=f".{where.name}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(after)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).chmod(where.stat().st_mode & 0o7777)
            Path(name).replace(where)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        return f"not written: {error.strerror}"
    return ""


def _lines(text: str) -> list[str]:
    """Lines with their ends, as a diff shows them: only a newline ends one."""
    pieces = text.split("\n")
    return [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


__all__ = ["FileDiff", "FixReport", "FixedText", "Left", "applied", "fix", "fix_bytes", "fix_text"]
