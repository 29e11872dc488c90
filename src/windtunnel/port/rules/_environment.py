"""Where a Python file names an environment variable, and does not merely speak of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.python import PythonTree

_LOOKUPS = re.compile(
    r"^(get|getenv|putenv|unsetenv|pop|setdefault|setenv|delenv|get_env|getenv_\w+|environ|env_\w+|add_env\w*)$"
)
_SHELLS = re.compile(r"^(run|call|check_call|check_output|Popen|system|popen|getoutput|exec_command)$")

_ALONE = re.compile(r"[A-Z_]+=[\w,./:\-]*")


def variables_as_keywords(python: PythonTree, names: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Places of keywords that become variables: ``os.environ.update(NAME=...)``, ``dict(os.environ, NAME=...)``."""
    for call in python.of(ast.Call):
        if any(k.arg and names.fullmatch(k.arg) for k in call.keywords):
            func = call.func
            last = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
            if last in ("update", "dict", "patch", "setenv", "environ"):
                for given in call.keywords:
                    if given.arg and names.fullmatch(given.arg):
                        start = python.start(given)
                        yield start, start + len(given.arg)


def named_variables(python: PythonTree, names: re.Pattern[str]) -> Iterator[ast.Constant]:
    """Strings that are (or, in a command line, begin with) a variable whose name matches."""
    for constant in python.of(ast.Constant):
        value = constant.value
        if not isinstance(value, str):
            continue
        parent = python.parent(constant)
        if names.match(value):
            if _asks(python, constant, parent):
                yield constant
        elif "=" in value and names.match(value.lstrip().split("=", 1)[0]) and _in_command(python, constant):
            yield constant


def _asks(python: PythonTree, constant: ast.Constant, parent: ast.AST | None) -> bool:
    if isinstance(parent, ast.Subscript):
        return parent.slice is constant
    if isinstance(parent, ast.Compare):
        return any(isinstance(op, ast.In | ast.NotIn) for op in parent.ops) and parent.left is constant
    if isinstance(parent, ast.Dict):
        return constant in parent.keys
    if isinstance(parent, ast.Call) and constant in parent.args:
        func = parent.func
        last = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
        return bool(_LOOKUPS.match(last))
    if isinstance(parent, ast.List | ast.Tuple | ast.Set):
        return all(isinstance(e, ast.Constant) and isinstance(e.value, str) and e.value.isupper() for e in parent.elts)
    return isinstance(parent, ast.Assign | ast.AnnAssign) and constant is parent.value


def _in_command(python: PythonTree, constant: ast.Constant) -> bool:
    value = constant.value
    alone = isinstance(value, str) and _ALONE.fullmatch(value) is not None
    for above in python.ancestors(constant):
        if isinstance(above, ast.List | ast.Tuple) and alone:
            return True  # a word of a command: ["env", "NCCL_DEBUG=INFO", ...]
        if isinstance(above, ast.Call):
            func = above.func
            last = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
            if last in ("format", "join", "split"):
                continue
            return bool(_SHELLS.match(last))
        if isinstance(above, ast.stmt):
            return isinstance(above, ast.Assign)
    return False
