"""Where a file imports a library of one vendor, and where it spells a name of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.python import string
from windtunnel.port.rule import Rule
from windtunnel.port.source import Source


def _below(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def imports(source: Source, rule: Rule, *packages: str) -> Iterator[Finding]:
    """A finding at each import of one of the packages, by statement or by importlib.

    One a statement: what is imported is used in many places, and is exchanged in one.
    """
    python = source.python
    # a package's own files import it by its name; that is not what binds them
    folders = [part for part in source.path.split("/")[:-1] if part not in ("src", "python", "lib")]
    packages = tuple(package for package in packages if folders[:1] != [package.split(".")[0]])
    for statement in python.of(ast.Import):
        for alias in statement.names:
            if _below(alias.name, packages):
                yield source.finding(rule, *python.span(alias))
    for origin in python.of(ast.ImportFrom):
        if origin.level or not origin.module:
            continue
        if _below(origin.module, packages):
            start = source.text.index(origin.module, python.start(origin))
            yield source.finding(rule, start, start + len(origin.module))
            continue
        for alias in origin.names:
            if _below(f"{origin.module}.{alias.name}", packages):
                yield source.finding(rule, *python.span(alias))
    by_name = [c for c in python.of(ast.Call) if isinstance(c.func, ast.Name) and c.func.id in ("__import__", "optional_import")]
    for call in (*python.calls("importlib.import_module", "pytest.importorskip"), *by_name):
        name = string(call.args[0]) if call.args else None
        if name and _below(name, packages):
            yield source.finding(rule, *python.span(call.args[0]))


def spelled(source: Source, rule: Rule, *names: str, why: str = "") -> Iterator[Finding]:
    """A finding where a dotted name, or anything below one that ends in a dot, is spelled; the longest spelling once."""
    python = source.python
    exact = {n for n in names if not n.endswith(".")}
    under = tuple(n for n in names if n.endswith("."))
    for name, nodes in python.references.items():
        if name not in exact and not name.startswith(under or ("\0",)):
            continue
        for node in nodes:
            parent = python.parent(node)
            if isinstance(parent, ast.Attribute) and (f"{name}.{parent.attr}" in exact or name.startswith(under or ("\0",))):
                continue
            yield source.finding(rule, *python.span(node), why=why)


def assigned(source: Source, rule: Rule, *names: str) -> Iterator[Finding]:
    """A finding where one of the dotted names is written to."""
    python = source.python
    for attribute in python.of(ast.Attribute):
        if isinstance(attribute.ctx, ast.Store):
            owner = python.resolve(attribute.value)
            if owner and f"{owner}.{attribute.attr}" in names:
                yield source.finding(rule, *python.span(attribute))
