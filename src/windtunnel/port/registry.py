"""Every rule, collected from the files of ``rules``: a new one is a new file."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from windtunnel.errors import UnknownNameError
from windtunnel.port import rules
from windtunnel.port.rule import Language, Rule


@cache
def all_rules() -> tuple[Rule, ...]:
    """The rules by id. A file of ``rules`` without a RULE of the same name is a mistake of ours and raises TypeError;
    names that begin with an underscore are helpers of rules."""
    found = []
    for module in pkgutil.iter_modules(rules.__path__):
        if module.name.startswith("_"):
            continue
        rule = getattr(importlib.import_module(f"{rules.__name__}.{module.name}"), "RULE", None)
        if not isinstance(rule, Rule) or rule.id != module.name.replace("_", "-"):
            raise TypeError(f"port/rules/{module.name}.py: needs a RULE whose id is {module.name.replace('_', '-')}")
        found.append(rule)
    return tuple(sorted(found, key=lambda rule: rule.id))


def rule_named(name: str) -> Rule:
    """The rule with that id. Raises UnknownNameError with the nearest."""
    for rule in all_rules():
        if rule.id == name:
            return rule
    raise UnknownNameError("rule", name, [rule.id for rule in all_rules()])


@cache
def rules_for(language: Language) -> tuple[Rule, ...]:
    """The rules that read files of one language."""
    return tuple(rule for rule in all_rules() if language in rule.languages)
