"""``windtunnel claims [CLAIM]``: what has been said in public about these chips, recomputed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from windtunnel.cli.params import json_option
from windtunnel.errors import UnknownNameError

if TYPE_CHECKING:
    from windtunnel.claims.result import PartResult, Result

Json = dict[str, Any]


@click.command()
@click.argument("claim", required=False)
@click.option("--verdict", metavar="VERDICT", help="Only claims that: holds, 'holds in part', 'does not hold', 'cannot be told'.")
@json_option
def claims(claim: str | None, verdict: str | None, as_json: bool) -> None:
    """What has been said of these chips, recomputed.

    Without CLAIM every claim, one a line: what the catalogue and the models say, and whether it holds. With CLAIM (as
    S048) all its parts, the arithmetic, and each fact with its source.
    """
    from windtunnel.claims.result import recompute, recompute_all
    from windtunnel.claims.verdict import VERDICTS
    from windtunnel.errors import InvalidInputError

    wanted = None
    if verdict is not None:
        wanted = " ".join(verdict.replace("-", " ").lower().split())
        if wanted not in VERDICTS:
            raise UnknownNameError("verdict", verdict, VERDICTS)
    if claim is not None:
        if wanted is not None:
            raise InvalidInputError("--verdict", "chooses among all claims; leave it out where one is named")
        one = recompute(claim)
        _show_json(result_json(one)) if as_json else _sheet("one_claim", one)
        return
    found = [result for result in recompute_all() if wanted in (None, result.verdict)]
    if as_json:
        _show_json({"claims": [result_json(result) for result in found]})
    else:
        _sheet("all_claims", found)


def _sheet(which: str, *what: object) -> None:
    from windtunnel.cli import render_claims  # draws with rich, which --json and --help do without

    getattr(render_claims, which)(*what).show()


def _show_json(value: Json) -> None:
    from windtunnel.cli.as_json import dumps

    click.echo(dumps(value))


def _part_json(result: PartResult) -> Json:
    part, found = result.part, result.found
    named = part.relation == "is"
    claimed: Json = {
        "relation": part.relation,
        "value": None if named else part.value,
        "high": part.high if part.relation == "between" else None,
        "unit": part.unit or None,
        "text": part.text or None,
    }
    numeric = not found.unknown and not named
    return {
        "name": part.name,
        "claimed": claimed,
        "found": {
            "value": found.value if numeric else None,
            "low": found.low if numeric else None,
            "high": found.high if numeric else None,
            "unit": found.unit or None,
            "text": found.text or None,
            "how": found.how or None,
            "evidence": found.evidence.name.lower() if found.evidence is not None else None,
            "unknown": found.unknown or None,
        },
        "verdict": result.verdict,
    }


def result_json(result: Result) -> Json:
    """One claim with all that was found."""
    return {
        "id": result.claim.id,
        "claim": result.claim.says,
        "who": result.claim.who,
        "date": result.claim.date,
        "article": result.claim.article,
        "verdict": result.verdict,
        "reason": result.reason or None,
        "parts": [_part_json(part) for part in result.parts],
        "beside": list(result.beside),
        "facts": [{"ref": used.ref, "value": used.value, "source": used.source} for used in result.used],
        "from_memory": list(result.recalled),
        "function": f"windtunnel.claims.checks.{result.function}",
    }
