"""Ctrl-C during long work: the first asks it to stop in order, the second ends it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """What tells whether Ctrl-C was pressed; pressed again, it raises KeyboardInterrupt. Only the main thread hears of it."""
    pressed = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, interrupt) if main else None
    try:
        yield lambda: pressed
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
