"""Runs programs in this process, on a virtual chip or as they are, and hands back what they printed."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.run.record import RunReport
from windtunnel.run.script import Ended, run_script
from windtunnel.run.virtual import VirtualChip, virtual
from windtunnel.workload.program.vision import declare_torchvision

EXAMPLES = Path(__file__).parents[3] / "examples"


@dataclass(frozen=True)
class Ran:
    """A program that has run on a virtual chip."""

    report: RunReport
    ended: Ended
    output: str
    chip: VirtualChip

    def flops(self) -> float:
        """Floating-point operations of everything that was launched."""
        return sum(launch.flops for launch in self.report.launches)


def run_on(on: str, script: str | Path, *args: object, **options: Any) -> Ran:
    """A script (or the name of an example) on a virtual chip; options as of ``virtual``."""
    declare_torchvision()
    with virtual(on, **options) as chip, redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()):
        ended = run_script(str(_found(script)), [str(a) for a in args])
    return Ran(chip.report(str(script), ended), ended, printed.getvalue(), chip)


def run_here(script: str | Path, *args: object) -> str:
    """What the script prints when it runs as it is."""
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()):
        ended = run_script(str(_found(script)), [str(a) for a in args])
    assert ended.status == "finished", ended.traceback
    return printed.getvalue()


def _found(script: str | Path) -> Path:
    return EXAMPLES / script if isinstance(script, str) and not Path(script).is_absolute() else Path(script)
