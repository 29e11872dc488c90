"""Every line of every rule's table: what is found, what the fix writes, and that a second fix has nothing left to do."""

from __future__ import annotations

import pytest

from windtunnel.errors import UnknownNameError
from windtunnel.port.finding import TARGETS
from windtunnel.port.fix import FixedText, fix_bytes
from windtunnel.port.languages import language_of
from windtunnel.port.registry import all_rules, rule_named
from windtunnel.port.rule import Case, Language, Rule
from windtunnel.port.scan import FileReport, scan_bytes
from windtunnel.port.source import DEFAULT_NAMES

EVERY = frozenset(TARGETS)
CASES = [
    pytest.param(rule, case, id=f"{rule.id}-{number}") for rule in all_rules() for number, case in enumerate(rule.cases)
]  # fmt: skip


def place_of(rule: Rule, case: Case) -> tuple[str, Language]:
    name = case.name or DEFAULT_NAMES[rule.languages[0]]
    language = language_of(name, case.before.encode())
    assert language is not None
    return name, language


def fixed(rule: Rule, case: Case, text: str, unsafe: bool) -> FixedText:
    name, language = place_of(rule, case)
    result = fix_bytes(name, text.encode(), language, unsafe, EVERY, frozenset([rule.id]))
    assert isinstance(result, FixedText)
    assert not result.rolled_back
    return result


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_finds_what_the_table_says(rule: Rule, case: Case) -> None:
    name, language = place_of(rule, case)
    report = scan_bytes(name, case.before.encode(), language, EVERY, frozenset([rule.id]))
    assert isinstance(report, FileReport)
    assert len(report.findings) == case.found
    for finding in report.findings:
        assert finding.excerpt
        assert finding.why
        assert finding.advice
        assert bool(finding.edits) != bool(finding.unfixed)


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_fixes_as_the_table_says(rule: Rule, case: Case) -> None:
    after = case.before if case.after is None else case.after
    # of a rule that knows unsafe fixes alone, the table has those
    assert fixed(rule, case, case.before, unsafe=False).text == (case.before if rule.safety == "unsafe" else after)
    assert fixed(rule, case, case.before, unsafe=True).text == (after if case.unsafe is None else case.unsafe)


@pytest.mark.parametrize(("rule", "case"), [p for p in CASES if p.values[1].after or p.values[1].unsafe])  # type: ignore[union-attr]
def test_second_fix_changes_nothing(rule: Rule, case: Case) -> None:
    once = fixed(rule, case, case.before, unsafe=True)
    assert once.fixed
    twice = fixed(rule, case, once.text, unsafe=True)
    assert twice.text == once.text
    assert not twice.fixed


@pytest.mark.parametrize("rule", all_rules(), ids=lambda r: r.id)
def test_table_begins_with_what_is_not_found(rule: Rule) -> None:
    counts = [case.found for case in rule.cases]
    assert counts[0] == 0, "no-op cases stand first"
    assert any(counts), "something is found"
    assert sorted(counts, key=bool) == counts, "no-op cases stand first"
    assert set(rule.targets) <= EVERY - {"cuda"}
    if rule.safety == "safe":
        assert any(case.after for case in rule.cases)


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="cuda-method"):
        rule_named("cuda-metod")
