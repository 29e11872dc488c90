"""Types of tensors that name CUDA: ``torch.cuda.FloatTensor``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.neutral import DEVICE_TYPE, found, torch_name
from windtunnel.port.python import PythonTree
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_DTYPES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Byte": "uint8", "Char": "int8",
    "Short": "int16", "Int": "int32", "Long": "int64", "Bool": "bool",
}  # fmt: skip
_NAMES = {f"torch.cuda.{name}Tensor": dtype for name, dtype in _DTYPES.items()}
_STRING = re.compile(r"torch\.cuda\.(\w+)Tensor$")
VALUES = "it is used as a class: what it makes depends on what it is given (sizes, a list, another tensor)"


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for name, dtype in _NAMES.items():
        for node in python.uses(name):
            yield _finding(source, node, dtype)
    for constant in python.of(ast.Constant):
        match = _STRING.match(constant.value) if isinstance(constant.value, str) else None
        if match and match.group(1) in _DTYPES and not isinstance(python.parent(constant), ast.Expr | ast.JoinedStr):
            yield _finding(source, constant, _DTYPES[match.group(1)])


def _finding(source: Source, node: ast.expr, dtype: str) -> Finding:
    python = source.python
    call = python.parent(node)
    torch = torch_name(python)
    if isinstance(call, ast.Call) and call.func is node and _sizes(python, call):
        # an empty tensor of these sizes, as the old constructors make it
        start, end = python.span(call.func)
        closing = python.end(call) - 1
        more = Edit(closing, closing, f", dtype={torch}.{dtype}, device={DEVICE_TYPE}")
        # without CUDA both raise, but not the same error
        return found(source, RULE, node, (Edit(start, end, f"{torch}.empty"), more), safety="unsafe")
    if isinstance(call, ast.Call) and node in call.args and len(call.args) == 1 and not call.keywords:
        start, end = python.span(node)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "type" and not python.resolve(call.func):
            dot = python.end(call.func) - len("type")
            edits = (Edit(dot, dot + len("type"), "to"), Edit(start, end, f"{DEVICE_TYPE}, {torch}.{dtype}"))
            # a tensor that lies on another CUDA device than the current one stays there before, and moves after
            return found(source, RULE, node, edits, safety="unsafe")
    return found(source, RULE, node, unfixed=VALUES)


def _sizes(python: PythonTree, call: ast.Call) -> bool:
    from windtunnel.port.rules.cuda_method import is_integer

    return bool(call.args) and not call.keywords and all(is_integer(python, a) or _is_size(a) for a in call.args)


def _is_size(node: ast.expr) -> bool:
    """``x.size(0)``, ``x.shape[1]``"""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr == "size" and len(node.args) == 1
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "shape"


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
)  # fmt: skip

RULE = Rule(
    id="tensor-type-cuda",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="unsafe",
    what="A tensor type that names CUDA, as torch.cuda.FloatTensor.",
    why="The types stand for CUDA and a number type at once; other accelerators have none, or others.",
    instead="Say number type and device apart: torch.empty(..., dtype=..., device=...), x.to(device, dtype).",
    find=find,
    cases=(
        Case("import torch\nx = x.type(torch.FloatTensor)\n", 0, note="on the CPU"),
        Case('import torch\nprint("torch.cuda.FloatTensor is slow")\n', 0, note="a message"),
        Case('import torch\n"""torch.cuda.FloatTensor"""\n', 0),
        Case(
            "import torch\nx = torch.cuda.FloatTensor(2, 3)\n",
            1,
            unsafe=_TOP + "x = torch.empty(2, 3, dtype=torch.float32, device=_DEVICE_TYPE)\n",
        ),
        Case("import torch\nx = x.type(torch.cuda.HalfTensor)\n", 1, unsafe=_TOP + "x = x.to(_DEVICE_TYPE, torch.float16)\n"),
        Case('import torch\nx = x.type("torch.cuda.LongTensor")\n', 1, unsafe=_TOP + "x = x.to(_DEVICE_TYPE, torch.int64)\n"),
        Case("import torch\nx = torch.cuda.FloatTensor(values)\n", 1, None, note="sizes, or values?"),
        Case("import torch\nTensor = torch.cuda.FloatTensor if cuda else torch.FloatTensor\n", 1, None),
        Case(
            "import torch\ntorch.set_default_tensor_type(torch.cuda.FloatTensor)\n",
            1,
            None,
            note="number type and device at once",
        ),
    ),
    hints=(b"cuda",),
)
