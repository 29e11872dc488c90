"""What all tests share: a reader whose window is always as wide, and no clock that fails a test on a busy machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


class _DeclareTorchvision(MetaPathFinder):
    """Lets timm and transformers import a torchvision whose operators were built for another PyTorch than is installed."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            from windtunnel.workload.program.vision import declare_torchvision

            declare_torchvision()
        return None


sys.meta_path.insert(0, _DeclareTorchvision())


@pytest.fixture(autouse=True)
def window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
