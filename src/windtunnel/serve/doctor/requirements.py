"""What installed packages ask of each other, read from their own metadata (``Requires-Dist``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from windtunnel.catalog.version import clauses, satisfies
from windtunnel.serve.doctor.machine import Machine, Package

_LINE = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]{0,99})\s*(?:\[[^\]]*\])?\s*([^;@]*)(?:;(.*))?", re.S)
_TERM = re.compile(r"\s*([a-z_]+)\s*(==|!=|>=|<=|>|<)\s*[\"']([^\"']*)[\"']\s*")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One package's demand on another: name as ``key`` has it, spec as written."""

    name: str
    spec: str


def key(name: str) -> str:
    """What the spellings of a package's name have in common: ``torch_npu`` and ``Torch-NPU``."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def requirements(package: Package, machine: Machine) -> Iterator[Requirement]:
    """What a package asks for on this machine, without extras; lines that cannot be read are left out."""
    about = {
        "platform_machine": machine.processor,
        "platform_system": machine.system,
        "sys_platform": {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}.get(machine.system, ""),
        "python_version": ".".join(machine.python.split(".")[:2]),
        "python_full_version": machine.python,
    }
    for line in package.needs[:1000]:
        found = _LINE.fullmatch(line[:2000])
        if found is None or clauses(found[2]) is None:
            continue
        if found[3] is None or _holds(found[3], about):
            yield Requirement(key(found[1]), found[2].strip().strip("()"))


def _holds(marker: str, about: Mapping[str, str]) -> bool:
    """Whether an environment marker without parentheses holds; False for one that cannot be read, as for extras."""
    return any(all(_term(term, about) for term in re.split(r"\sand\s", part)) for part in re.split(r"\sor\s", marker))


def _term(term: str, about: Mapping[str, str]) -> bool:
    found = _TERM.fullmatch(term)
    if found is None or found[1] not in about:
        return False
    mine, relation, other = about[found[1]], found[2], found[3]
    if found[1].startswith("python"):
        return satisfies(mine, f"{relation}{other}") is True
    return mine == other if relation == "==" else mine != other if relation == "!=" else False
