"""``windtunnel port rules [RULE]``: the rules of the scan, or one explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from windtunnel.cli.params import json_option

if TYPE_CHECKING:
    from windtunnel.port.rule import Rule

FIXES = {"safe": "made by `port fix`", "unsafe": "made by `port fix --unsafe` only", "none": "none; left to you"}


@click.command()
@click.argument("rule", required=False)
@json_option
def rules(rule: str | None, as_json: bool) -> None:
    """The rules: what each finds, why, and what to write instead."""
    from windtunnel.port.registry import all_rules, rule_named

    found = all_rules() if rule is None else (rule_named(rule),)
    if as_json:
        from windtunnel.cli.as_json import dumps
        from windtunnel.cli.port.as_json import rule_json

        click.echo(dumps({"rules": [rule_json(one) for one in found]} if rule is None else rule_json(found[0])))
    elif rule is None:
        _list(found)
    else:
        _explain(found[0])


def _list(found: tuple[Rule, ...]) -> None:
    from windtunnel.cli.render import Sheet

    sheet = Sheet()
    columns = ("rule", "kind", "fix", "finds")
    sheet.table(
        f"{len(found)} rules", columns, ((r.id, r.kind, r.safety, r.what) for r in found), left=3, fold=("finds",)
    )  # fmt: skip
    sheet.line()
    sheet.line("spelling: another name does the same elsewhere. capability: others lack it or do it otherwise.", style="dim")
    sheet.line("windtunnel port rules RULE explains one.", style="dim")
    sheet.show()


def _explain(rule: Rule) -> None:
    from windtunnel.cli.render import Sheet

    sheet = Sheet()
    sheet.line(rule.id, style="bold")
    sheet.facts(
        [
            ("finds", rule.what),
            ("why it binds", rule.why),
            ("instead", rule.instead),
            ("kind", rule.kind),
            ("fix", FIXES[rule.safety]),
            ("in", ", ".join(rule.languages)),
            ("concerns", ", ".join(rule.targets)),
        ]
    )
    for title, chosen in (
        ("Found", [c for c in rule.cases if c.found and c.after is None]),
        ("Fixed", [c for c in rule.cases if c.found and c.after is not None]),
        ("Left alone", [c for c in rule.cases if not c.found]),
    ):
        for number, case in enumerate(chosen[:3]):
            if not number:
                sheet.line()
                sheet.line(title, style="bold")
            _case(sheet, case.before, "- " if case.after is not None else "  ")
            if case.after is not None:
                _case(sheet, case.after, "+ ")
            sheet.line()
    sheet.show()


def _case(sheet: object, text: str, mark: str) -> None:
    from windtunnel.cli.render import Sheet

    assert isinstance(sheet, Sheet)
    for line in text.rstrip("\n").splitlines():
        sheet.line(f"  {mark}{line}")
