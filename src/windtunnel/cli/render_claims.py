"""Claims as text: the table of all, and one in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from windtunnel.claims import words
from windtunnel.claims.result import Result
from windtunnel.claims.verdict import VERDICTS
from windtunnel.cli.render import Sheet


def all_claims(results: Sequence[Result]) -> Sheet:
    """Every claim, one a line, and how many hold."""
    sheet = Sheet()
    rows = ((r.claim.id, r.claim.says, words.in_short(r), r.verdict) for r in results)
    columns = ("id", "claim", "the catalogue and the models say", "verdict")
    sheet.table(f"{len(results)} claims", columns, rows, left=1, fold=columns[1:])
    counts = Counter(result.verdict for result in results)
    sheet.line()
    sheet.line(", ".join(f"{verdict}: {counts[verdict]}" for verdict in VERDICTS))
    sheet.line(
        "windtunnel claims CLAIM shows one in full, with its facts; docs/claims.md says how a verdict is made.", style="dim"
    )
    return sheet


def one_claim(result: Result) -> Sheet:
    """One claim: its parts, what follows, and each fact with its source."""
    sheet = Sheet()
    sheet.line(f"{result.claim.id}  {result.claim.says}", style="bold")
    pairs = [("said by", words.said_by(result.claim)), ("verdict", result.verdict)]
    if result.reason:
        pairs.append((words.why(result), result.reason))
    if result.recalled:
        pairs.append(("from memory", ", ".join(result.recalled)))
    sheet.facts(pairs)
    for part in result.parts:
        sheet.line()
        sheet.line(part.part.name, style="bold")
        would = words.would_do(part.part)
        sheet.facts(
            [
                ("claimed", words.says(part.part) + (f" (as rounded: {would})" if would else "")),
                ("found", words.found(part.found)),
                *([("how", words.basis(part))] if words.basis(part) else []),
                ("verdict", words.judged(part)),
            ]
        )
    if result.beside:
        sheet.line()
        sheet.line("Beside", style="bold")
        for line in result.beside:
            sheet.bullet(line)
    if result.used:
        columns = ("fact", "value", "source")
        sheet.table("Facts", columns, ((u.ref, u.value, u.source) for u in result.used), left=1, fold=columns)
    sheet.line()
    sheet.line(f"computed by windtunnel.claims.checks.{result.function}", style="dim")
    return sheet
