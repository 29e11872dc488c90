"""The device-neutral spelling of what a Python file says of CUDA, and what it needs at the top of the file.

Two names are put at the top of a file, once, after its imports:

    _DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type
    _DEVICE_MODULE = torch.get_device_module(_DEVICE_TYPE)

``current_accelerator()`` says what PyTorch was built for and touches no driver, so CUDA_VISIBLE_DEVICES and forks work as
before. On CUDA the names are "cuda" and torch.cuda. So they are where PyTorch knows no accelerator: whatever failed there, or
quietly did nothing, does just that again. (``torch.accelerator.empty_cache()`` and its kin raise there, so they are not used.)
"""

from __future__ import annotations

import ast
import re

from windtunnel.port.finding import Edit, Finding, Safety
from windtunnel.port.python import PythonTree, string
from windtunnel.port.rule import Rule
from windtunnel.port.source import Source

DEVICE_TYPE = "_DEVICE_TYPE"
DEVICE_MODULE = "_DEVICE_MODULE"
TYPE_LINE = f'{DEVICE_TYPE} = (torch.accelerator.current_accelerator() or torch.device("cuda")).type'
MODULE_LINE = f"{DEVICE_MODULE} = torch.get_device_module({DEVICE_TYPE})"
TORCH = ("import torch",)
TYPE = (*TORCH, TYPE_LINE)
MODULE = (*TYPE, MODULE_LINE)
LOWEST_TORCH = "2.6"
"""The first PyTorch with torch.accelerator."""

_LITERAL = re.compile(r"(?P<prefix>[rRuU]?)(?P<quote>\"|')(?P<body>[^\"'\\{}]*)(?P=quote)$")
_F_LITERAL = re.compile(r"(?:[fF]|[rR][fF]|[fF][rR])(?:\"\"\"|'''|\"|')cuda")
_BINDS_LESS = (
    ast.BoolOp, ast.IfExp, ast.Call, ast.keyword, ast.If, ast.While, ast.Assign, ast.AnnAssign, ast.Return, ast.Assert,
    ast.comprehension, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp, ast.List, ast.Tuple, ast.Set, ast.Dict,
    ast.FormattedValue,
)  # fmt: skip
"""Around which a comparison needs no parentheses."""
_SELF_SHOWN = re.compile(r"\s*=(?!=)")
_TAKES_NO_IF = (ast.IfExp, ast.comprehension)
SCRIPTED = "in a function that TorchScript compiles, which cannot read the names of its file"
KERNEL = "in a kernel"
OTHERWISE = "the file imports PyTorch in a way of its own, which may find none"
SHOWS_ITSELF = "in an f-string that prints how it is spelled (`{...=}`)"


def torch_name(python: PythonTree) -> str:
    """What the file calls PyTorch: the name that its module level imports it under, ``torch`` where it does not."""
    for statement in python.tree.body:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                if alias.name == "torch" or (alias.name.startswith("torch.") and not alias.asname):
                    return alias.asname or "torch"
    return "torch"


def not_here(python: PythonTree, node: ast.AST) -> str:
    """Why the names of the file's top cannot be used at a node; empty where they can."""
    if not python.imports("torch") and any(
        name.id == "torch" and python.binding(name)[1] != "torch" for name in python.of(ast.Name)
    ):
        return OTHERWISE
    for above in python.ancestors(node):
        if isinstance(above, ast.FormattedValue) and _SELF_SHOWN.match(python.source.text, python.end(above.value)):
            return SHOWS_ITSELF
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for decorator in above.decorator_list:
                name = python.resolve(decorator.func if isinstance(decorator, ast.Call) else decorator)
                if name.startswith(("torch.jit.script", "torch.jit.interface")):
                    return SCRIPTED
                if name in ("triton.jit", "numba.cuda.jit", "triton.heuristics"):
                    return KERNEL
            if above.name in _scripted(python):
                return SCRIPTED
    return ""


def _scripted(python: PythonTree) -> set[str]:
    names = set()
    for call in python.calls("torch.jit.script"):
        if call.args and isinstance(call.args[0], ast.Name):
            names.add(call.args[0].id)
    return names


def device_edit(python: PythonTree, node: ast.Constant | ast.JoinedStr) -> tuple[Edit, ...]:
    """The edit that makes a device string neutral; none where the string is not written in one plain piece."""
    start, end = python.span(node)
    written = python.source.text[start:end]
    if isinstance(node, ast.JoinedStr):
        match = _F_LITERAL.match(written)
        # only the first four letters change; what follows, quotes and braces included, stays
        return (Edit(start + match.end() - 4, start + match.end(), "{" + DEVICE_TYPE + "}"),) if match else ()
    literal = _LITERAL.match(written)
    if not literal or literal["body"] != node.value:
        return _braced_edit(python, node, written, start, end)
    if node.value == "cuda":
        return (Edit(start, end, DEVICE_TYPE),)
    raw = "r" if literal["prefix"] in ("r", "R") else ""
    rest = literal["body"].removeprefix("cuda")
    return (Edit(start, end, f"{raw}f{literal['quote']}{{{DEVICE_TYPE}}}{rest}{literal['quote']}"),)


def _braced_edit(python: PythonTree, node: ast.Constant, written: str, start: int, end: int) -> tuple[Edit, ...]:
    """``"cuda:{}".format(i)``: the braces are the format's, so the device stands before them as a sum."""
    value = string(node) or ""
    if re.fullmatch(r"(\"|')cuda:\{\w*\}(\"|')", written) and isinstance(python.parent(node), ast.Attribute):
        quote, rest = written[0], value.removeprefix("cuda")
        return (Edit(start, end, f"({DEVICE_TYPE} + {quote}{rest}{quote})"),)
    return ()


def in_parentheses(python: PythonTree, node: ast.expr, text: str) -> str:
    """``text`` (a comparison or a condition) as it can stand in the place of ``node``."""
    parent = python.parent(node)
    start, end = python.span(node)
    source = python.source.text
    if isinstance(parent, ast.UnaryOp) and source[start - 1 : start] == "(" and source[end : end + 1] == ")":
        return text
    plain = isinstance(parent, _BINDS_LESS) and not (isinstance(parent, ast.Call) and parent.func is node)
    return text if plain and not (isinstance(parent, _TAKES_NO_IF) and " if " in text) else f"({text})"


def name_edit(python: PythonTree, node: ast.expr, text: str) -> tuple[Edit, ...]:
    """The edit that writes ``text`` for a dotted name."""
    start, end = python.span(node)
    return (Edit(start, end, text),)


def prefixed_call(python: PythonTree, call: ast.Call, func: str, first: str) -> tuple[Edit, ...]:
    """``old(a, b)`` becomes ``func(first, a, b)``."""
    start, end = python.span(call.func)
    opening = python.source.text.index("(", end)
    comma = ", " if call.args or call.keywords else ""
    return (Edit(start, end, func), Edit(opening + 1, opening + 1, first + comma))


def is_annotation(python: PythonTree, node: ast.AST) -> bool:
    """Whether a node stands in a type annotation."""
    below = node
    for above in python.ancestors(node):
        if isinstance(above, ast.arg):
            return above.annotation is below
        if isinstance(above, ast.AnnAssign):
            return above.annotation is below
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
            return above.returns is below
        if isinstance(above, ast.stmt):
            return False
        below = above
    return False


def found(
    source: Source,
    rule: Rule,
    node: ast.expr,
    edits: tuple[Edit, ...] = (),
    needs: tuple[str, ...] = TYPE,
    *,
    at: tuple[int, int] | None = None,
    why: str = "",
    unfixed: str = "",
    safety: Safety | None = None,
) -> Finding:
    """The finding of a spelling rule at a node (or at characters ``at``), without its fix where that cannot stand there."""
    forbidden = not_here(source.python, node) if edits else ""
    start, end = at or source.python.span(node)
    return source.finding(
        rule, start, end, why=why, edits=() if forbidden else edits, needs=needs, unfixed=forbidden or unfixed, safety=safety
    )


NOT_PLAIN = "the string is not written in one plain piece"
