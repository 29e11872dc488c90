"""A Python source as rules ask about it: the tree, parents, what a name stands for, what is a comment or a docstring."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from windtunnel.port.exports import STAR_EXPORTS

if TYPE_CHECKING:
    from windtunnel.port.device_strings import DeviceString
    from windtunnel.port.source import Source

T = TypeVar("T", bound=ast.AST)
Scope: TypeAlias = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
SCOPES = (ast.Module, *FUNCTIONS, ast.ClassDef)
_OPAQUE = ""
_DEEPEST = 40
"""Links of a chain of aliases that are followed."""


def parsed(text: str, name: str = "<source>") -> ast.Module:
    """The tree. Raises SyntaxError, also for what is nested too deeply to be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text, name)
    except (RecursionError, MemoryError):
        raise SyntaxError("nested too deeply")
    except ValueError as error:
        raise SyntaxError(str(error))


class PythonTree:
    """The tree of one source with what rules ask of it; made on first use and shared by all rules.

    ``of(ast.Call)`` gives all nodes of a type in order; ``parent(node)``; ``span(node)`` in characters; ``resolve(node)``
    the dotted name that an expression stands for ("torch.cuda.amp.autocast"), through imports, aliases, star imports and
    names assigned once, empty where that is not known.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tree = parsed(source.text)
        self._parents: dict[ast.AST, ast.AST] = {}
        self._by_type: dict[type[ast.AST], list[ast.AST]] = defaultdict(list)
        self._ascii = source.text.isascii()
        pending: list[ast.AST] = [self.tree]
        parents, by_type = self._parents, self._by_type
        while pending:
            node = pending.pop()
            by_type[type(node)].append(node)
            children = list(ast.iter_child_nodes(node))
            for child in children:
                parents[child] = node
            pending.extend(reversed(children))

    # ------------------------------------------------------------------ the tree

    def of(self, kind: type[T]) -> list[T]:
        """All nodes of exactly that type, in the order of the source."""
        return self._by_type.get(kind, [])  # type: ignore[return-value]

    def parent(self, node: ast.AST) -> ast.AST | None:
        return self._parents.get(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Parent, its parent, ... up to the module."""
        above = self._parents.get(node)
        while above is not None:
            yield above
            above = self._parents.get(above)

    def scope(self, node: ast.AST) -> Scope:
        """The function, class or module in whose body a node is evaluated: defaults and decorators belong outside."""
        below = node
        for above in self.ancestors(node):
            if isinstance(above, FUNCTIONS):
                inside = (
                    below is above.body if isinstance(above, ast.Lambda) else isinstance(below, ast.stmt) and below in above.body
                )
                if inside or isinstance(below, ast.arg):
                    return above
            elif isinstance(above, ast.ClassDef):
                if isinstance(below, ast.stmt) and below in above.body:
                    return above
            elif isinstance(above, ast.Module):
                return above
            below = above
        return self.tree

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every def of the file."""
        found: list[ast.FunctionDef | ast.AsyncFunctionDef] = [*self.of(ast.FunctionDef)]
        return [*found, *self.of(ast.AsyncFunctionDef)]

    def function(self, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """The innermost def whose body holds the node."""
        below = node
        for above in self.ancestors(node):
            if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef) and isinstance(below, ast.stmt) and below in above.body:
                return above
            below = above
        return None

    # ------------------------------------------------------------------ places

    def offset(self, line: int, column: int) -> int:
        """Characters before a line (from 1) and a column (in UTF-8 bytes, as ast counts)."""
        start = self.source.starts[line - 1]
        if self._ascii:
            return start + column
        text = self.source.lines[line - 1]
        return start + (column if text.isascii() else len(text.encode("utf-8")[:column].decode("utf-8", "ignore")))

    def start(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg | ast.alias) -> int:
        return self.offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg | ast.alias) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.offset(node.end_lineno, node.end_col_offset)

    def span(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg | ast.alias) -> tuple[int, int]:
        """First character and the one after the last."""
        return self.start(node), self.end(node)

    def text(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg | ast.alias) -> str:
        """The node as it is written."""
        return self.source.text[self.start(node) : self.end(node)]

    @cached_property
    def device_strings(self) -> list[DeviceString]:
        """Every string that names a CUDA device and comes to where one is asked for."""
        from windtunnel.port.device_strings import device_strings

        return device_strings(self)

    @cached_property
    def docstrings(self) -> set[ast.Constant]:
        """Strings that are statements of their own: docstrings and commented-out text."""
        return {
            s.value
            for s in self.of(ast.Expr)
            if isinstance(s.value, ast.Constant) and isinstance(s.value.value, str)
        }  # fmt: skip

    @cached_property
    def comments(self) -> dict[int, str]:
        """The comment of each line that has one, from the hash on, by line number."""
        found = {}
        try:
            for token in tokenize.generate_tokens(io.StringIO(self.source.text, newline="").readline):
                if token.type == tokenize.COMMENT:
                    found[token.start[0]] = token.string
        except (tokenize.TokenError, SyntaxError):
            pass
        return found

    # ------------------------------------------------------------------ names

    @cached_property
    def _bindings(self) -> dict[Scope, dict[str, str | ast.expr]]:
        """For each scope what its names stand for: a dotted name, an expression (assigned once), or _OPAQUE."""
        found: dict[Scope, dict[str, str | ast.expr]] = defaultdict(dict)

        def bind(node: ast.AST, name: str, to: str | ast.expr) -> None:
            names = found[self.scope(node)]
            old = names.get(name)
            # imported in both arms of a try: the first that is known stands
            if old is None or (isinstance(old, str) and isinstance(to, str) and old == to):
                names[name] = to
            elif isinstance(old, str) and old and isinstance(to, str) and to:
                return
            elif isinstance(old, str) and old and isinstance(to, ast.Constant):
                return  # `flash_attn = None` where the import failed
            else:
                names[name] = _OPAQUE

        for alias in self.of(ast.alias):
            statement = self._parents[alias]
            if isinstance(statement, ast.Import):
                if alias.asname:
                    bind(statement, alias.asname, alias.name)
                else:
                    first = alias.name.split(".")[0]
                    bind(statement, first, first)
            elif isinstance(statement, ast.ImportFrom):
                module = "." * statement.level + (statement.module or "")
                if alias.name == "*":
                    for name in STAR_EXPORTS.get(module, ()):
                        found[self.scope(statement)].setdefault(name, f"{module}.{name}")
                else:
                    separator = "" if module.endswith(".") else "."
                    bind(statement, alias.asname or alias.name, f"{module}{separator}{alias.name}")
        for target in self.of(ast.Name):
            if isinstance(target.ctx, ast.Load):
                continue
            assigned = self._parents[target]
            value: str | ast.expr = _OPAQUE
            if isinstance(assigned, ast.Assign | ast.AnnAssign) and target is not assigned.value and assigned.value is not None:
                value = assigned.value
            bind(target, target.id, value)
        for argument in self.of(ast.arg):
            owner = self._parents[self._parents[argument]]
            if isinstance(owner, FUNCTIONS):
                found[owner][argument.arg] = _OPAQUE
        definitions: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef] = [*self.of(ast.FunctionDef)]
        for definition in (*definitions, *self.of(ast.AsyncFunctionDef), *self.of(ast.ClassDef)):
            bind(definition, definition.name, _OPAQUE)
        for handler in self.of(ast.ExceptHandler):
            if handler.name:
                bind(handler, handler.name, _OPAQUE)
        return found

    @cached_property
    def _defined(self) -> set[str]:
        """Names of the functions, classes and parameters of the file."""
        return {d.name for d in (*self.functions, *self.of(ast.ClassDef))} | {a.arg for a in self.of(ast.arg)}

    def binding(self, name: ast.Name) -> tuple[Scope | None, str | ast.expr | None]:
        """The scope that binds a name and what it is bound to there; (None, None) for a built-in or unknown name."""
        scope: Scope | None = self.scope(name)
        first = True
        while scope is not None:
            names = self._bindings.get(scope, {})
            if name.id in names and (first or not isinstance(scope, ast.ClassDef)):
                return scope, names[name.id]
            scope = None if isinstance(scope, ast.Module) else self.scope(scope)
            first = False
        for sibling in self._other_cells:
            names = sibling._bindings.get(sibling.tree, {})
            if name.id in names:
                return None, names[name.id] if isinstance(names[name.id], str) else _OPAQUE
        return None, None

    @cached_property
    def _other_cells(self) -> list[PythonTree]:
        trees = []
        for cell in self.source.siblings:
            if cell is not self.source:
                try:
                    trees.append(cell.python)
                except SyntaxError:
                    continue
        return trees

    def resolve(self, node: ast.AST | None, depth: int = 0) -> str:
        """The dotted name that an expression stands for; empty where it is none that is known."""
        if depth > _DEEPEST:
            return ""
        if isinstance(node, ast.Attribute):
            owner = self.resolve(node.value, depth + 1)
            return f"{owner}.{node.attr}" if owner else ""
        if isinstance(node, ast.Name):
            _, bound = self.binding(node)
            if isinstance(bound, str) and bound:
                return bound
            if isinstance(bound, ast.Name | ast.Attribute):
                return self.resolve(bound, depth + 1)
            # brought in some other way: by importorskip, by a star import of the program's own
            return "torch" if node.id == "torch" and node.id not in self._defined else ""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) >= 2:
            name = node.args[1]
            owner = self.resolve(node.args[0], depth + 1)
            if owner and isinstance(name, ast.Constant) and isinstance(name.value, str):
                return f"{owner}.{name.value}"
        return ""

    @cached_property
    def references(self) -> dict[str, list[ast.Attribute | ast.Name]]:
        """Where each dotted name is spelled, in code that reads it: ``references["torch.cuda.synchronize"]``.

        Imports and aliases are seen through (``tc.synchronize`` after ``tc = torch.cuda``), but a name that was merely
        assigned (``wait`` after ``wait = torch.cuda.synchronize``) is not a second spelling of what it holds.
        """
        found: dict[str, list[ast.Attribute | ast.Name]] = defaultdict(list)
        for attribute in self.of(ast.Attribute):
            if isinstance(attribute.ctx, ast.Load):
                name = self.resolve(attribute)
                if name:
                    found[name].append(attribute)
        for loaded in self.of(ast.Name):
            if isinstance(loaded.ctx, ast.Load):
                bound = self.binding(loaded)[1]
                if isinstance(bound, str) and bound:
                    found[bound].append(loaded)
        return found

    def uses(self, *names: str) -> Iterator[ast.Attribute | ast.Name]:
        """Where any of these dotted names is spelled."""
        for name in names:
            yield from self.references.get(name, ())

    @cached_property
    def _calls(self) -> dict[str, list[ast.Call]]:
        found: dict[str, list[ast.Call]] = defaultdict(list)
        for call in self.of(ast.Call):
            name = self.resolve(call.func)
            if name:
                found[name].append(call)
        return found

    def calls(self, *names: str) -> Iterator[ast.Call]:
        """Calls of functions with these dotted names."""
        for name in names:
            yield from self._calls.get(name, ())

    @cached_property
    def imported(self) -> set[str]:
        """Every module and member that is imported anywhere, dotted; packages of relative imports begin with dots."""
        found = set()
        for alias in self.of(ast.alias):
            statement = self._parents[alias]
            if isinstance(statement, ast.Import):
                found.add(alias.name)
            elif isinstance(statement, ast.ImportFrom):
                module = "." * statement.level + (statement.module or "")
                found.add(module)
                found.add(f"{module}.{alias.name}")
        return found

    def imports(self, package: str) -> bool:
        """Whether the file imports a package or something below it."""
        return any(name == package or name.startswith(package + ".") for name in self.imported)


def string(node: ast.AST | None) -> str | None:
    """The value of a plain string; None for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def keyword(call: ast.Call, *names: str) -> ast.expr | None:
    """The argument that a call gives under one of these names."""
    for given in call.keywords:
        if given.arg in names:
            return given.value
    return None


def argument(call: ast.Call, place: int, *names: str) -> ast.expr | None:
    """The argument at a place, or under one of the names."""
    if place < len(call.args) and not any(isinstance(a, ast.Starred) for a in call.args[: place + 1]):
        return call.args[place]
    return keyword(call, *names)
