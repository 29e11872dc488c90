"""Which engines could serve on this machine as a process of their own, best first, and why others cannot."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from windtunnel.catalog.stack import Stack, stacks
from windtunnel.errors import InvalidInputError, UnknownNameError, UnsupportedError
from windtunnel.serve.doctor.diagnose import Finding, diagnose
from windtunnel.serve.doctor.found import Accelerator
from windtunnel.serve.doctor.judge import CROWDED, Remark
from windtunnel.serve.doctor.machine import Machine, ThisMachine
from windtunnel.serve.process import sglang, vllm
from windtunnel.serve.process.interpreter import Interpreter, SeenFrom
from windtunnel.serve.process.launch import Launch, Wish
from windtunnel.serve.process.process import PATIENCE_S

if TYPE_CHECKING:
    from windtunnel.serve.process.process import EngineProcess


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that is installed. engine: ``vllm``, ``sglang``, or the package that brings vLLM a platform; why_not: "" where
    it can be taken, else one line; unsure: what no source tells of its versions."""

    engine: str
    version: str
    stack: Stack
    devices: tuple[Accelerator, ...]
    python: Interpreter
    why_not: str = ""
    unsure: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``vllm-ascend 0.23.0 on 8 x Ascend910``."""
        named = " and ".join(dict.fromkeys(device.name for device in self.devices))
        return f"{self.engine} {self.version} on {f'{len(self.devices)} x {named}' if self.devices else 'the CPU'}"

    def launch(
        self,
        wish: Wish,
        port: int,
        own: Mapping[str, str] | None = None,
        *,
        experts: bool = False,
        patience_s: float = PATIENCE_S,
        key: str = "",
    ) -> Launch:
        """The command that serves ``wish``. own: the user's environment, this process's without it; experts: the model has some;
        key: that the engine asks for, where it can be told one that other users do not see.

        Raises InvalidInputError and UnsupportedError.
        """
        if self.why_not:
            raise UnsupportedError(self.why_not)
        for device in wish.devices:
            if self.devices and not 0 <= device < len(self.devices):
                raise InvalidInputError("--devices", f"there is no device {device}; there are 0 to {len(self.devices) - 1}")
        there = len(wish.devices or self.devices)
        if there and wish.wanted_devices > there:
            cut = f"{wish.tp} x {wish.pp} x {wish.dp}"
            raise InvalidInputError("--tp", f"tp x pp x dp is {cut}, which takes {wish.wanted_devices} devices of {there}")
        own = os.environ if own is None else own
        if self.engine == sglang.ENGINE:
            return sglang.launch(self.python, self.stack, self.version, wish, port, own, experts)
        return vllm.launch(self.python, self.stack, self.engine, wish, port, own, patience_s, key)

    def process(
        self, wish: Wish, tell: Callable[[str], None], *, experts: bool = False, patience_s: float = PATIENCE_S
    ) -> EngineProcess:
        """The process that serves ``wish``, not started yet. tell: as EngineProcess has it. Raises as ``launch`` does."""
        from windtunnel.serve.process.process import EngineProcess

        key = secrets.token_urlsafe(32)  # the same for each of its starts
        self.launch(wish, 0, experts=experts)  # what cannot be is told now
        return EngineProcess(
            lambda port: self.launch(wish, port, experts=experts, patience_s=patience_s, key=key), tell, patience_s=patience_s
        )


def engine_names() -> tuple[str, ...]:
    """Every engine that can be asked for by name."""
    return tuple(dict.fromkeys((vllm.ENGINE, sglang.ENGINE, *(name for one in stacks() for name in one.platforms))))


def candidates(machine: Machine | None = None, python: str | Interpreter = "", engine: str = "") -> tuple[Candidate, ...]:
    """The engines that are installed for one Python, best first; those that cannot be taken come last.

    machine: the one that is looked at; python: path of the Python whose packages count, this one without it; engine: the one
    that was asked for by name, so that an outside platform beside it is no conflict.
    """
    asked = python if isinstance(python, Interpreter) else Interpreter(python)
    found: list[Candidate] = []
    seen = SeenFrom(machine or ThisMachine(), asked)
    for one in diagnose(seen).findings:
        if not one.elsewhere:
            found += [_candidate(one, name, asked, engine, seen.system) for name in _installed(one.stack, asked)]
    return tuple(sorted(found, key=lambda one: bool(one.why_not)))


def chosen(engine: str, machine: Machine | None = None, python: str | Interpreter = "") -> Candidate:
    """The candidate of that name.

    Raises UnknownNameError for a name that no engine has, UnsupportedError where it is not installed or its versions do not go
    together.
    """
    if engine not in engine_names():
        raise UnknownNameError("engine", engine, engine_names())
    asked = python if isinstance(python, Interpreter) else Interpreter(python)
    found = candidates(machine, asked, engine)
    for one in found:
        if one.engine == engine:
            if one.why_not:
                raise UnsupportedError(one.why_not)
            return one
    if asked.version(engine):
        raise UnsupportedError(f"{engine} has none of its accelerators here; `windtunnel serve --doctor` says what is")
    there = ", ".join(one.engine for one in found)
    beside = f"; there is {there}" if there else ""
    raise UnsupportedError(f"{engine} is not installed in {asked.prefix}{beside}; --python names another Python")


def _installed(stack: Stack, python: Interpreter) -> Iterable[str]:
    """Engines of a stack that are there, best first. On a CPU, vLLM and SGLang serve in builds of their own."""
    names = [name for name in stack.engines if name in (vllm.ENGINE, sglang.ENGINE, *stack.platforms)]
    if stack.id == "cpu":
        names += [vllm.ENGINE, sglang.ENGINE]
    for name in names:
        own = name if name in (vllm.ENGINE, sglang.ENGINE) else vllm.ENGINE
        if python.version(name) and python.version(own):
            yield name


def _candidate(one: Finding, name: str, python: Interpreter, engine: str, system: str) -> Candidate:
    it = Candidate(name, python.version(name), one.stack, one.sighting.devices, python)
    said = one.judgement
    settled = name in (engine, sglang.ENGINE)  # by its name, or since it loads none of vLLM's platforms
    conflicts = [remark for remark in said.conflicts if not (settled and _about_platforms(remark))]
    if one.stack.id == "cpu" and name == vllm.ENGINE and "cpu" not in it.version and not vllm.any_build(system):
        return replace(it, why_not=f"{it.name}: it is built for accelerators; {vllm.CPU_BUILD}")
    missing = [remark for remark in said.missing if remark.text.partition(",")[0] != "an engine"]  # the record's; this is one
    first = next(iter(conflicts), None) or next(iter(missing), None)
    if first is not None:
        kind = "conflict" if conflicts else "missing"
        return replace(it, why_not=f"{it.name}: {kind}: {_line(first)}")
    return replace(it, unsure=tuple(remark.text for remark in said.unknown))


def _line(remark: Remark) -> str:
    how = f"; {remark.fix}" if remark.fix else ""
    if _about_platforms(remark):
        how = "; choose one by its name with --engine, or another Python with --python"
    return f"{remark.text}{how} ({remark.source})"


def _about_platforms(remark: Remark) -> bool:
    return remark.text.startswith(CROWDED)
