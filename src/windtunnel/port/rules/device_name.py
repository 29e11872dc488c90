"""Names of NVIDIA's products that a program asks for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_PRODUCT = re.compile(
    r"\b(NVIDIA|Tesla|GeForce|Quadro|[AHVBP](10|16|30|40|100|200|300|800)|L4|L40S?|RTX|GTX|T4|GH200|GB200)\b", re.I
)


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for compare in python.of(ast.Compare):
        sides = [compare.left, *compare.comparators]
        texts = [n for s in sides for n in ast.walk(s) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        product = next((t for t in texts if _PRODUCT.search(str(t.value))), None)
        if product is not None and any(_asks_name(source, side) for side in sides):
            yield source.finding(RULE, *python.span(product))


def _asks_name(source: Source, node: ast.expr) -> bool:
    python = source.python
    for inside in ast.walk(node):
        if isinstance(inside, ast.Call) and python.resolve(inside.func) == "torch.cuda.get_device_name":
            return True
        if isinstance(inside, ast.Name):
            bound = python.binding(inside)[1]
            if isinstance(bound, ast.expr) and bound is not node and "get_device_name" in ast.unparse(bound):
                return True
    return False


RULE = Rule(
    id="device-name",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="A product of NVIDIA asked for by its name.",
    why="What the name stands for (a dtype, an amount of memory, a kernel) may be there under another name, and "
    "is not looked for.",
    instead="Ask for what the branch needs instead of for who makes it.",
    find=find,
    cases=(
        Case('name = "A100"\n', 0),
        Case("import torch\nprint(torch.cuda.get_device_name(0))\n", 0, note="only shown"),
        Case('import torch\nif "A100" in torch.cuda.get_device_name(0):\n    pass\n'),
        Case('import torch\nname = torch.cuda.get_device_name()\nif name.startswith("x") or "H100" in name:\n    pass\n'),
    ),
    hints=(b"get_device_name",),
)
