"""The rewrite of one file's text: the edits of its findings, what they need at the top, round by round, and nothing else."""

from __future__ import annotations

import ast
import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field

from windtunnel.errors import InvalidInputError
from windtunnel.port import top
from windtunnel.port.finding import Edit, Finding, Skipped
from windtunnel.port.notebook import cells_of, written_back
from windtunnel.port.python import PythonTree
from windtunnel.port.rule import Language
from windtunnel.port.scan import findings_in, hinted, why_not_parsed
from windtunnel.port.source import BOM, Source
from windtunnel.port.suppress import Suppressed, suppressed
from windtunnel.port.tree import source_of

MOST_ROUNDS = 6
"""How often a file is looked at again for what one round's edits kept another from doing."""
ON_REQUEST = "its fix may change what the program does: {} (ask for unsafe fixes to have it)"
OVERLAPS = "its fix overlaps another one"


@dataclass(frozen=True, slots=True)
class Left:
    """A finding that was not fixed, and why."""

    finding: Finding
    reason: str


@dataclass
class FixedText:
    """A text after its fixes, with its byte order mark. rolled_back: why it stayed as it was, where a fix would not parse."""

    text: str
    fixed: list[Finding] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    suppressed: list[Suppressed] = field(default_factory=list)
    rolled_back: str = ""


def fix_bytes(
    path: str, raw: bytes, language: Language, unsafe: bool, targets: frozenset[str], asked: frozenset[str] | None
) -> FixedText | Skipped:
    """A file's text after its fixes, or why it cannot be read."""
    try:
        if not hinted(language, raw):
            if not raw.isascii():
                source_of(path, raw, language)  # what cannot be read is told, though nothing would be looked for in it
            return FixedText(raw.decode("utf-8"))
        source = source_of(path, raw, language)
        if source.language == "python":
            source.python  # noqa: B018
        return _rewritten(source, unsafe, targets, asked)
    except InvalidInputError as error:
        return Skipped(path, str(error).removeprefix(f"{error.field}: "))
    except SyntaxError as error:
        return Skipped(path, why_not_parsed(raw, error))
    except RecursionError:
        return Skipped(path, "nested too deeply")


def _rewritten(original: Source, unsafe: bool, targets: frozenset[str], asked: frozenset[str] | None) -> FixedText:
    mark = BOM if original.bom else ""
    current, fixed, left, aside = original, list[Finding](), list[Left](), tuple[Suppressed, ...]()
    for _ in range(MOST_ROUNDS):
        kept, aside = suppressed(current, findings_in(current, targets, asked))
        text, done, left = _one_round(current, kept, unsafe)
        if text == current.text:
            break
        fixed.extend(done)
        following = _accepted(original, text)
        if isinstance(following, str):
            return FixedText(mark + original.text, fixed, left, [], following)
        current = following
    return FixedText(mark + current.text, fixed, left, list(aside))


def _accepted(original: Source, text: str) -> Source | str:
    """The source with a fixed text, or why that is taken back: it has to compile where the original did."""
    try:
        fixed = source_of(original.path, text.encode(), original.language)
    except InvalidInputError as error:
        return f"taken back: it could not be read: {error}"
    if fixed.language == "python":
        try:
            compile(fixed.python.tree, fixed.path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError) as error:
            if not _parses(fixed) or _compiles(original.python.tree):
                return f"taken back: it would not parse: {error}"
    before = {cell.cell: cell for cell in original.cells if cell.language == "python"}
    for cell in fixed.cells:
        old = before.get(cell.cell) if cell.language == "python" else None
        if old is not None and old.text != cell.text and _parses(old) and not _parses(cell):
            return f"taken back: cell {cell.cell} would not parse"
    return fixed


def _compiles(tree: ast.Module) -> bool:
    try:
        compile(tree, "<original>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True


def _parses(source: Source) -> bool:
    try:
        source.python  # noqa: B018
    except SyntaxError:
        return False
    return True


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
    if not wanted:
        return source.text, [], left
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
        text, fixed, more = _edited(cell, mine, originals[cell.cell])
        left.extend(more)
        if fixed:
            changes[cell.cell] = text
            fixed_all.extend(fixed)
    return written_back(source.text, changes) if changes else source.text, fixed_all, left


def _edited(source: Source, findings: list[Finding], text: str | None = None) -> tuple[str, list[Finding], list[Left]]:
    """``text`` (the source's own, where none is given: of a notebook's cell it has what the source has blanked) after edits."""
    left: list[Left] = []
    fixed: list[Finding] = []
    taken = _Taken()
    lines: dict[top.Home, list[str]] = {}
    python = source.python if source.language == "python" else None
    homes = _Homes(python) if python else None
    for finding in findings:
        home = homes.of(finding) if homes and finding.needs else None
        if isinstance(home, str):
            left.append(Left(finding, home))
            continue
        if not taken.take(finding.edits):
            left.append(Left(finding, OVERLAPS))
            continue
        fixed.append(finding)
        if home:
            wanted = lines.setdefault(home, [])
            wanted.extend(line for line in top.names_lines(finding.needs, home.name) if line not in wanted)
    edits = list(taken.edits)
    if python:
        for home, names in lines.items():
            edits.extend(top.insertion(python, home, names))
    return applied(source.text if text is None else text, edits), fixed, left


class _Taken:
    """Edits that do not overlap, in the order in which they were given; two insertions may share a place."""

    def __init__(self) -> None:
        self.edits: list[Edit] = []
        self._spans: list[tuple[int, int]] = []

    def take(self, edits: tuple[Edit, ...]) -> bool:
        """Takes all of them, or none where one overlaps what was taken before."""
        if any(self._meets(edit.start, edit.end) for edit in edits):
            return False
        for edit in edits:
            self.edits.append(edit)
            bisect.insort(self._spans, (edit.start, edit.end))
        return True

    def _meets(self, start: int, end: int) -> bool:
        # spans that do not overlap are in the order of their ends too: whatever meets this one is next to it
        at = bisect.bisect_left(self._spans, (start, start))
        if at and self._spans[at - 1][1] > start:
            return True
        for other, other_end in self._spans[at:]:
            if other >= end:
                return False
            if other > start or other_end > start:
                return True
        return False


class _Homes:
    """For each finding of a file the place of the names that it needs, or why there is none."""

    def __init__(self, python: PythonTree) -> None:
        self.python = python
        self.module = top.module_home(python)
        self.inner = top.function_homes(python)
        self.bound = top.bound_names(python)
        self._own: dict[tuple[int, int], dict[str, ast.Assign]] = {}

    def of(self, finding: Finding) -> top.Home | str | None:
        offset = min(e.start for e in finding.edits)
        if top.needs_only_torch(finding) and self._says_torch(finding):
            return None
        home: top.Home | str = self.module
        if isinstance(home, str):
            inner = [one for one in self.inner if one.at <= offset and one.body[0] <= offset < one.body[1]]
            if not inner:
                return self._in_other_cell(finding) or home
            home = max(inner, key=lambda one: one.body[0])
        if top.evaluated_early(self.python, offset, home):
            return top.CONDITIONAL if home.conditional else top.TOO_EARLY
        if home.body not in self._own:
            self._own[home.body] = top.own_lines(self.python, home.body)
        for line in top.names_lines(finding.needs, home.name):
            name = line.split(" ", 1)[0]
            if name in self.bound and line not in self._own[home.body]:
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


def applied(text: str, edits: Iterable[Edit]) -> str:
    """The text after edits that do not overlap; of insertions at one place, the earlier given comes first."""
    pieces, at = [], 0
    # what is put at a place comes before what replaces the characters that begin there
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        pieces += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join(pieces) + text[at:]
