"""A script on a virtual chip, in a process of its own: one process, one device name, nothing left behind.

The process that starts it and shows its report needs no PyTorch and does not import it, which takes longer than many a program.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from windtunnel.errors import WindtunnelError
from windtunnel.run.devices import is_real
from windtunnel.run.places import place
from windtunnel.run.record import RunReport
from windtunnel.run.script import Ended, check_script, run_script

if TYPE_CHECKING:
    from windtunnel.run.machine import Machine


def run_program(
    script: str, args: Sequence[str] = (), *, on: str, module: bool = False, steps: int | None = None, values: bool = False,
    clock: Literal["wall", "virtual"] = "wall", graph: bool = False, keep_launches: bool = True, limit_memory: bool = True,
    chip: str | None = None, parameters: Mapping[str, Any] | None = None, served: bool = False,
) -> RunReport:  # fmt: skip
    """Run ``script`` (a file, or with ``module`` a module's name) with ``args`` on a chip, a system, or a real device.

    Its output goes where this process's goes. steps: end it after so many. Of virtual chips: values: compute real numbers on
    the CPU; clock: what its own timers read; graph: operators launched as from a captured graph; limit_memory: run out of
    memory where the chip would. Of a real device (``cuda``, ``npu:0``, ``cpu``): chip: whose prediction stands beside the
    measurement, where the device does not say. parameters: tables of a parameter file for the chip. served: of virtual chips:
    set what an engine would run beside the forwards of a language model.

    Raises UnknownNameError, InvalidInputError, MissingFactError, UnsupportedError before anything runs; what the script
    itself raises is in the report.
    """
    check_script(script, module=module)
    if is_real(on):
        from windtunnel.run.real import run_real

        report = run_real(script, args, device=on, module=module, steps=steps, chip=chip, parameters=parameters)
        if served:
            report.notes += ("served: not known: it is told of virtual chips alone",)
        return report
    place(on)
    options = {
        "script": script, "args": list(args), "on": on, "module": module, "steps": steps, "values": values, "clock": clock,
        "graph": graph, "keep_launches": keep_launches, "limit_memory": limit_memory, "parameters": parameters, "served": served,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="windtunnel-") as folder:
        told, found = Path(folder) / "options", Path(folder) / "report"
        told.write_bytes(pickle.dumps(options))
        sys.stdout.flush()
        process = subprocess.Popen([sys.executable, "-m", "windtunnel.run.launch", str(told), str(found)], env=os.environ.copy())
        while True:
            try:
                process.wait()
                break
            except KeyboardInterrupt:
                continue  # the program was interrupted too, and reports what it has
        if not found.exists():
            return _killed(script, on, process.returncode)
        result = pickle.loads(found.read_bytes())
    if isinstance(result, WindtunnelError):
        raise result
    assert isinstance(result, RunReport)
    return result


def _killed(script: str, on: str, status: int) -> RunReport:
    """The report of a program whose process died before it could report."""
    from windtunnel.run.virtual import VirtualChip

    chip = VirtualChip(on)
    ended = Ended("failed", status)
    return chip.report(script, ended, keep_launches=False)


@contextmanager
def _no_interrupt_lost(machine: Machine) -> Iterator[None]:
    """Ctrl-C ends the program even where it comes while PyTorch's core calls Python, which cannot raise it from there."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        machine.interrupted_at_s = monotonic()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _in_this_process(told: Path, found: Path) -> int:
    """Run the program that ``told`` describes here, write its report to ``found``; gives the program's exit status."""
    import torch

    from windtunnel.run.virtual import VirtualChip
    from windtunnel.workload.program.vision import declare_torchvision

    options = pickle.loads(told.read_bytes())
    try:
        chip = VirtualChip(
            options["on"], values=options["values"], virtual_clock=options["clock"] == "virtual", graph=options["graph"],
            steps=options["steps"], limit_memory=options["limit_memory"], parameters=options["parameters"],
            served=options["served"],
        )  # fmt: skip
        declare_torchvision()
        if not options["values"]:
            torch.set_num_threads(1)  # what little is computed is too small to share
        with chip, _no_interrupt_lost(chip.machine):
            ended = run_script(options["script"], options["args"], module=options["module"])
        sys.stdout.flush()
        if ended.traceback:
            sys.stderr.write(ended.traceback)
            sys.stderr.flush()
        report = chip.report(" ".join([options["script"], *options["args"]]), ended, keep_launches=options["keep_launches"])
    except WindtunnelError as problem:
        found.write_bytes(pickle.dumps(problem))
        return problem.exit_status
    part = found.with_suffix(".part")
    part.write_bytes(pickle.dumps(report, protocol=pickle.HIGHEST_PROTOCOL))
    part.replace(found)
    return ended.exit_status


if __name__ == "__main__":
    os._exit(_in_this_process(Path(sys.argv[1]), Path(sys.argv[2])))
