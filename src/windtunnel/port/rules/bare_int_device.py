"""Devices given as bare numbers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.python import PythonTree, keyword
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_INDEX = re.compile(r"(?:^|_)rank$|^(?:gpu|gpu_?id|device_?id|device_?index|gpu_?index|idx|ordinal)$", re.I)
_INDICES = re.compile(r"(?:^|_)(?:devices|device_ids|gpus|gpu_ids)$", re.I)
_RANK = re.compile(r"(?:^|_)rank$|^gpu_?id$|^device_?(?:id|index)$", re.I)
_INDEX_CALLS = (
    "torch.cuda.current_device", "torch.distributed.get_rank", "torch.distributed.get_node_local_rank",
    "torch.accelerator.current_device_index",
)  # fmt: skip


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for call in python.of(ast.Call):
        name = python.resolve(call.func)
        if name == "torch.device" and len(call.args) == 1 and not call.keywords and _is_index(python, call.args[0]):
            yield source.finding(RULE, *python.span(call.func))
            continue
        moves = isinstance(call.func, ast.Attribute) and call.func.attr == "to"
        number = (moves or name == "torch.device") and len(call.args) == 1 and _is_number(call.args[0])
        if number or (moves and len(call.args) == 1 and not call.keywords and _is_rank(python, call.args[0])):
            yield source.finding(RULE, *python.span(call.args[0]))
        for word in ("device", "map_location", "output_device"):
            given = keyword(call, word)
            # pipeline(device=0) of transformers takes it for the first GPU
            if given is not None and _is_number(given) and (name.startswith(("torch.", "transformers.")) or word != "device"):
                yield source.finding(RULE, *python.span(given))
        given = keyword(call, "device_ids")
        if isinstance(given, ast.List | ast.Tuple) and given.elts and all(_is_number(e) for e in given.elts):
            yield source.finding(RULE, *python.span(given))


def _is_index(python: PythonTree, node: ast.expr) -> bool:
    """Whether what is called a device is a rank or an index by its name or by what it is assigned."""
    if isinstance(node, ast.BinOp):
        return not isinstance(node.left, ast.Constant | ast.JoinedStr) and _is_index(python, node.left)
    if isinstance(node, ast.Call):
        return python.resolve(node.func) in _INDEX_CALLS or (isinstance(node.func, ast.Name) and node.func.id == "int")
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Name | ast.Attribute) and bool(_INDICES.search(_last(node.value)))
    if isinstance(node, ast.Name):
        bound = python.binding(node)[1]
        if isinstance(bound, ast.Call | ast.BinOp) and _is_index(python, bound):
            return True
    return isinstance(node, ast.Name | ast.Attribute) and bool(_INDEX.search(_last(node)))


def _is_rank(python: PythonTree, node: ast.expr) -> bool:
    """Whether what a tensor is moved to is a rank, by its name, and was not made a device before."""
    if isinstance(node, ast.Name):
        bound = python.binding(node)[1]
        if isinstance(bound, ast.Call) and not _is_index(python, bound):
            return False
    return isinstance(node, ast.Name | ast.Attribute) and bool(_RANK.search(_last(node)))


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


RULE = Rule(
    id="bare-int-device",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A device given as a bare number: .to(0), device=0, device_ids=[0].",
    why="PyTorch takes the number for the accelerator that it was built for or told of; before 2.4 that was CUDA, always.",
    instead="Say torch.device(type, index) with the accelerator that there is.",
    find=find,
    cases=(
        Case("x = x.to(torch.float32)\n", 0),
        Case("x.to(1, 2)\n", 0),
        Case("run(device=0)\n", 0, note="nothing says that this is PyTorch's"),
        Case('import torch\nd = torch.device(name)\ne = torch.device("cuda", rank)\nf = torch.device(f"cuda:{rank}")\n', 0),
        Case('import torch\nrank = torch.device("cpu")\nx = x.to(rank)\ny = y.to(ranks)\nz = z.to(rank, 1)\n', 0),
        Case("x = x.to(0)\n"),
        Case("x = x.to(self.config.local_rank)\ny = model.to(rank)\n", 2),
        Case("import torch\nd = torch.device(rank)\ne = torch.device(args.local_rank)\nf = torch.device(devices[-1])\n", 3),
        Case("import torch\nd = torch.device(rank % torch.cuda.device_count())\n"),
        Case("import torch\nm = torch.nn.DataParallel(m, device_ids=[0, 1])\n"),
        Case("import torch\ns = torch.load(p, map_location=0)\n"),
        Case("from transformers import pipeline\np = pipeline('text-generation', device=0)\n"),
    ),
    hints=(
        *(f"{before}{digit}".encode() for before in (".to(", "device(", "device=", "map_location=") for digit in range(10)),
        b"rank)",
        b"gpu_id)",
        b"gpuid)",
        b"device_id",
        b"device_index",
        b"deviceid",
        b"torch.device(",
        b" device(",
    ),
)
