"""NCCL named as the library through which processes speak."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.neutral import DEVICE_TYPE, TYPE, found, torch_name
from windtunnel.port.python import PythonTree, keyword, string
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_BACKEND_NAME = re.compile(r"backend|^pg_|process_group", re.I)
_STARTS = re.compile(r"process_?group|init_?(?:dist|ddp)|(?:dist|ddp)\w*_init|setup_?(?:dist|ddp)|collective_?group")
_CALLS = (
    "torch.distributed.init_process_group",
    "torch.distributed.new_group",
    "torch.distributed.distributed_c10d.init_process_group",
)
_LIBRARY = (
    "torch.distributed.is_nccl_available", "torch.distributed.ProcessGroupNCCL",
    "torch.distributed.distributed_c10d.ProcessGroupNCCL",
    "torch.cuda.nccl", "torch.distributed.Backend.NCCL", "torch.distributed.distributed_c10d.Backend.NCCL",
    "torch._C._distributed_c10d.ProcessGroupNCCL",
)  # fmt: skip
_LIBRARIES_OF_OTHERS = frozenset({"hccl", "mccl", "cncl", "xccl", "ccl", "rccl"})
MIXED = "the string names several libraries"
OTHER = "it is asked of another library than torch.distributed, which knows NCCL and gloo alone"
OWN_API = "it is NCCL's own interface, without a counterpart elsewhere"


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for constant in python.of(ast.Constant):
        value = constant.value
        if not isinstance(value, str) or not re.search(r"\bnccl\b", value, re.I) or len(value) > 60:
            continue
        if constant in python.docstrings or isinstance(python.parent(constant), ast.JoinedStr):
            continue
        if value.lower() == "nccl" and _is_backend(python, constant):
            torch = torch_name(python)
            text = f"{torch}.distributed.get_default_backend_for_device({DEVICE_TYPE})"
            exact = value == "nccl" and python.text(constant)[1:-1] == value
            other = _other_library(python, constant)
            edits = (Edit(*python.span(constant), text),) if exact and not other else ()
            yield found(
                source, RULE, constant, edits, (*TYPE,), unfixed="" if edits else OTHER if other else "not written as 'nccl'"
            )
        elif re.fullmatch(r"(\w+:\w+,)*cuda:nccl(,\w+:\w+)*", value):
            yield found(source, RULE, constant, unfixed=MIXED)
    for node in python.uses(*_LIBRARY):
        if not (isinstance(python.parent(node), ast.Attribute) and python.resolve(node) != "torch.cuda.nccl"):
            yield found(source, RULE, node, unfixed=OWN_API)


def _other_library(python: PythonTree, node: ast.AST) -> bool:
    """Whether the call that takes a string is not PyTorch's: ``ray.util.collective.init_collective_group``."""
    call = next((a for a in python.ancestors(node) if isinstance(a, ast.Call | ast.stmt)), None)
    return isinstance(call, ast.Call) and "collective_group" in ast.unparse(call.func)


def _is_backend(python: PythonTree, node: ast.AST, depth: int = 0) -> bool:
    """Whether a string comes to where a backend of torch.distributed is asked for, by the names on its way."""
    below: ast.AST = node
    for above in python.ancestors(node):
        match above:
            case ast.IfExp(test=test) if test is not below:
                pass
            case ast.BoolOp() | ast.NamedExpr():
                pass
            case ast.List() | ast.Tuple() | ast.Set():
                if any((string(e) or "").lower() in _LIBRARIES_OF_OTHERS for e in above.elts):
                    return False
            case ast.Call():
                callee = python.resolve(above.func)
                last = callee.rsplit(".", 1)[-1]
                if not last and isinstance(above.func, ast.Attribute | ast.Name):
                    last = above.func.attr if isinstance(above.func, ast.Attribute) else above.func.id
                if (
                    callee in _CALLS
                    or last in ("init_process_group", "new_group", "init_distributed", "is_backend_available")
                    or _STARTS.search(last)
                ):
                    return True
                named = [s for a in above.args if (s := string(a))]
                return any(_BACKEND_NAME.search(n) for n in named if n != "nccl")
            case ast.keyword():
                if above.arg and _BACKEND_NAME.search(above.arg):
                    return True
                call = python.parent(above)
                if above.arg not in ("default", "const", "choices") or not isinstance(call, ast.Call):
                    return False
                named = [s for a in (*call.args, keyword(call, "dest")) if (s := string(a))]
                return any(_BACKEND_NAME.search(n) for n in named)
            case ast.Assign(targets=targets):
                return any(_names_backend(t) for t in targets)
            case ast.AnnAssign(target=target):
                return _names_backend(target)
            case ast.arguments():
                positional = [*above.posonlyargs, *above.args]
                pairs = [*zip(positional[len(positional) - len(above.defaults) :], above.defaults, strict=True)]
                pairs += [(a, d) for a, d in zip(above.kwonlyargs, above.kw_defaults, strict=True) if d]
                return any(d is below and _BACKEND_NAME.search(a.arg) for a, d in pairs)
            case ast.Compare():
                sides = [above.left, *above.comparators]
                return any(s is not below and ("backend" in ast.unparse(s).lower()) for s in sides)
            case ast.Dict():
                if any((string(v) or "").lower() in _LIBRARIES_OF_OTHERS for v in above.values):
                    return False
                keys = [string(k) or "" for k, v in zip(above.keys, above.values, strict=True) if v is below]
                return any(_BACKEND_NAME.search(k) or k in ("cuda", "gpu") for k in keys)
            case ast.Return():
                function = python.function(above)
                return function is not None and bool(_BACKEND_NAME.search(function.name))
            case _:
                return False
        below = above
    return False


def _names_backend(target: ast.expr) -> bool:
    name = target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""
    if isinstance(target, ast.Subscript):
        name = string(target.slice) or ""
    return bool(_BACKEND_NAME.search(name))


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
)  # fmt: skip

RULE = Rule(
    id="nccl-backend",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="safe",
    what="NCCL named as the backend of torch.distributed.",
    why="NCCL moves CUDA's memory alone; others bring their own library (hccl, mccl, cncl, xccl), the CPU has gloo.",
    instead="Ask torch.distributed.get_default_backend_for_device() for that of the accelerator that there is.",
    find=find,
    cases=(
        Case('import torch\nprint("nccl")\n', 0),
        Case('import torch\nif torch.distributed.get_backend() in ("nccl", "hccl"):\n    pass\n', 0, note="others are offered"),
        Case('import torch\nnames = ["nccl"]\n', 0),
        Case('backend = {"cuda": "nccl", "npu": "hccl"}[kind]\n', 0, note="others are offered"),
        Case('import torch\ntorch.distributed.init_process_group("gloo")\n', 0),
        Case(
            'import torch\nimport torch.distributed as dist\ndist.init_process_group("nccl")\n',
            1,
            "import torch\nimport torch.distributed as dist\n"
            + _TOP.removeprefix("import torch\n")
            + "dist.init_process_group(torch.distributed.get_default_backend_for_device(_DEVICE_TYPE))\n",
        ),
        Case(
            "import torch\nbackend = 'nccl' if torch.accelerator.is_available() else 'gloo'\n",
            1,
            _TOP + "backend = torch.distributed.get_default_backend_for_device(_DEVICE_TYPE) "
            "if torch.accelerator.is_available() else 'gloo'\n",
        ),
        Case(
            "import torch\np.add_argument('--dist-backend', default='nccl')\n",
            1,
            _TOP + "p.add_argument('--dist-backend', default=torch.distributed.get_default_backend_for_device(_DEVICE_TYPE))\n",
        ),
        Case('import torch\ntorch.distributed.init_process_group(backend="cpu:gloo,cuda:nccl")\n', 1, None),
        Case(
            'init_dist(rank, "nccl")\np.add_argument("--backend", choices=["nccl", "gloo"])\nb = {"cuda": "nccl"}[d]\n',
            3,
            None,
        ),
        Case('import torch\nfrom ray.util import collective\ncollective.init_collective_group(2, 0, "nccl", "g")\n', 1, None),
        Case("import torch\nif torch.distributed.is_nccl_available():\n    pass\n", 1, None),
    ),
    hints=(b"nccl", b"NCCL"),
)
