"""What a scan found, as a sheet: how much binds, what of it can be fixed, what is left and why; then file by file."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from windtunnel.cli.render import Sheet, count, number
from windtunnel.port.finding import Finding, Place, Skipped
from windtunnel.port.gate import BadIgnore, Gate
from windtunnel.port.registry import rule_named
from windtunnel.port.scan import ScanReport

MOST_PLACES = 200
"""Places that are listed unless --all says otherwise."""
MOST_SKIPPED = 8
EXPECTED = {"version control", "caches"}
"""Why folders are not read that nobody would miss."""
MARKS = {"safe": "fix", "unsafe": "unsafe", "none": "left"}
"""What becomes of a finding, in a word."""


def scan_sheet(
    path: Path,
    to: Sequence[str],
    report: ScanReport,
    gate: Gate,
    ignores: Sequence[BadIgnore],
    *,
    baseline: Path | None = None,
    show_all: bool = False,
    width: int = 0,
    terminal: bool | None = None,
) -> Sheet:
    """The summary first, then rules, then places."""
    sheet = Sheet(width=width, terminal=terminal)
    shown = gate.new
    files = len({f.place.path for f in shown})
    new = "new " if baseline is not None else ""
    if shown:
        binds = "binds" if len(shown) == 1 else "bind"
        sheet.line(f"{path}: {count(len(shown), f'{new}place')} in {count(files, 'file')} {binds} it", style="bold")
    else:
        told = "nothing new binds it" if baseline is not None else "nothing binds it"
        sheet.line(f"{path}: {told if report.files else _nothing_read(report)}", style="bold")
    sheet.facts(_summary(path, to, report, gate, baseline))
    _rules(sheet, "What can be fixed", [f for f in shown if f.safety != "none"])
    _rules(sheet, "What is left", [f for f in shown if f.safety == "none"], advice=True)
    add_places(sheet, shown, most=len(shown) if show_all else MOST_PLACES)
    for one in ignores:
        sheet.line()
        cell = f" (cell {one.cell})" if one.cell >= 0 else ""
        sheet.bullet(f"{one.path}:{one.line}{cell}: this ignore {one.why}")
    add_skipped(sheet, report.skipped)
    if shown:
        sheet.line()
        sheet.line("windtunnel port rules RULE explains one; --json has every place with its reason.", style="dim")
    return sheet


def _nothing_read(report: ScanReport) -> str:
    files = any(not one.path.endswith("/") for one in report.skipped)
    return "nothing there could be read" if files else "no file there is of a kind that any rule reads"


def _summary(
    path: Path, to: Sequence[str], report: ScanReport, gate: Gate, baseline: Path | None
) -> list[tuple[str, str]]:  # fmt: skip
    shown = gate.new
    facts = []
    spelling = [f for f in shown if f.kind == "spelling"]
    capability = [f for f in shown if f.kind == "capability"]
    for name, group in (("spelling", spelling), ("capability", capability)):
        if group:
            facts.append((name, _fixable(group)))
    concern = [(target, sum(target in f.targets for f in shown)) for target in to]
    if shown:
        facts.append(("concern", ", ".join(f"{target} {places:,}" for target, places in concern if places)))
    if any(f.safety == "safe" for f in shown):
        facts.append(("to fix them", f"windtunnel port fix {shlex.quote(str(path))} --diff, then --write"))
    if baseline is not None:
        gone = f"; {len(gate.gone):,} of it are gone" if gate.gone else ""
        facts.append(("baseline", f"{len(gate.known):,} known from {baseline}{gone}"))
    if report.suppressed:
        facts.append(("set aside", f"{len(report.suppressed):,} by comments that give a reason"))
    skipped = sum(one.reason not in EXPECTED for one in report.skipped)
    not_read = f"; {skipped:,} not read" if skipped else ""
    took = number(max(report.seconds, 0.01))
    facts.append(("read", f"{count(report.files, 'file')}, {count(report.lines, 'line')} in {took} s{not_read}"))
    return facts


def _fixable(findings: Sequence[Finding]) -> str:
    by = Counter(f.safety for f in findings)
    parts = [f"{by['safe']:,} can be fixed"] if by["safe"] else []
    parts += [f"{by['unsafe']:,} only with --unsafe"] if by["unsafe"] else []
    parts += [f"{by['none']:,} left to you"] if by["none"] else []
    return f"{len(findings):,}: {', '.join(parts)}"


def _rules(sheet: Sheet, title: str, findings: Iterable[Finding], *, advice: bool = False) -> None:
    groups: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.rule].append(finding)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    columns = ("rule", "places", "files", "what to do" if advice else "becomes")
    sheet.table(
        title,
        columns,
        ((rule, f"{len(found):,}", f"{len({f.place.path for f in found}):,}", _advice(found)) for rule, found in ordered),
        fold=columns[3:],
    )


def _advice(findings: Sequence[Finding]) -> str:
    """What is done, or is to be done, about findings of one rule: of those that are left, the commonest reason."""
    left = Counter(f.unfixed.removeprefix("by hand: ") for f in findings if f.unfixed)
    return left.most_common(1)[0][0] if left else rule_named(findings[0].rule).instead


def add_places(sheet: Sheet, findings: Sequence[Finding], *, title: str = "By file", most: int = MOST_PLACES) -> None:
    """Findings file by file: place, what becomes of it, rule, and the line."""
    if not findings:
        return
    sheet.line()
    sheet.line(title, style="bold")
    groups: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings[:most]:
        groups[finding.place.path].append(finding)
    places = max(len(_place(f.place)) for f in findings[:most])
    rules = max(len(f.rule) for f in findings[:most])
    for path, found in groups.items():
        sheet.line(printable(path))
        grid = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False, expand=True)
        grid.add_column(width=places + 2, justify="right", no_wrap=True)
        grid.add_column(width=max(map(len, MARKS.values())), no_wrap=True)
        grid.add_column(width=rules, no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)  # alone gives way to a long line
        for f in found:
            grid.add_row(_place(f.place), MARKS[f.safety], f.rule, Text(printable(f.excerpt)))
        sheet.parts.append(grid)
    if len(findings) > most:
        files = len({f.place.path for f in findings[most:]})
        sheet.line(f"and {count(len(findings) - most, 'place')} more in {count(files, 'file')}; --all lists them", style="dim")


def _place(place: Place) -> str:
    cell = f"[{place.cell}] " if place.cell >= 0 else ""
    return f"{cell}{place.line}:{place.column}"


def printable(text: str) -> str:
    """A line of a source, or a path, as one line of a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def add_skipped(sheet: Sheet, skipped: Sequence[Skipped]) -> None:
    """What was not read: reasons, most frequent first, and examples."""
    groups: dict[str, list[str]] = defaultdict(list)
    for one in (one for one in skipped if one.reason not in EXPECTED):
        groups[one.reason].append(printable(one.path))
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    columns = ("why", "paths", "as")
    sheet.table("Not read", columns, ((why, f"{len(paths):,}", paths[0]) for why, paths in ordered[:MOST_SKIPPED]), fold=("as",))
    if len(ordered) > MOST_SKIPPED:
        rest = sum(len(paths) for _, paths in ordered[MOST_SKIPPED:])
        sheet.line(f"and {rest:,} more for {len(ordered) - MOST_SKIPPED} other reasons; --json has them", style="dim")
