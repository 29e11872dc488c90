"""Programs that start their own ranks: the first one runs in this process, the others are taken to do as it does."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Sequence
from typing import Any

from windtunnel.errors import UnsupportedError
from windtunnel.run.distributed.environment import environment, of_rank
from windtunnel.run.machine import Machine


def _told(machine: Machine, asked: int, how: str) -> None:
    machine.notes.setdefault(f"{how} starts {asked} ranks: rank 0 runs, the others are taken to do as it does", 0)
    if asked != machine.ranks:
        machine.notes.setdefault(f"{how} starts {asked} ranks, and --on gives {machine.ranks} devices", 0)


class _Joined:
    """What a program that does not join its processes at once gets: they have ended."""

    processes: tuple[Any, ...] = ()

    def join(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def pids(self) -> list[int]:
        return []


def spawner(machine: Machine) -> Callable[..., Any]:
    """In place of ``torch.multiprocessing.spawn`` and ``start_processes``."""

    def spawn(
        fn: Callable[..., Any], args: Sequence[Any] = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
        start_method: str = "spawn",
    ) -> Any:  # fmt: skip
        _told(machine, nprocs, "torch.multiprocessing.spawn")
        fn(0, *args)
        return None if join else _Joined()

    return spawn


def elastic_launcher(machine: Machine) -> type:
    """In place of the class that ``torchrun`` (``python -m torch.distributed.run``) starts the ranks with."""

    class Launch:
        def __init__(self, config: Any, entrypoint: Any, *rest: Any, **named: Any) -> None:
            self.config = config
            self.entrypoint = entrypoint

        def __call__(self, *args: Any) -> dict[int, Any]:
            local = int(self.config.nproc_per_node)
            ranks = local * int(self.config.max_nodes)
            _told(machine, ranks, "torchrun")
            with environment(of_rank(0, ranks, local)):
                if callable(self.entrypoint):
                    return {0: self.entrypoint(*args)}
                _run_command([str(self.entrypoint), *map(str, args)])
            return {0: None}

    return Launch


def _run_command(command: list[str]) -> None:
    """``python [-u] script args`` or ``python [-u] -m module args`` in this process. Raises UnsupportedError for others."""
    words = command[1:] if command[0] == sys.executable else command
    words = words[1:] if words[:1] == ["-u"] else words
    if command[0] != sys.executable and not command[0].endswith(".py"):
        raise UnsupportedError(f"torchrun starts {command[0]}, which is not a Python program; only those run on a virtual chip")
    before = sys.argv
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")
    finally:
        sys.argv = before
