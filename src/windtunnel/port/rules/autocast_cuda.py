"""Automatic mixed precision that names CUDA."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from windtunnel.port.finding import Edit, Finding
from windtunnel.port.neutral import DEVICE_TYPE, NOT_PLAIN, device_edit, found, prefixed_call, torch_name
from windtunnel.port.python import PythonTree
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_CONTEXTS = ("torch.cuda.amp.autocast", "torch.cuda.amp.autocast_mode.autocast")
_DECORATORS = {
    "torch.cuda.amp.custom_fwd": "custom_fwd", "torch.cuda.amp.custom_bwd": "custom_bwd",
    "torch.cuda.amp.autocast_mode.custom_fwd": "custom_fwd", "torch.cuda.amp.autocast_mode.custom_bwd": "custom_bwd",
}  # fmt: skip
_SWITCHES = (
    "torch.get_autocast_gpu_dtype", "torch.set_autocast_gpu_dtype", "torch.set_autocast_enabled", "torch.is_autocast_enabled",
)  # fmt: skip
_PLACES = ("enabled", "dtype", "cache_enabled")
HANDED_ON = "it is handed on, and takes its arguments in another order than torch.autocast"


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for spelled in python.device_strings:
        if spelled.role == "autocast":
            edits = device_edit(python, spelled.node)
            yield found(source, RULE, spelled.node, edits, unfixed="" if edits else NOT_PLAIN)
    for node in python.uses(*_CONTEXTS):
        call = python.parent(node)
        edits = _autocast(python, call) if isinstance(call, ast.Call) and call.func is node else ()
        yield found(source, RULE, node, edits, unfixed="" if edits else HANDED_ON)
    for name, short in _DECORATORS.items():
        for node in python.uses(name):
            call = python.parent(node)
            func = f"{torch_name(python)}.amp.{short}"
            if isinstance(call, ast.Call) and call.func is node and not call.args:
                yield found(source, RULE, node, prefixed_call(python, call, func, f"device_type={DEVICE_TYPE}"))
            elif isinstance(call, ast.FunctionDef | ast.AsyncFunctionDef):
                yield found(source, RULE, node, (Edit(*python.span(node), f"{func}(device_type={DEVICE_TYPE})"),))
            else:
                yield found(source, RULE, node, unfixed=HANDED_ON)
    for node in python.uses("torch.cuda.amp"):
        if not isinstance(python.parent(node), ast.Attribute):
            yield found(source, RULE, node, unfixed=HANDED_ON)  # the module itself: hasattr(torch.cuda.amp, "autocast")
    yield from _handed_out(source)
    for node in python.uses(*_SWITCHES[:2]):
        call = python.parent(node)
        if isinstance(call, ast.Call) and call.func is node:
            func = f"{torch_name(python)}.{'set' if 'set' in _last(node) else 'get'}_autocast_dtype"
            yield found(source, RULE, node, prefixed_call(python, call, func, DEVICE_TYPE))


def _handed_out(source: Source) -> Iterator[Finding]:
    """Imports from torch.cuda.amp of which this file uses nothing, so that they are for others to use."""
    python = source.python
    read = {name.id for name in python.of(ast.Name) if isinstance(name.ctx, ast.Load)}
    for statement in python.of(ast.ImportFrom):
        if statement.module not in ("torch.cuda.amp", "torch.cuda.amp.autocast_mode", "torch.cuda.amp.grad_scaler"):
            continue
        if not any(isinstance(above, ast.Try | ast.If) for above in python.ancestors(statement)):
            continue  # what a fix leaves behind looks alike
        names = {alias.asname or alias.name for alias in statement.names}
        if names != {"*"} and not names & read:
            start = source.text.index(statement.module, python.start(statement))
            yield source.finding(RULE, start, start + len(statement.module), unfixed="it is imported for others to use")


def _last(node: ast.Attribute | ast.Name) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id


def _autocast(python: PythonTree, call: ast.Call) -> tuple[Edit, ...]:
    """``torch.cuda.amp.autocast(enabled, dtype, cache_enabled)`` as ``torch.autocast``, whose places are others."""
    if len(call.args) > len(_PLACES) or any(isinstance(a, ast.Starred) for a in call.args):
        return ()
    named = [Edit(python.start(a), python.start(a), f"{name}=") for a, name in zip(call.args, _PLACES, strict=False)]
    return (*prefixed_call(python, call, f"{torch_name(python)}.autocast", DEVICE_TYPE), *named)


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
)  # fmt: skip

RULE = Rule(
    id="autocast-cuda",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="Autocast for CUDA: torch.cuda.amp.autocast, torch.autocast('cuda'), custom_fwd and custom_bwd of torch.cuda.amp.",
    why="It switches mixed precision on for CUDA's operators only; elsewhere the program runs in full precision, unasked.",
    instead="Use torch.autocast with the type of the accelerator that there is.",
    find=find,
    cases=(
        Case("import torch\nwith torch.autocast(device.type):\n    pass\n", 0),
        Case('import torch\nwith torch.autocast("cpu"):\n    pass\n', 0),
        Case("from mine import autocast\nwith autocast():\n    pass\n", 0, note="another's"),
        Case("import torch\nimport torch.cuda.amp\n", 0, note="an import binds nothing"),
        Case(
            "import torch\nwith torch.autocast('cuda'):\n    pass\n", 1, _TOP + "with torch.autocast(_DEVICE_TYPE):\n    pass\n"
        ),
        Case(
            'import torch\nwith torch.amp.autocast(device_type="cuda", dtype=torch.bfloat16):\n    pass\n',
            1,
            _TOP + "with torch.amp.autocast(device_type=_DEVICE_TYPE, dtype=torch.bfloat16):\n    pass\n",
        ),
        Case(
            "import torch\nwith torch.cuda.amp.autocast():\n    pass\n",
            1,
            _TOP + "with torch.autocast(_DEVICE_TYPE):\n    pass\n",
        ),
        Case(
            "import torch\nwith torch.cuda.amp.autocast(use_amp, torch.bfloat16):\n    pass\n",
            1,
            _TOP + "with torch.autocast(_DEVICE_TYPE, enabled=use_amp, dtype=torch.bfloat16):\n    pass\n",
        ),
        Case(
            "import torch\nfrom torch.cuda.amp import custom_bwd, custom_fwd\n\n\nclass F(torch.autograd.Function):\n"
            "    @staticmethod\n    @custom_fwd(cast_inputs=torch.float16)\n    def forward(ctx, x):\n        return x\n\n"
            "    @staticmethod\n    @custom_bwd\n    def backward(ctx, g):\n        return g\n",
            2,
            "import torch\nfrom torch.cuda.amp import custom_bwd, custom_fwd\n"
            + _TOP.removeprefix("import torch\n")
            + "\n\nclass F(torch.autograd.Function):\n"
            "    @staticmethod\n    @torch.amp.custom_fwd(device_type=_DEVICE_TYPE, cast_inputs=torch.float16)\n"
            "    def forward(ctx, x):\n        return x\n\n"
            "    @staticmethod\n    @torch.amp.custom_bwd(device_type=_DEVICE_TYPE)\n"
            "    def backward(ctx, g):\n        return g\n",
        ),
        Case(
            "try:\n    from torch.amp import custom_fwd\nexcept ImportError:\n    from torch.cuda.amp import custom_fwd\n",
            1,
            None,
            note="for others to use",
        ),
        Case(
            "import torch\nd = torch.get_autocast_gpu_dtype()\n",
            1,
            _TOP + "d = torch.get_autocast_dtype(_DEVICE_TYPE)\n",
        ),
        Case('import torch\nnative = hasattr(torch.cuda.amp, "autocast")\n', 1, None),
        Case("import torch\nprecision = torch.cuda.amp.autocast if amp else nullcontext\n", 1, None),
    ),
    hints=(b"cuda", b"autocast_gpu"),
)
