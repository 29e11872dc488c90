"""How much of what binds a repository `port` finds, how much it fixes, and whether what it fixed is still the same program."""

from __future__ import annotations

import ast
import csv
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.port.fetch import Package, fetch
from bench.port.score import Found, Score, read_files, read_labels, score

HERE = Path(__file__).parent
OPERATORS = HERE / "measured" / "operators.csv"
MOST_LINES = 200_000
"""Lines of Python of a package that is fixed as a whole; three are larger, and would take most of an hour."""

BLIND = {"held-out": (0.949, 0.964), "test": (0.952, 0.970)}
"""Recall and precision of a split when it was measured for the last time before anybody looked at it, on 2026-11-22. Rules have
been written by looking at all splits since, so what they reach on them now says less than this."""


@dataclass
class Labelled:
    """What a scan of the labelled files came to. scores: by split. cpu_s: of the scan; parse_s: of `ast.parse` alone, over the
    Python files among them; spelling: findings of that kind that were fixed, and all of them, by split."""

    scores: dict[str, Score] = field(default_factory=dict)
    lines: int = 0
    cpu_s: float = 0.0
    python_lines: int = 0
    parse_s: float = 0.0
    spelling: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass
class Whole:
    """What fixing whole packages came to: Python files; those changed; of these, those that compile; those that a second fix
    changes again; those changed without a finding; those taken back because they would not have parsed."""

    files: int = 0
    changed: int = 0
    compile: int = 0
    changed_again: int = 0
    no_finding: int = 0
    taken_back: int = 0


def sources(cache: Path) -> tuple[list[Package], dict[str, str]]:
    """The packages that could be had, unpacked below ``cache / "port"``, and why the others could not."""
    return fetch(cache / "port")


def labelled(packages: list[Package], cache: Path) -> Labelled:
    """Scans and fixes the files that were labelled as a whole, and nothing else of their packages."""
    from windtunnel.port.fix import fix
    from windtunnel.port.scan import scan

    files, labels, result = read_files(), read_labels(), Labelled()
    found: dict[str, list[Found]] = defaultdict(list)
    fixed: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for package in packages:
        paths = [path for name, path in files if name == package.package]
        with _copied(cache / "port" / package.root, paths) as tree:
            start = time.process_time()
            report = scan(tree)
            result.cpu_s += time.process_time() - start
            result.lines += report.lines
            for path in (tree / path for path in paths if path.endswith(".py")):
                start = time.process_time()
                text = path.read_text(encoding="utf-8")
                ast.parse(text)
                result.parse_s += time.process_time() - start
                result.python_lines += text.count("\n")
            for finding in report.findings:
                at = finding.place
                found[package.split].append(
                    Found(
                        package.package,
                        at.path,
                        at.line,
                        at.column,
                        at.end_line,
                        at.end_column,
                        finding.kind,
                        finding.rule,
                        at.cell,
                    )
                )
            done = fix(tree)
            taken = sum(x.kind == "spelling" for x in done.fixed)
            fixed[package.split][0] += taken
            fixed[package.split][1] += taken + sum(x.finding.kind == "spelling" for x in done.left)
    for split in sorted({package.split for package in packages}):
        names = {package.package for package in packages if package.split == split}
        scored = {key: language for key, language in files.items() if key[0] in names}
        result.scores[split] = score([x for x in labels if x.package in names], found[split], scored)
    result.spelling = {split: (counts[0], counts[1]) for split, counts in fixed.items()}
    return result


def whole(packages: list[Package], cache: Path) -> Whole:
    """Fixes all Python files of the packages, then fixes them once more."""
    from windtunnel.port.fix import fix
    from windtunnel.port.scan import scan

    result = Whole()
    for package in packages:
        root = cache / "port" / package.root
        paths = [str(path.relative_to(root)) for path in root.rglob("*.py") if path.is_file()]
        if sum((root / path).read_bytes().count(b"\n") for path in paths) > MOST_LINES:
            continue
        with _copied(root, paths) as tree:
            bound = {finding.place.path for finding in scan(tree).findings}
            first = fix(tree, write=True)
            result.files += len(paths)
            result.changed += len(first.diffs)
            result.taken_back += len(first.rolled_back)
            result.no_finding += sum(diff.path not in bound for diff in first.diffs)
            result.compile += sum(_compiles(tree / diff.path) for diff in first.diffs)
            result.changed_again += len(fix(tree).diffs)
    return result


def verdicts() -> tuple[int, int]:
    """Overloads of which `port ops` says what the dispatcher's own table says, of all. What is made of others is right where
    it is called that, or a fall-back through a part that the dispatcher sends back; "native" is never right for it."""
    from windtunnel.catalog.support import support_table

    table = support_table("torch_npu", "2.13.0")
    with OPERATORS.open(newline="", encoding="utf-8") as rows:
        told = {row["aten_overload"]: row["torch_npu_2_13_0"] for row in csv.DictReader(rows)}
    back = {name for name, word in told.items() if word.startswith("cpu_fallback")}
    right = 0
    for name, word in told.items():
        said = table.of(name)
        if word.startswith("native"):
            right += said.status == "native"
        elif word.startswith("cpu_fallback"):
            right += said.status == "cpu fallback"
        elif said.status == "cpu fallback":  # of a composite: it has to name a part that the dispatcher sends back
            right += any(via.removeprefix("aten.").removesuffix(".default") in back for via in said.via)
        else:
            right += said.status in ("composite", "unknown")
    return right, len(told)


@contextmanager
def _copied(root: Path, paths: list[str]) -> Iterator[Path]:
    """The files alone, in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            to = Path(folder, path)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, to)
        yield Path(folder)


def _compiles(file: Path) -> bool:
    try:
        compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True
