"""Where the names that a fix needs are put: after the imports of the file, or of the function that imports PyTorch."""

from __future__ import annotations

import ast
import dataclasses
from dataclasses import dataclass

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.neutral import TORCH, torch_name
from windtunnel.port.python import FUNCTIONS, PythonTree

NO_TORCH = "the file does not import torch, and is not made to"
CONDITIONAL = "the file imports torch under a condition only"
TOO_EARLY = "it is evaluated before torch is imported"
TAKEN = "the file uses the name {} for something else"

FAMILY = frozenset(
    {
        "torch", "torchvision", "torchaudio", "transformers", "diffusers", "accelerate", "timm", "lightning", "peft",
        "pytorch_lightning", "sentence_transformers", "torchmetrics", "torch_geometric", "dgl", "kornia", "monai",
    }
)  # fmt: skip
"""Packages that import PyTorch themselves: beside one of them, ``import torch`` asks for nothing new."""


@dataclass(frozen=True)
class Home:
    """A body that imports PyTorch without a condition. at: the character after the line of its last import (new names go
    there); name: what PyTorch is called there; indent: white space before its lines; adds_import: whether torch must be added.
    conditional: whether it is a branch of the file's level (``if is_torch_available():``), which may not have been taken."""

    body: tuple[int, int]
    at: int
    name: str
    indent: str
    adds_import: bool = False
    conditional: bool = False


def module_home(python: PythonTree) -> Home | str:
    """The file's own level as a home, or why it is none."""
    home = _home(python, python.tree.body, (0, len(python.source.text)), "")
    if home:
        return home
    conditional = _conditional_home(python)
    if conditional:
        return conditional
    last = None
    for statement in python.tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            names = [a.name for a in statement.names] if isinstance(statement, ast.Import) else [statement.module or ""]
            future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
            if not future and getattr(statement, "level", 0) == 0 and any(n.split(".")[0] in FAMILY for n in names):
                last = statement
                break
    if last is None:
        return NO_TORCH
    end = _run_end(python, python.tree.body, python.tree.body.index(last))
    return Home((0, len(python.source.text)), end, "torch", "", adds_import=True)


def _conditional_home(python: PythonTree) -> Home | None:
    """The first branch of the file's own level that imports PyTorch."""
    for statement in (*python.of(ast.Import),):
        above = python.parent(statement)
        if not _imports_torch(statement) or not isinstance(above, ast.If | ast.Try) or not _is_top(python, statement):
            continue
        if isinstance(above, ast.If) and "TYPE_CHECKING" in ast.unparse(above.test):
            continue
        for body in (above.body, above.orelse):
            if statement in body:
                start = python.source.starts[statement.lineno - 1]
                indent = python.source.text[start : python.start(statement)]
                home = None if indent.strip() else _home(python, body, (start, len(python.source.text)), indent)
                return dataclasses.replace(home, conditional=True) if home else None
    return None


def function_homes(python: PythonTree) -> list[Home]:
    """A home for each function whose body imports PyTorch itself."""
    homes = []
    for function in python.functions:
        line_start = python.source.starts[function.body[0].lineno - 1]
        start, end = python.start(function.body[0]), python.end(function.body[-1])
        indent = python.source.text[line_start:start]
        home = None if indent.strip() else _home(python, function.body, (start, end), indent)
        if home:
            homes.append(home)
    return homes


def _is_top(python: PythonTree, statement: ast.stmt) -> bool:
    return not any(isinstance(a, (*FUNCTIONS, ast.ClassDef)) for a in python.ancestors(statement))


def _imports_torch(statement: ast.stmt) -> str:
    """The name under which a statement imports PyTorch; empty where it does not."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.name == "torch":
                return alias.asname or "torch"
            if alias.name.startswith("torch.") and not alias.asname:
                return "torch"
    return ""


def _home(python: PythonTree, body: list[ast.stmt], span: tuple[int, int], indent: str) -> Home | None:
    for i, statement in enumerate(body):
        name = _imports_torch(statement)
        if name:
            return Home(span, _run_end(python, body, i), name, indent)
    return None


def _run_end(python: PythonTree, body: list[ast.stmt], first: int) -> int:
    """The character after the line on which the imports that follow each other end."""
    last = first
    while last + 1 < len(body) and isinstance(body[last + 1], ast.Import | ast.ImportFrom):
        last += 1
    line = body[last].end_lineno or body[last].lineno
    starts = python.source.starts
    return starts[line] if line < len(starts) else len(python.source.text)


def evaluated_early(python: PythonTree, offset: int, home: Home) -> bool:
    """Whether what stands at a character is evaluated before the home's names are there, or where they may not be."""
    if offset >= home.at and not home.conditional:
        return False
    # the body of a function runs later; its defaults and decorators do not
    for function in python.functions:
        inside = python.start(function.body[0]) <= offset < python.end(function.body[-1])
        if inside and (home.conditional or home.body[0] <= python.start(function)):
            # where PyTorch may be missing, a function that speaks of it is one that runs with it only
            return home.conditional and not _speaks_of(function, home.name)
    return True


def _speaks_of(function: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(function))


def bound_names(python: PythonTree) -> set[str]:
    """Every name that the file binds anywhere."""
    names = {n.id for n in python.of(ast.Name) if not isinstance(n.ctx, ast.Load)}
    names |= {a.arg for a in python.of(ast.arg)}
    names |= {a.asname or a.name.split(".")[0] for a in python.of(ast.alias)}
    definitions: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef] = [*python.of(ast.FunctionDef)]
    return names | {d.name for d in (*definitions, *python.of(ast.AsyncFunctionDef), *python.of(ast.ClassDef))}


def names_lines(needs: tuple[str, ...], name: str) -> list[str]:
    """The lines of ``needs`` that bind names, for a file that calls PyTorch ``name``."""
    return [line.replace("torch.", f"{name}.") for line in needs if not line.startswith("import ")]


def own_lines(python: PythonTree, body: tuple[int, int]) -> dict[str, ast.Assign]:
    """Assignments of one name in a body, by their text: those that an earlier fix put there among them."""
    found = {}
    for statement in python.of(ast.Assign):
        if body[0] <= python.start(statement) < body[1]:
            found[python.text(statement)] = statement
    return found


def needs_only_torch(finding: Finding) -> bool:
    return finding.needs == TORCH


def insertion(python: PythonTree, home: Home, lines: list[str]) -> list[Edit]:
    """The edits that put lines into a home which does not have them, each after what it reads."""
    newline = python.source.newline
    own = own_lines(python, home.body)
    missing = [line for line in lines if line not in own]
    present = [own[line] for line in lines if line in own]
    add = ["import torch"] if home.adds_import else []
    if not missing and not add:
        return []
    at = home.at
    text = python.source.text
    blank = newline if missing and not home.indent and at else ""
    if present and missing:
        line = max(s.end_lineno or s.lineno for s in present)
        at = python.source.starts[line] if line < len(python.source.starts) else len(text)
        blank = ""
    block = "".join(home.indent + line + newline for line in add) + blank
    block += "".join(home.indent + line + newline for line in missing)
    if at == len(text) and text and not text.endswith(("\n", "\r")):
        block = newline + block.removesuffix(newline)
    return [Edit(at, at, block)]


__all__ = ["Home", "evaluated_early", "function_homes", "insertion", "module_home", "torch_name"]
