"""What a rule is: what it finds, why that binds, what to write instead, and the cases that hold it to that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from windtunnel.port.finding import Finding, Kind, Safety

Language = Literal[
    "python", "notebook", "cpp", "build", "shell", "dockerfile", "compose", "kubernetes", "requirements", "ci", "slurm", "config",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a rule's table. before: a file's text; found: how often the rule finds something in it (0: a no-op case);
    after: the text after the fix, None where nothing is fixed. note: why it stands here. name: the file's, where it matters.
    unsafe: the text after the unsafe fix, on request; None where that does no more than the safe one."""

    before: str
    found: int = 1
    after: str | None = None
    note: str = ""
    name: str = ""
    unsafe: str | None = None


@dataclass(frozen=True)
class Rule:
    """A rule. id: lower case with hyphens, the file's name. languages: the kinds of files it reads. safety: the best fix that
    it makes. what, why, instead: sentences of the rules page. cases: its table, the no-op cases first. find: the findings in
    one source (see ``windtunnel.port.source``). hints: byte strings of which a file must contain one, or the rule is not asked.
    """

    id: str
    kind: Kind
    languages: tuple[Language, ...]
    targets: tuple[str, ...]
    safety: Safety
    what: str
    why: str
    instead: str
    find: Callable[[Any], Iterable[Finding]]
    cases: tuple[Case, ...]
    hints: tuple[bytes, ...] = ()
