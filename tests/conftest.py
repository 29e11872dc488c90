"""What all tests share: a reader whose window is always as wide, wherever the tests run."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
