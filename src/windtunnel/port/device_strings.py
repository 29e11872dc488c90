"""Which strings of a Python file name a CUDA device: those that come to where a device is asked for, not all that say "cuda".

A string is followed outwards (``device_flow``) until it reaches something that takes a device, or something that does not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from windtunnel.port.device_flow import DeviceFlow
from windtunnel.port.device_words import FORMATTED, Role
from windtunnel.port.python import PythonTree, string

Spelled: TypeAlias = ast.Constant | ast.JoinedStr


@dataclass(frozen=True, slots=True)
class DeviceString:
    """A string (or f-string) that names a CUDA device, and what it is asked for as. call: the call that takes it, if any."""

    node: Spelled
    role: Role
    call: ast.Call | None = None


def device_strings(python: PythonTree) -> list[DeviceString]:
    """Every string of the file that comes to where a device is asked for, in order."""
    flow = DeviceFlow(python)
    found = []
    for node in _candidates(python):
        if _last_resort(python, node):
            continue
        reached = flow.role(node)
        if reached:
            found.append(DeviceString(node, *reached))
    return found


def _candidates(python: PythonTree) -> Iterator[Spelled]:
    for constant in python.of(ast.Constant):
        if not isinstance(constant.value, str) or not constant.value.startswith("cuda"):
            continue
        if FORMATTED.match(constant.value) and not isinstance(python.parent(constant), ast.JoinedStr):
            yield constant
    for joined in python.of(ast.JoinedStr):
        first = joined.values[0] if joined.values else None
        if string(first) in ("cuda:", "cuda"):
            yield joined


def _last_resort(python: PythonTree, node: ast.AST) -> bool:
    """Whether the accelerator that there is is asked for first: ``current_accelerator() or torch.device("cuda")``."""
    for above in python.ancestors(node):
        if isinstance(above, ast.stmt):
            return False
        if isinstance(above, ast.BoolOp | ast.IfExp) and "current_accelerator" in ast.unparse(above):
            return True
        if isinstance(above, ast.Call) and any("current_accelerator" in ast.unparse(a) for a in above.args):
            return True
    return False
