"""Sets a scan's findings against the labels: recall over what binds, precision over the findings in labelled files.

    python bench/port/score.py FINDINGS.json [--split dev] [--list 20]

FINDINGS.json: ``{"PACKAGE": [{"path": ..., "line": ..., "column": ..., "end_line": ..., "end_column": ..., "kind": ...,
"rule": ..., "cell": ...}, ...]}``; lines and columns from 1, ends exclusive; only path and line must be there.

A finding touches a label that lies within its place: same file and notebook cell, and columns that overlap (any column of
the line where either has none). It is right if it touches one that binds, let pass if it touches only ones that may be
reported or not, and a false alarm otherwise, also where nothing is labelled. A label that binds is found if a finding
touches it. Files that were not labelled do not count.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

HERE = Path(__file__).parent
FAR = 10**9
LONGEST = 10
"""Lines. A finding that spans more claims its first line only: else one that names a whole function would find all in it."""

Binds = Literal["yes", "no", "either"]
Outcome = Literal["right", "let pass", "false alarm"]


@dataclass(frozen=True, slots=True)
class Label:
    """One point of labels.csv. cell: -1 outside notebooks. kind: empty for a look-alike. column 0: not given."""

    package: str
    path: str
    cell: int
    line: int
    column: int
    end_column: int
    language: str
    kind: str
    construct: str
    binds: Binds
    note: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One finding of a scan, with the package whose folder was scanned. end_line 0, end_column 0: not given."""

    package: str
    path: str
    line: int
    column: int = 0
    end_line: int = 0
    end_column: int = 0
    kind: str = ""
    rule: str = ""
    cell: int = -1

    def columns(self, line: int) -> tuple[int, int] | None:
        """The columns that it covers in ``line``, end exclusive; None where it does not reach."""
        last = max(self.end_line, self.line)
        if last - self.line >= LONGEST:
            last = self.line
        if not self.line <= line <= last:
            return None
        start = self.column if line == self.line else 1
        end = self.end_column if self.end_column and line == max(self.end_line, self.line) else FAR
        return (start, end) if self.column else (0, FAR)


@dataclass
class Score:
    """What came of it. labels: those of the files scored, with whether each was found. findings: with what each came to."""

    labels: list[tuple[Label, bool]] = field(default_factory=list)
    findings: list[tuple[Found, Outcome, str]] = field(default_factory=list)
    """Each with the language of its file."""
    same_kind: int = 0
    """Right findings that name the kind of a label they touch."""

    @property
    def recall(self) -> tuple[int, int]:
        """Labels that bind: found, all."""
        bound = [found for label, found in self.labels if label.binds == "yes"]
        return sum(bound), len(bound)

    @property
    def precision(self) -> tuple[int, int]:
        """Findings: right, right or false alarm."""
        outcome = Counter(outcome for _, outcome, _ in self.findings)
        return outcome["right"], outcome["right"] + outcome["false alarm"]


def read_labels(folder: Path = HERE) -> list[Label]:
    """All points of labels.csv."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as rows:
        return [
            Label(
                row["package"],
                row["path"],
                int(row["cell"] or -1),
                int(row["line"]),
                int(row["column"] or 0),
                int(row["end_column"] or 0),
                row["language"],
                row["kind"],
                row["construct"],
                _binds(row["binds"]),
                row["note"],
            )
            for row in csv.DictReader(rows)
        ]


def _binds(text: str) -> Binds:
    assert text in ("yes", "no", "either"), text
    return text  # type: ignore[return-value]  # mypy does not narrow str by membership


def read_files(folder: Path = HERE) -> dict[tuple[str, str], str]:
    """The language of each file that was labelled as a whole, by package and path; also of those without a point."""
    with (folder / "files.csv").open(newline="", encoding="utf-8") as rows:
        return {(row["package"], row["path"]): row["language"] for row in csv.DictReader(rows)}


def read_findings(file: Path) -> list[Found]:
    """The findings of a JSON file as described above."""
    told: dict[str, list[dict[str, Any]]] = json.loads(file.read_text(encoding="utf-8"))
    return [Found(package, **place) for package, places in told.items() for place in places]


def score(labels: Iterable[Label], findings: Iterable[Found], files: dict[tuple[str, str], str]) -> Score:
    """Findings against labels, in the files given."""
    there: dict[tuple[str, str, int], list[Label]] = defaultdict(list)
    result = Score()
    kept = [label for label in labels if (label.package, label.path) in files]
    for label in kept:
        there[label.package, label.path, label.cell].append(label)
    found: set[Label] = set()
    for finding in findings:
        language = files.get((finding.package, finding.path))
        if language is None:
            continue
        touched = [label for label in there[finding.package, finding.path, finding.cell] if touches(finding, label)]
        bound = [label for label in touched if label.binds == "yes"]
        found.update(bound)
        result.same_kind += any(label.kind == finding.kind for label in bound)
        outcome: Outcome = "right" if bound else "let pass" if any(t.binds == "either" for t in touched) else "false alarm"
        result.findings.append((finding, outcome, language))
    result.labels = [(label, label in found) for label in kept]
    return result


def touches(finding: Found, label: Label) -> bool:
    """Whether the label lies within the finding's place; file and cell are not looked at."""
    columns = finding.columns(label.line)
    if columns is None:
        return False
    return not label.column or (label.column < columns[1] and columns[0] < label.end_column)


def groups(result: Score, of_label: Callable[[Label], str], of_finding: Callable[[Found, str], str]) -> dict[str, Score]:
    """The same score cut by a property of labels and of findings."""
    cut: dict[str, Score] = defaultdict(Score)
    for label, was_found in result.labels:
        cut[of_label(label)].labels.append((label, was_found))
    for finding, outcome, language in result.findings:
        cut[of_finding(finding, language)].findings.append((finding, outcome, language))
    return dict(sorted(cut.items()))


def _row(name: str, result: Score) -> str:
    (got, wanted), (right, said) = result.recall, result.precision
    recall = f"{got / wanted:7.1%} {got:5}/{wanted:<5}" if wanted else " " * 19
    precision = f"{right / said:7.1%} {right:5}/{said:<5}" if said else ""
    return f"{name:26} {recall} {precision}".rstrip()


def report(result: Score, split: dict[str, str], listed: int) -> str:
    """The tables, then the misses and the false alarms, ``listed`` of each."""
    out = [f"{'':26} {'recall':19} precision", _row("all", result)]
    out += [_row(name, part) for name, part in groups(result, lambda x: split[x.package], lambda f, _: split[f.package]).items()]
    out.append("")
    # a look-alike has no kind, and no recall either
    out += [_row(name, part) for name, part in groups(result, lambda x: x.kind, lambda f, _: f.kind).items() if name]
    out.append("")
    out += [_row(name, part) for name, part in groups(result, lambda x: x.language, lambda _, language: language).items()]
    out.append("")
    constructs = groups(result, lambda x: x.construct if x.binds == "yes" else "", lambda f, _: "").items()
    out += [_row(name, part) for name, part in constructs if name]
    right = result.precision[0]
    if right:
        out += ["", f"right findings that name the labelled kind: {result.same_kind / right:.1%}"]
    missed = [x for x, found in result.labels if x.binds == "yes" and not found]
    alarms = [f for f, outcome, _ in result.findings if outcome == "false alarm"]
    out += ["", f"missed: {len(missed)}"]
    out += [f"  {x.package}: {_at(x.path, x.cell, x.line, x.column)} {x.construct}" for x in missed[:listed]]
    out += ["", f"false alarms: {len(alarms)}"]
    out += [f"  {f.package}: {_at(f.path, f.cell, f.line, f.column)} {f.rule}" for f in alarms[:listed]]
    return "\n".join(out)


def _at(path: str, cell: int, line: int, column: int) -> str:
    return f"{path}{f'#{cell}' if cell >= 0 else ''}:{line}:{column}"


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("findings", type=Path)
    parser.add_argument("--split", choices=("dev", "held-out", "test"))
    parser.add_argument("--list", type=int, default=20, metavar="N", help="misses and false alarms to list (20)")
    asked = parser.parse_args()
    with (HERE / "packages.csv").open(newline="", encoding="utf-8") as rows:
        split = {row["package"]: row["split"] for row in csv.DictReader(rows)}
    findings = read_findings(asked.findings)
    # a package that was not scanned is not a package in which nothing was found
    scanned = {name for name in json.loads(asked.findings.read_text(encoding="utf-8")) if asked.split in (None, split[name])}
    files = {key: language for key, language in read_files().items() if key[0] in scanned}
    print(report(score(read_labels(), findings, files), split, asked.list))
    return 0


if __name__ == "__main__":
    sys.exit(main())
