"""``windtunnel rules hbm --gb-per-s 819 --mm2 121``: a bare stack of memory against 3A090.c."""

from __future__ import annotations

import click

from windtunnel.cli.params import Rate, json_option
from windtunnel.cli.rules.check import condition_json
from windtunnel.cli.rules.options import date_option, figure, today
from windtunnel.errors import InvalidInputError
from windtunnel.rules.verdict import NO_ADVICE


@click.command()
@click.option("--gb-per-s", type=Rate(1e6, "GB/s"), required=True, help="Bandwidth of the stack.")
@click.option("--mm2", type=Rate(1e6, "mm2"), required=True, help="Area of the stack or its package.")
@date_option
@json_option
def hbm(gb_per_s: float, mm2: float, date: str | None, as_json: bool) -> None:
    """The verdict on a bare stack of high-bandwidth memory.

    Memory that is packaged with a logic chip is judged with that chip: `windtunnel rules check`.
    """
    from windtunnel.catalog.destination import record
    from windtunnel.catalog.instrument import instrument
    from windtunnel.rules.classify import classify_hbm
    from windtunnel.rules.days import parse_day

    rule, day = instrument("bis-2024-12-hbm"), parse_day(date if date is not None else today())
    if not rule.on(day):
        raise InvalidInputError("date", f"{day} is before the rule on HBM; nearest: {rule.effective}")
    found = classify_hbm(gb_per_s, mm2)
    if as_json:
        import json

        told = {"eccn": found.eccn or None, "exception": found.exception, "conditions": [condition_json(c) for c in found.tests]}
        click.echo(json.dumps(told, indent=2))
        return
    density, exception = found.tests
    click.echo(f"stack of {figure(gb_per_s)} GB/s on {figure(mm2)} mm2, {day}: {found.text}")
    sign = ">" if density.met else "not >"
    click.echo(f"clause  {density.paragraph}, {rule.name}: {figure(density.value)} {sign} {figure(density.limit)} {density.unit}")
    if found.eccn:
        may = "may be used" if found.exception else "may not be used"
        sign = "<" if exception.met else "not <"
        click.echo(
            f"        License Exception HBM ({exception.paragraph}) {may}: {sign} {figure(exception.limit)} {exception.unit}"
        )
    click.echo(f"source  {rule.sources[0]}")
    click.echo("scope   D:5 and Macau (from memory, unconfirmed); how licences are reviewed is not in the record")
    click.echo(f"\n{NO_ADVICE} The record goes up to {record().known_until}.")
