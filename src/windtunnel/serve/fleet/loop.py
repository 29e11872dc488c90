"""The event loop of a router: uvloop where it is installed, else Python's own."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from typing import Any


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A new one, not set as current."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    uvloop: Any = importlib.import_module("uvloop")
    made: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return made
