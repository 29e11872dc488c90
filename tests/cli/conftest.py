"""Functions of the test's own in place of those that think, so that the faces are tested alone."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.cli import made_up


@dataclass
class Asked:
    """What the commands asked for, and what they were told."""

    predict: list[tuple[Any, ...]] = field(default_factory=list)
    plan: list[tuple[Any, ...]] = field(default_factory=list)
    validate: list[tuple[Any, ...]] = field(default_factory=list)
    fit: list[tuple[Any, ...]] = field(default_factory=list)
    answer_plan: Any = None


class Report:
    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def to_json(self) -> dict[str, Any]:
        return self.content


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The four functions behind the commands, each noting its arguments."""
    told = Asked(answer_plan=made_up.plan())

    def note(into: list[tuple[Any, ...]], answer: Any) -> Any:
        def function(*args: Any, **kwargs: Any) -> Any:
            into.append((args, kwargs))
            return answer()

        return function

    validation = Report(
        {"rows": 3, "predicted": 2, "refused": {"unknown chip 'x'": 1}, "by_chip": {}, "tpot_ms": {"mape": 9.0, "median": 5.0}}
    )
    homes = {
        "windtunnel.sim.predict": ("predict", note(told.predict, made_up.prediction)),
        "windtunnel.plan.search": ("plan", note(told.plan, lambda: told.answer_plan)),
        "windtunnel.fit.validate": ("validate", note(told.validate, lambda: validation)),
        "windtunnel.fit.fitting": ("fit", note(told.fit, lambda: Report({"chip": "h20", "rows": 3}))),
    }
    for home, (name, function) in homes.items():
        module = types.ModuleType(home)
        setattr(module, name, function)
        monkeypatch.setitem(sys.modules, home, module)
    return told
