"""Plans that several tests ask about."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from windtunnel.plan.result import Plan, Targets
from windtunnel.plan.search import plan


@cache
def _planned(model: str, on: tuple[str, ...], targets: Targets, options: tuple[tuple[str, Any], ...]) -> Plan:
    return plan(model, on, targets, **dict(options))


@pytest.fixture
def planned() -> Any:
    """``plan``, asked once for each question."""

    def ask(model: str, on: str, isl: int = 2000, osl: int = 500, *, ttft: float = 0.0, tpot: float = 0.0, rate: float = 0.0,
            **options: Any) -> Plan:  # fmt: skip
        return _planned(model, tuple(on.split(",")), Targets(isl, osl, ttft, tpot, rate), tuple(options.items()))

    return ask
