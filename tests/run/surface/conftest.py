"""A CUDA chip and an NPU, each entered in this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from windtunnel.run.virtual import VirtualChip


@dataclass
class On:
    """The chip that a test runs on: its device's name, that device's module, the machine's clock."""

    name: str
    module: Any
    chip: VirtualChip


@pytest.fixture(params=["h20", "ascend-910b2"])
def on(request: pytest.FixtureRequest) -> Iterator[On]:
    with VirtualChip(request.param) as chip:
        name = chip.place.chip.device
        yield On(name, getattr(torch, name), chip)


@pytest.fixture
def npu() -> Iterator[VirtualChip]:
    with VirtualChip("ascend-910b2") as chip:
        yield chip


@pytest.fixture
def cuda() -> Iterator[VirtualChip]:
    with VirtualChip("h20") as chip:
        yield chip
