"""Rules for what is not Python, held to their tables: findings counted, fix compared, a second fix changes nothing."""

from __future__ import annotations

import pytest

from windtunnel.port.finding import Finding
from windtunnel.port.languages import language_of
from windtunnel.port.registry import all_rules
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import DEFAULT_NAMES, Source

RULES = [rule for rule in all_rules() if not {"python", "notebook"} & set(rule.languages)]
CASES = [pytest.param(rule, case, id=f"{rule.id}-{number}") for rule in RULES for number, case in enumerate(rule.cases)]


def found_in(rule: Rule, text: str, name: str) -> list[Finding]:
    raw = text.encode()
    language = language_of(name, raw)
    assert language in rule.languages, f"{rule.id} does not read {name} ({language})"
    if rule.hints and not any(hint in raw for hint in rule.hints):
        return []
    return list(rule.find(Source.of_text(text, language, name)))


def fixed(text: str, findings: list[Finding]) -> str:
    for edit in sorted((e for f in findings for e in f.edits), key=lambda e: e.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_case(rule: Rule, case: Case) -> None:
    name = case.name or DEFAULT_NAMES[rule.languages[0]]
    findings = found_in(rule, case.before, name)
    assert len(findings) == case.found, [(f.place, f.excerpt) for f in findings]
    after = fixed(case.before, findings)
    assert after == (case.before if case.after is None else case.after)
    again = found_in(rule, after, name)
    assert fixed(after, again) == after


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_rule_is_complete(rule: Rule) -> None:
    assert rule.cases
    assert rule.cases[0].found == 0, "the no-op cases come first"
    assert any(case.found for case in rule.cases)
    assert rule.hints, "without a hint every file is read"
    assert rule.instead.endswith(".")
    found = [case.found > 0 for case in rule.cases]
    assert found == sorted(found), "the no-op cases come first"
    assert (rule.safety == "none") == all(case.after is None for case in rule.cases)


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_other_newlines_move_nothing(rule: Rule, case: Case) -> None:
    name = case.name or DEFAULT_NAMES[rule.languages[0]]
    places = [f.place for f in found_in(rule, case.before, name)]
    assert [f.place for f in found_in(rule, case.before.replace("\n", "\r\n"), name)] == places
