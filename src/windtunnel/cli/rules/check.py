"""``windtunnel rules check NAME --to CN --date 2025-04-20``: the verdict first, then the clause and the numbers."""

from __future__ import annotations

from typing import Any

import click

from windtunnel.catalog.instrument import Tag
from windtunnel.cli.params import json_option
from windtunnel.cli.rules.options import columns, date_option, figure, hanging, to_option, today
from windtunnel.rules.classify import Condition
from windtunnel.rules.verdict import NO_ADVICE, Verdict

Json = dict[str, Any]
KNOWN: dict[Tag, str] = {
    "official": "official, quoted",
    "second-hand": "second-hand: law firms and the press",
    "memory": "from memory, not confirmed",
}
"""How the text of the instrument that decides is known."""


@click.command()
@click.argument("name")
@to_option
@date_option
@json_option
def check(name: str, to: str, date: str | None, as_json: bool) -> None:
    """The verdict on a chip or system, and the numbers that decide it.

    NAME is a chip or system of the catalogue, or a TOML file of your own chip. A system is judged by the chip inside.
    """
    from windtunnel.rules.check import check as judge

    verdict = judge(name, to, date if date is not None else today())
    if as_json:
        import json

        click.echo(json.dumps(verdict_json(verdict), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(verdict_lines(verdict)))


def verdict_lines(verdict: Verdict) -> list[str]:
    """The verdict as text."""
    lines = [f"{verdict.item} to {verdict.destination.name} on {verdict.date}: {verdict.headline}"]
    lines += hanging("clause", verdict.clause, 8)
    lines += hanging("text", KNOWN[verdict.tag], 8)
    if verdict.conditions:
        rows = [_row(condition) for condition in verdict.conditions]
        head = ["number", "value", "limit", "met", "paragraph", "from"]
        lines += ["", *columns(head, rows, right=(1, 2))]
    lines.append("")
    lines += [line for source in verdict.sources for line in hanging("source", source, 8)]
    if verdict.notes:
        lines.append("")
        lines += [line for note in verdict.notes for line in hanging("-", note, 2)]
    lines += ["", f"{NO_ADVICE} The record goes up to {verdict.known_until}."]
    return lines


def _row(condition: Condition) -> list[str]:
    met = {True: "yes", False: "no", None: "?"}[condition.met]
    limit = f"{condition.relation} {figure(condition.limit)}"
    value = figure(condition.value, condition.unit if condition.value is not None else "")
    return [condition.name, value, limit, met, condition.paragraph, condition.basis]


def condition_json(condition: Condition) -> Json:
    return {
        "name": condition.name,
        "value": condition.value,
        "relation": condition.relation,
        "limit": condition.limit,
        "unit": condition.unit,
        "met": condition.met,
        "paragraph": condition.paragraph,
        "instrument": condition.instrument,
        "basis": condition.basis or None,
    }


def verdict_json(verdict: Verdict) -> Json:
    return {
        "item": verdict.item,
        "chip": verdict.chip,
        "destination": verdict.destination.id,
        "date": verdict.date.isoformat(),
        "status": str(verdict.status),
        "hypothetical": verdict.hypothetical,
        "barred": verdict.barred,
        "eccn": verdict.eccn or None,
        "missing": verdict.missing or None,
        "clause": verdict.clause,
        "instrument": verdict.instrument,
        "text_known": verdict.tag,
        "conditions": [condition_json(condition) for condition in verdict.conditions],
        "sources": list(verdict.sources),
        "notes": list(verdict.notes),
        "known_until": verdict.known_until.isoformat(),
        "no_advice": NO_ADVICE,
    }
