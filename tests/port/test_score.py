"""The bench's scoring, on an example small enough to count by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from bench.port import score as bench
from bench.port.score import Binds, Found, Label, score, touches

FILES = {("p", "a.py"): "python", ("p", "b.sh"): "shell", ("p", "n.ipynb"): "notebook", ("p", "empty.py"): "python"}


def label(path: str, line: int, start: int, end: int, binds: Binds, kind: str = "spelling", cell: int = -1) -> Label:
    return Label("p", path, cell, line, start, end, FILES["p", path], kind if binds != "no" else "", "c", binds)


LABELS = [
    label("a.py", 1, 10, 14, "yes"),
    label("a.py", 1, 20, 24, "yes", "capability"),
    label("a.py", 2, 5, 9, "no"),
    label("a.py", 3, 5, 9, "either"),
    label("b.sh", 7, 1, 21, "yes"),
    label("n.ipynb", 1, 3, 7, "yes", cell=2),
]


def test_counts_by_hand() -> None:
    findings = [
        Found("p", "a.py", 1, 8, 1, 16, "spelling", "r"),  # right: the first point of line 1, not the second
        Found("p", "a.py", 2, 1, 2, 30, "spelling", "r"),  # a look-alike
        Found("p", "a.py", 3, 5, 3, 9, "spelling", "r"),  # let pass
        Found("p", "empty.py", 4, 1, 4, 5, "capability", "r"),  # a labelled file without a point
        Found("p", "b.sh", 7, kind="capability", rule="r"),  # no column: any of the line
        Found("p", "other.py", 1, 1, 1, 5, "spelling", "r"),  # a file that nobody labelled
        Found("q", "a.py", 1, 10, 1, 14, "spelling", "r"),  # another package
        Found("p", "n.ipynb", 1, 3, 1, 7, "spelling", "r", cell=1),  # another cell
    ]
    result = score(LABELS, findings, FILES)
    assert result.recall == (2, 4)  # a.py:1:10 and b.sh:7 of those, a.py:1:20 and the notebook's
    assert result.precision == (2, 5)  # of 6 findings in labelled files one is let pass
    assert [outcome for _, outcome, _ in result.findings] == [
        "right", "false alarm", "let pass", "false alarm", "right", "false alarm",
    ]  # fmt: skip
    assert result.same_kind == 1
    by_language = bench.groups(result, lambda x: x.language, lambda _, language: language)
    assert by_language["shell"].recall == (1, 1)
    assert by_language["python"].recall == (1, 2)
    assert by_language["python"].precision == (1, 3)
    by_kind = bench.groups(result, lambda x: x.kind, lambda f, _: f.kind)
    assert by_kind["capability"].recall == (0, 1)
    assert by_kind["capability"].precision == (1, 2)


def test_nothing_found_and_nothing_labelled() -> None:
    assert score(LABELS, [], FILES).recall == (0, 4)
    assert score(LABELS, [], FILES).precision == (0, 0)
    assert score([], [], {}).recall == (0, 0)


@pytest.mark.parametrize(
    ("finding", "line", "expected"),
    [
        (Found("p", "a.py", 1, 14, 1, 20), 1, False),  # ends are exclusive on both sides
        (Found("p", "a.py", 1, 13, 1, 20), 1, True),
        (Found("p", "a.py", 1, 1, 1, 10), 1, False),
        (Found("p", "a.py", 1, 1, 1, 11), 1, True),
        (Found("p", "a.py", 1, 12), 1, True),  # no end: the rest of the line
        (Found("p", "a.py", 1, 40, 3, 2), 2, True),  # a call over three lines holds what lies in the middle one
        (Found("p", "a.py", 1, 40, 3, 2), 3, False),
        (Found("p", "a.py", 1, 40, 3, 11), 3, True),
        (Found("p", "a.py", 1, 1, 11, 2), 5, False),  # too long: only its first line
        (Found("p", "a.py", 1, 1, 11, 2), 1, True),
        (Found("p", "a.py", 2, 1, 2, 80), 1, False),
    ],
)
def test_touches(finding: Found, line: int, expected: bool) -> None:
    assert touches(finding, label("a.py", line, 10, 14, "yes")) is expected


def test_label_without_column_takes_any_of_its_line() -> None:
    assert touches(Found("p", "a.py", 1, 70, 1, 75), label("a.py", 1, 0, 0, "yes"))


def test_one_finding_may_hold_two_points() -> None:
    assert score(LABELS, [Found("p", "a.py", 1, 1, 1, 60, "spelling")], FILES).recall == (2, 4)


def test_tables_can_be_read_and_belong_together() -> None:
    labels, files = bench.read_labels(), bench.read_files()
    with (bench.HERE / "packages.csv").open(newline="", encoding="utf-8") as rows:
        split = {row["package"]: row["split"] for row in csv.DictReader(rows)}
    assert {x.package for x in labels} <= set(split)
    assert {package for package, _ in files} == set(split)
    assert set(split.values()) == {"dev", "held-out", "test"}
    assert all(files[x.package, x.path] == x.language for x in labels)
    assert len({(x.package, x.path, x.cell, x.line, x.column) for x in labels}) == len(labels)
    assert all(0 < x.column < x.end_column and x.line > 0 for x in labels)
    assert all((x.kind in ("spelling", "capability")) == (x.binds != "no") for x in labels)
    assert sum(x.binds == "yes" for x in labels) >= 700


def test_report_names_misses_and_false_alarms(tmp_path: Path) -> None:
    file = tmp_path / "findings.json"
    file.write_text(
        json.dumps({"p": [{"path": "a.py", "line": 2, "column": 5, "end_column": 9, "kind": "spelling", "rule": "r"}]})
    )
    text = bench.report(score(LABELS, bench.read_findings(file), FILES), {"p": "dev"}, 1)
    assert "missed: 4" in text
    assert "p: a.py:1:10 c" in text
    assert "a.py:1:20" not in text  # one of each is listed
    assert "false alarms: 1" in text
    assert "p: a.py:2:5 r" in text
