"""Runs somebody's script in this process as ``python`` would: its arguments, its ``__main__``, its exit status and traceback."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Literal

from windtunnel.errors import InvalidInputError, UnknownNameError
from windtunnel.run.extensions import compiled_code
from windtunnel.run.record import Failure
from windtunnel.workload.program.call import Site

_HERE = str(Path(__file__).parent.parent)
_SPEC = find_spec("torch")
_TORCH = str(Path(_SPEC.origin).parent) + os.sep if _SPEC is not None and _SPEC.origin is not None else "<no torch>"
_ON_THE_WAY = ("torch/_compile.py", "torch/_dynamo/eval_frame.py", "torch/_ops.py")
"""Frames of PyTorch between a program's operator and a dispatch mode, and between the mode and the operator's kernel."""
_RULES = tuple(f"{_TORCH}{part}" for part in ("_meta_registrations.py", "_prims", "_refs", "_decomp", "_library", "__init__.py"))
"""Beginnings of the names of PyTorch's files in which a shape rule refuses operands, below ours."""


class StopProgram(BaseException):
    """Raised within a program to end it early; no handler for Exception catches it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended. traceback: its own, as Python prints it, our frames and runpy's taken out."""

    status: Literal["finished", "stopped", "failed"]
    exit_status: int
    failure: Failure | None = None
    traceback: str = ""


@contextmanager
def _as_main(argv: Sequence[str], folder: str) -> Iterator[None]:
    """sys.argv, sys.path and sys.modules as a script finds them; afterwards as they were."""
    old_argv, old_path, old_main = sys.argv, list(sys.path), sys.modules.get("__main__")
    sys.argv = list(argv)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.argv, sys.path[:] = old_argv, old_path
        if old_main is not None:
            sys.modules["__main__"] = old_main


def check_script(script: str, *, module: bool = False) -> None:
    """Raises InvalidInputError or UnknownNameError where there is no such script."""
    if module:
        return
    path = Path(script)
    if path.is_dir() and not (path / "__main__.py").is_file():
        raise InvalidInputError(script, "is a folder without a __main__.py")
    if not path.exists():
        folder = path.parent if path.parent.is_dir() else Path()
        near = [str(p) for p in folder.glob("*.py")] if not module else []
        raise UnknownNameError("script", script, near)


def run_script(script: str, args: Sequence[str] = (), *, module: bool = False) -> Ended:
    """Runs a file (or, like ``python -m``, a module) to its end and tells how it ended.

    KeyboardInterrupt and StopProgram end it as "stopped". Raises InvalidInputError, UnknownNameError for no such script.
    """
    check_script(script, module=module)
    folder = str(Path.cwd()) if module else str(Path(script).resolve().parent)
    try:
        with _as_main([script, *args], folder):
            if module:
                runpy.run_module(script, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(script, run_name="__main__")
    except (StopProgram, KeyboardInterrupt):
        return Ended("stopped", 0)
    except SystemExit as leaving:
        return _left(leaving)
    except BaseException as problem:  # whatever a program dies of is its own and is shown as such
        return _died(problem)
    return Ended("finished", 0)


def _left(leaving: SystemExit) -> Ended:
    """``sys.exit``: a number is the exit status; a text goes to stderr and makes it 1."""
    code = leaving.code
    if code is None or isinstance(code, int):
        status = int(code or 0) & 0xFF
        return Ended("finished" if status == 0 else "failed", status)
    return Ended("failed", 1, None, f"{code}\n")


def _died(problem: BaseException) -> Ended:
    frames = _own_frames(problem.__traceback__)
    hint = compiled_code(problem, [frame for frame, _ in traceback.walk_tb(frames)])
    if hint is not None:
        problem.add_note(hint)
    text = "".join(traceback.format_exception(type(problem), problem.with_traceback(frames), frames))
    words = str(problem).strip().splitlines()
    message = "; ".join([*words[:1], *([hint] if hint else [])])
    return Ended("failed", 1, Failure(type(problem).__name__, message, _site(frames)), text)


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the script on: without the frames of runpy and ours, and PyTorch's that only led to ours."""
    kept: list[TracebackType] = []
    within = False
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(_HERE + os.sep):
            while kept and kept[-1].tb_frame.f_code.co_filename.endswith(_ON_THE_WAY):
                kept.pop()
            within = True
        elif not (file.startswith("<frozen runpy") or (within and (file.endswith(_ON_THE_WAY) or file.startswith(_RULES)))):
            kept.append(trace)
            within = False
        trace = trace.tb_next
    after: TracebackType | None = None
    for one in reversed(kept):
        after = TracebackType(after, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return after


def _site(frames: TracebackType | None) -> Site | None:
    """The last place in source that is not PyTorch's."""
    found = traceback.extract_tb(frames)
    theirs = [frame for frame in found if not frame.filename.startswith(_TORCH)] or found
    return Site(theirs[-1].filename, theirs[-1].lineno or 0, theirs[-1].name) if theirs else None
