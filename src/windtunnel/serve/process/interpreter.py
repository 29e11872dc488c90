"""A Python of this machine, by its path: what is installed for it, and which plugins engines would find there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.errors import InvalidInputError
from windtunnel.serve.doctor.machine import MOST_BYTES, Machine, Package, Ran
from windtunnel.serve.doctor.requirements import key
from windtunnel.serve.process import packages as script

TIMEOUT_S = 60.0
"""For reading metadata, which on a network's file system may take long."""
PLATFORMS = "vllm.platform_plugins"
SGLANG_PLATFORMS = "sglang.srt.platforms"
TORCH_FILE = ("torch", "torch/version.py")


@dataclass(frozen=True, slots=True)
class Point:
    """An entry point of an engine's group, and the package that brings it."""

    package: str
    group: str
    name: str


class Interpreter:
    """One Python. path: its executable; Raises InvalidInputError where it cannot be asked."""

    def __init__(self, path: str = "") -> None:
        self.path = path or sys.executable
        told: Any = script.read_packages([" ".join(TORCH_FILE)]) if self.path == sys.executable else self._ask()
        self.python, self.prefix = str(told["python"]), str(told["prefix"])
        self._files: Mapping[str, str] = told["files"]
        self._packages: dict[str, Package] = {}
        points: list[Point] = []
        for one in told["packages"]:
            if not isinstance(one["name"], str) or not isinstance(one["version"], str) or key(one["name"]) in self._packages:
                continue  # the first on the path is the one that Python imports
            groups = [group for group, _ in one["points"]]
            self._packages[key(one["name"])] = Package(one["name"], one["version"], tuple(one["needs"]), PLATFORMS in groups)
            points += [Point(key(one["name"]), group, name) for group, name in one["points"]]
        self.points = tuple(points)

    def _ask(self) -> Any:
        command = [self.path, "-I", str(Path(script.__file__)), " ".join(TORCH_FILE)]
        try:
            ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False)
            return json.loads(ran.stdout)
        except subprocess.TimeoutExpired:
            raise InvalidInputError("--python", f"{self.path} gave no answer in {TIMEOUT_S:g} s") from None
        except OSError as error:
            raise InvalidInputError("--python", f"{self.path} cannot be run: {error.strerror}") from None
        except ValueError:
            raise InvalidInputError("--python", f"{self.path} is no Python from 3.9 on") from None

    def packages(self, names: Iterable[str]) -> tuple[Package, ...]:
        """As a machine tells them: those of ``names``, and whatever registers a platform with vLLM."""
        wanted = {key(name) for name in names}
        return tuple(one for name, one in self._packages.items() if name in wanted or one.platform)

    def version(self, name: str) -> str:
        """Version of a package, "" where it is not installed."""
        one = self._packages.get(key(name))
        return one.version if one else ""

    def package_file(self, name: str, path: str) -> str:
        return self._files.get(f"{name} {path}", "")[:MOST_BYTES]


class SeenFrom:
    """A machine as another Python of it sees it: its tools, files and environment, and that Python's packages."""

    def __init__(self, machine: Machine, interpreter: Interpreter) -> None:
        self._machine, self._interpreter = machine, interpreter
        self.system, self.processor = machine.system, machine.processor
        self.python, self.prefix = interpreter.python, interpreter.prefix
        self.packages, self.package_file = interpreter.packages, interpreter.package_file

    def run(self, command: Any) -> Ran:
        return self._machine.run(command)

    def read(self, path: str) -> str:
        return self._machine.read(path)

    def entries(self, path: str) -> tuple[str, ...]:
        return self._machine.entries(path)

    def env(self, name: str) -> str:
        return self._machine.env(name)
