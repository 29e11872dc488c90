"""Runs that several tests ask about."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from tests.cost.made import scaled
from windtunnel.catalog.models import model
from windtunnel.cost.links import Links
from windtunnel.cost.model import CostModel
from windtunnel.plan.training.framework import framework
from windtunnel.plan.training.run import Run
from windtunnel.plan.training.step import Work
from windtunnel.plan.training.train import train


@cache
def run_of(
    name: str, on: str = "h100-sxm", *, length: int = 4096, batch: int = 512, precision: str = "bf16", loop: str = "megatron",
    prefixes: tuple[str, ...] = (), factor: float = 1.0,
) -> Run:  # fmt: skip
    """A run of a catalogue's model on a chip whose figures that start so are multiplied."""
    chip = scaled(on, prefixes, factor)
    return Run(Work(model(name), length, batch, precision), CostModel(chip, Links.of(chip)), framework(loop))


@cache
def _trained(name: str, on: tuple[str, ...], tokens: float, days: float) -> Any:
    return train(name, on, tokens, days=days)


@pytest.fixture
def trained() -> Any:
    """``train``, asked once for each question."""

    def ask(name: str, on: str, tokens: float = 1e12, days: float = 0.0) -> Any:
        return _trained(name, tuple(on.split(",")), tokens, days)

    return ask
