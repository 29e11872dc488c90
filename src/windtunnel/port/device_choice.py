"""Comparisons with a device, and the choice among accelerators in which they stand."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from windtunnel.port.device_words import OTHERS, names_device
from windtunnel.port.python import PythonTree, string


def is_device(node: ast.expr) -> bool:
    """Whether what something is compared with is a device, by what it is called."""
    if isinstance(node, ast.Call):
        return any(is_device(n) for n in (*node.args, node.func))
    if isinstance(node, ast.Subscript):
        key = string(node.slice)
        return names_device(key) if key is not None else is_device(node.value)
    if isinstance(node, ast.Attribute):
        return names_device(node.attr) or (is_device(node.value) and node.attr not in ("index", "platform"))
    return isinstance(node, ast.Name) and names_device(node.id)


def compares_device(python: PythonTree, compare: ast.Compare, child: ast.AST) -> bool:
    """Whether ``child`` is compared with a device, and no other accelerator is named in the same choice."""
    sides = [compare.left, *compare.comparators]
    others = [side for side in sides if side is not child]
    return any(is_device(side) for side in others) and not others_offered(python, compare)


def others_offered(python: PythonTree, node: ast.AST) -> bool:
    """Whether the test in which a comparison stands, or another branch of the same choice, names another accelerator."""
    test: ast.AST = node
    branch: ast.AST | None = None
    for above in python.ancestors(node):
        if isinstance(above, ast.If | ast.IfExp):
            branch = above
            break
        if isinstance(above, ast.stmt):
            break
        test = above
    own = branch
    while branch is not None:
        above = python.parent(branch)  # type: ignore[assignment]
        chained = (isinstance(above, ast.If) and above.orelse == [branch]) or (
            isinstance(above, ast.IfExp) and above.orelse is branch
        )
        if not chained:
            break
        branch = above
    asked: list[ast.AST] = [test]
    while isinstance(branch, ast.If | ast.IfExp) and branch is not own:
        asked.append(branch.test)
        branch = branch.orelse if isinstance(branch, ast.IfExp) else branch.orelse[0]
    if isinstance(own, ast.If | ast.IfExp):
        asked.append(own.test)
        later, ends_in_else = branches_after(own)
        # without an else, a third accelerator does nothing at all
        asked += later if ends_in_else else []
    return names_others(asked)


def branches_after(branch: ast.If | ast.IfExp) -> tuple[list[ast.expr], bool]:
    """The tests of the branches that follow one, and whether the last of all is an else."""
    tests: list[ast.expr] = []
    while True:
        rest = branch.orelse
        if isinstance(rest, list) and len(rest) == 1 and isinstance(rest[0], ast.If):
            branch = rest[0]
        elif isinstance(rest, ast.IfExp):
            branch = rest
        else:
            return tests, bool(rest)
        tests.append(branch.test)


def names_others(tests: Iterable[ast.AST]) -> bool:
    """Whether one of the tests names an accelerator besides CUDA."""
    return any(string(n) in OTHERS for t in tests for n in ast.walk(t) if isinstance(n, ast.Constant))
