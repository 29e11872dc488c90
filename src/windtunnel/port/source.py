"""One file as the rules read it: text, places in it and, for Python, a tree whose names are resolved."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from windtunnel.port.finding import Edit, Finding, Place, Safety
from windtunnel.port.rule import Language, Rule

if TYPE_CHECKING:
    from windtunnel.port.python import PythonTree

BOM = "\ufeff"
_NEWLINE = re.compile(r"\r\n|\n|\r")
_LONGEST_EXCERPT = 160


@dataclass
class Source:
    """A file, or one cell of a notebook.

    path: relative to the root, forward slashes. text: decoded UTF-8 without the byte order mark (``bom`` tells whether
    there was one), newlines as in the file; edits and spans count characters of it. raw: the bytes that were read (of a
    cell, those of its text). cell: the cell's number in its notebook, -1 elsewhere. cells: of a notebook, a Source for
    each code cell (language "python", or "shell" for %%bash cells and for the ``!`` lines of a cell, where everything else
    is blanked). siblings: of a cell, all Python cells of the notebook in order, itself included, since they share names.
    """

    path: str
    language: Language
    text: str
    raw: bytes = b""
    bom: bool = False
    cell: int = -1
    cells: tuple[Source, ...] = ()
    siblings: tuple[Source, ...] = field(default=(), repr=False)

    @classmethod
    def of_text(cls, text: str, language: Language = "python", path: str = "") -> Source:
        """A source made from text: for tests and tables of cases. Raises InvalidInputError for a notebook that is cut."""
        from windtunnel.port.tree import source_of

        return source_of(path or DEFAULT_NAMES[language], text.encode(), language)

    @cached_property
    def starts(self) -> list[int]:
        """Where each line begins, in characters; line 1 first. Only newlines, carriage returns and both together end one."""
        return [0, *(m.end() for m in _NEWLINE.finditer(self.text))]

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their ends."""
        return _NEWLINE.split(self.text)

    @cached_property
    def newline(self) -> str:
        """How the file's first line ends; a plain newline where none does."""
        first = _NEWLINE.search(self.text)
        return first.group() if first else "\n"

    def line_column(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1, of a character."""
        line = bisect.bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def place(self, start: int, end: int) -> Place:
        """Where characters ``start`` to ``end`` (exclusive) lie."""
        return Place(self.path, *self.line_column(start), *self.line_column(end), self.cell)

    def excerpt(self, start: int, end: int) -> str:
        """The line in which ``start`` lies, trimmed; a long one around ``start`` only."""
        line, column = self.line_column(start)
        text = self.lines[line - 1]
        if len(text) > _LONGEST_EXCERPT:
            first = max(0, column - 1 - _LONGEST_EXCERPT // 4)
            text = text[first : first + _LONGEST_EXCERPT]
        return text.strip()

    def finding(
        self,
        rule: Rule,
        start: int,
        end: int,
        *,
        why: str = "",
        advice: str = "",
        edits: tuple[Edit, ...] = (),
        needs: tuple[str, ...] = (),
        safety: Safety | None = None,
        unfixed: str = "",
        targets: tuple[str, ...] = (),
    ) -> Finding:
        """A finding of ``rule`` at characters ``start`` to ``end``; what is left out comes from the rule.

        Without edits its safety is "none", and ``unfixed`` (the rule's ``instead`` by default) says why.
        """
        return Finding(
            rule=rule.id,
            kind=rule.kind,
            place=self.place(start, end),
            excerpt=self.excerpt(start, end),
            why=why or rule.why,
            advice=advice or rule.instead,
            targets=targets or rule.targets,
            safety=(safety or rule.safety) if edits else "none",
            edits=edits,
            needs=needs if edits else (),
            unfixed="" if edits else (unfixed or f"by hand: {rule.instead}"),
        )

    def matches(self, pattern: str | re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Every match of a regular expression in the text; ``m.start()`` and ``m.end()`` are what ``finding`` takes."""
        return (re.compile(pattern) if isinstance(pattern, str) else pattern).finditer(self.text)

    @cached_property
    def python(self) -> PythonTree:
        """The parsed tree with its helpers. Raises SyntaxError (only cells can: a file that does not parse is skipped)."""
        from windtunnel.port.python import PythonTree

        return PythonTree(self)


DEFAULT_NAMES: dict[Language, str] = {
    "python": "case.py",
    "notebook": "case.ipynb",
    "cpp": "case.cu",
    "build": "CMakeLists.txt",
    "shell": "case.sh",
    "dockerfile": "Dockerfile",
    "compose": "docker-compose.yml",
    "kubernetes": "deployment.yaml",
    "requirements": "requirements.txt",
    "ci": ".github/workflows/test.yml",
    "slurm": "job.slurm",
    "config": "config.yaml",
}
"""The name that a case of a rule's table has where it says none."""
