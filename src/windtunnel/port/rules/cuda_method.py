"""Tensors and modules moved by ``.cuda()``."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.neutral import DEVICE_TYPE, TYPE, found
from windtunnel.port.python import PythonTree
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_INTEGERS = {"int", "len", "ord", "hash"}
_INTEGER_CALLS = (
    "torch.cuda.current_device", "torch.cuda.device_count", "torch.distributed.get_rank",
    "torch.accelerator.current_device_index",
)  # fmt: skip
_WORDS = {"device", "non_blocking", "async", "async_", "memory_format", None}
OWN = "the class defines .cuda() itself, and callers may mean that"
STORAGE = "a storage's .to() takes no device by its place alone; give map_location a device instead of a function"
UNKNOWN = "what it is given (a number, a device, None) is not a plain name, and must be looked at"


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    own = {d.name for d in python.of(ast.FunctionDef)} & {"cuda"}
    for call in python.of(ast.Call):
        func = call.func
        if not isinstance(func, ast.Attribute) or func.attr != "cuda":
            continue
        owner = python.resolve(func.value)
        if owner.split(".")[0] in ("torch", "numba", "cupy", "tvm", "jax", "paddle", "tl", "triton", "pycuda"):
            continue
        if len(call.args) > 2 or not {k.arg for k in call.keywords} <= _WORDS:
            continue  # a method of its own that goes by that name
        end = python.end(call)
        at = python.end(func) - 4, end
        inside = isinstance(func.value, ast.Call) and isinstance(func.value.func, ast.Name) and func.value.func.id == "super"
        if inside or (own and isinstance(func.value, ast.Name) and func.value.id == "self"):
            yield found(source, RULE, call, at=at, unfixed=OWN)
            continue
        if _is_storage(python, func.value):
            yield found(source, RULE, call, at=at, unfixed=STORAGE)
            continue
        edits, needs = _edits(python, call, at)
        yield found(source, RULE, call, edits, needs, at=at, unfixed="" if edits else UNKNOWN)


def _edits(python: PythonTree, call: ast.Call, at: tuple[int, int]) -> tuple[tuple[Edit, ...], tuple[str, ...]]:
    start = at[0]
    named = next((k for k in call.keywords if k.arg == "device"), None)
    given = call.args[0] if call.args else named.value if named else None
    if len(call.args) > 2 or any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return (), TYPE
    text = python.source.text
    name = Edit(start, start + 4, "to")
    if given is None:
        opening = text.index("(", start) + 1
        return (name, Edit(opening, opening, DEVICE_TYPE + (", " if call.keywords else ""))), TYPE
    first, last = python.span(given)
    written = text[first:last]
    if isinstance(given, ast.Constant) and isinstance(given.value, str):
        return (name,), ()  # the string is the other rule's
    if isinstance(given, ast.Constant) and given.value is None:
        return (name, Edit(first, last, DEVICE_TYPE)), TYPE
    if is_integer(python, given):
        return (name,), ()  # a number means the accelerator that there is, for .cuda() as for .to(): even its error is the same
    if isinstance(given, ast.Name | ast.Attribute) and all(
        isinstance(n, ast.Name | ast.Attribute | ast.expr_context) for n in ast.walk(given)
    ):
        return (name, Edit(first, last, f"{DEVICE_TYPE} if {written} is None else {written}")), TYPE
    if python.resolve(given.func if isinstance(given, ast.Call) else given) == "torch.device":
        return (name,), ()
    return (), TYPE


def _is_storage(python: PythonTree, node: ast.expr) -> bool:
    """Whether a tensor's storage is moved, as by ``map_location=lambda storage, loc: storage.cuda()``."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr.endswith("storage")
    if not isinstance(node, ast.Name):
        return False
    for above in python.ancestors(node):
        if isinstance(above, ast.Lambda) and any(a.arg == node.id for a in above.args.args):
            given = python.parent(above)
            return node.id == "storage" or (isinstance(given, ast.keyword) and given.arg == "map_location")
    return node.id == "storage"


def is_integer(python: PythonTree, node: ast.expr, depth: int = 0) -> bool:
    """Whether an expression is certainly a whole number."""
    if depth > 5:
        return False
    if isinstance(node, ast.Constant):
        return type(node.value) is int
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in _INTEGERS:
            return True
        return python.resolve(node.func) in _INTEGER_CALLS
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add | ast.Sub | ast.Mult | ast.FloorDiv):
        return is_integer(python, node.left, depth + 1) and is_integer(python, node.right, depth + 1)
    if isinstance(node, ast.Name):
        bound = python.binding(node)[1]
        return isinstance(bound, ast.expr) and is_integer(python, bound, depth + 1)
    return False


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
)  # fmt: skip

RULE = Rule(
    id="cuda-method",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="A tensor or a module moved by .cuda().",
    why="The method moves to CUDA alone.",
    instead="Use .to() with the accelerator that there is.",
    find=find,
    cases=(
        Case("if args.cuda:\n    pass\n", 0, note="a flag"),
        Case("import torch\nprint(torch.version.cuda)\n", 0, note="a version"),
        Case("import torch\nx = quantizer.cuda(x, meta=m)\n", 0, note="another method of that name"),
        Case("from numba import cuda\nx = cuda.to_device(y)\n", 0),
        Case("import torch\n# x.cuda()\ns = 'x.cuda()'\n", 0),
        Case("import torch\nx = x.cuda()\n", 1, _TOP + "x = x.to(_DEVICE_TYPE)\n"),
        Case("import torch\nx = a.b(1).float().cuda()[0]\n", 1, _TOP + "x = a.b(1).float().to(_DEVICE_TYPE)[0]\n"),
        Case("import torch\nx = x.cuda(non_blocking=True)\n", 1, _TOP + "x = x.to(_DEVICE_TYPE, non_blocking=True)\n"),
        Case("import torch\nx = x.cuda(1)\n", 1, "import torch\nx = x.to(1)\n"),
        Case(
            "import torch\nx = x.cuda(args.gpu, non_blocking=True)\n",
            1,
            _TOP + "x = x.to(_DEVICE_TYPE if args.gpu is None else args.gpu, non_blocking=True)\n",
        ),
        Case("import torch\nx = x.cuda().half().cuda()\n", 2, _TOP + "x = x.to(_DEVICE_TYPE).half().to(_DEVICE_TYPE)\n"),
        Case("import torch\nw = torch.load(f, map_location=lambda storage, loc: storage.cuda(0))\n", 1, None, note="no tensor"),
        Case("import torch\nw = torch.load(f, map_location=lambda s, _: s.cuda())\n", 1, None, note="no tensor"),
        Case("import torch\ns = x.untyped_storage().cuda()\n", 1, None, note="no tensor"),
        Case("import torch\nx = x.cuda(next(devices))\n", 1, None, note="called twice it would give another"),
        Case(
            "import torch\n\n\nclass Batch:\n    def cuda(self):\n        return Batch(self.x)\n\n    def f(self):\n"
            "        return self.cuda()\n",
            1,
            None,
            note="its own",
        ),
    ),
    hints=(b"cuda",),
)
