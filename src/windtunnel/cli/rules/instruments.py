"""``windtunnel rules list``: every instrument of the record, with its dates and how its text is known."""

from __future__ import annotations

import click

from windtunnel.cli.params import json_option
from windtunnel.cli.rules.options import columns
from windtunnel.rules.verdict import NO_ADVICE


@click.command(name="list")
@json_option
def instruments(as_json: bool) -> None:
    """The instruments of the record, with their dates."""
    from windtunnel.catalog.destination import record
    from windtunnel.catalog.instrument import instruments as all_instruments

    found = all_instruments()
    if as_json:
        import json

        told = [
            {
                "id": i.id, "name": i.name, "kind": i.kind, "tag": i.tag, "binds": i.binds, "effective": i.since,
                "ended": i.ended.isoformat() if i.ended else None, "summary": i.summary, "destinations": list(i.destinations),
                "sources": list(i.sources), "notes": list(i.notes),
                "thresholds": {
                    k: {"value": t.value, "unit": t.unit, "paragraph": t.paragraph, "tag": t.tag}
                    for k, t in (i.thresholds or {}).items()
                },
            }
            for i in found
        ]  # fmt: skip
        click.echo(
            json.dumps({"instruments": told, "known_until": record().known_until.isoformat()}, indent=2, ensure_ascii=False)
        )
        return
    rows = [[i.since, i.id, i.kind, i.tag, i.summary + (f" Ended {i.ended}." if i.ended else "")] for i in found]
    click.echo("\n".join(columns(["since", "id", "kind", "text known", "what"], rows)))
    click.echo(f"\n{NO_ADVICE} The record goes up to {record().known_until}.")
