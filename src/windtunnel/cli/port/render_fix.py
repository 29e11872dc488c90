"""What a fix changed or would change, as a sheet: how much, in which files; what is left and why."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel.cli.port.render import add_skipped, printable
from windtunnel.cli.render import Sheet, count

if TYPE_CHECKING:
    from windtunnel.port.fix import FixReport

MOST_FILES = 40
MOST_REASONS = 20


def fix_sheet(path: Path, report: FixReport, *, unsafe: bool, width: int = 0, terminal: bool | None = None) -> Sheet:
    """The summary first, then files, then what is left."""
    sheet = Sheet(width=width, terminal=terminal)
    does = "changed" if report.written else "would change"
    places, files = count(len(report.fixed), "place"), count(len(report.diffs), "file")
    sheet.line(f"{path}: {places} in {files} {does}" if report.diffs else f"{path}: nothing to change", style="bold")
    facts = [("left", f"{count(len(report.left), 'place')}, below" if report.left else "nothing")]
    if report.suppressed:
        facts.append(("set aside", f"{len(report.suppressed):,} by comments that give a reason"))
    if report.lowest_torch:
        facts.append(("needs", f"PyTorch {report.lowest_torch} or newer"))
    if report.diffs and not report.written:
        again = f"windtunnel port fix {shlex.quote(str(path))}" + (" --unsafe" if unsafe else "")
        facts.append(("to see it", f"{again} --diff"))
        facts.append(("to do it", f"{again} --write"))
    if report.diffs and path.is_dir():
        facts.append(("to prove it", f"windtunnel port prove {shlex.quote(str(path))} -- SCRIPT ARGS"))
    sheet.facts(facts)
    changed = sorted(Counter(f.place.path for f in report.fixed).items(), key=lambda item: (-item[1], item[0]))
    sheet.table(
        "Changed" if report.written else "Would change",
        ("file", "places", "rules"),
        (
            (printable(name), f"{n:,}", ", ".join(sorted({f.rule for f in report.fixed if f.place.path == name})))
            for name, n in changed[:MOST_FILES]
        ),
        fold=("rules",),
    )
    if len(changed) > MOST_FILES:
        sheet.line(f"and {count(len(changed) - MOST_FILES, 'file')} more", style="dim")
    reasons = Counter((one.finding.rule, one.reason.removeprefix("by hand: ")) for one in report.left)
    sheet.table(
        "Left",
        ("rule", "places", "why"),
        ((rule, f"{n:,}", why) for (rule, why), n in reasons.most_common(MOST_REASONS)),
        fold=("why",),
    )
    if len(reasons) > MOST_REASONS:
        rest = sum(n for _, n in reasons.most_common()[MOST_REASONS:])
        sheet.line(f"and {count(rest, 'place')} more; windtunnel port scan lists each", style="dim")
    if report.rolled_back:
        sheet.line()
        sheet.line("Not changed", style="bold")
        for one in report.rolled_back:
            sheet.bullet(f"{printable(one.path)}: {one.reason}")
    add_skipped(sheet, report.skipped)
    return sheet
