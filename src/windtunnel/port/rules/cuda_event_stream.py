"""Streams and events of CUDA."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.neutral import DEVICE_MODULE, MODULE, TORCH, found, is_annotation, name_edit, torch_name
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_NAMES = ("Stream", "Event", "StreamContext", "stream", "current_stream", "default_stream", "set_stream")
_QUOTED = re.compile(r"\btorch\.cuda\.(?:Stream|Event)\b")
BASE = "a class made from CUDA's own cannot be made from another's without a look"


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for constant in python.of(ast.Constant):
        if isinstance(constant.value, str) and _QUOTED.search(constant.value) and is_annotation(python, constant):
            yield found(source, RULE, constant, unfixed="the type stands in quotes")
    for name in _NAMES:
        for node in python.uses(f"torch.cuda.{name}", f"torch.cuda.streams.{name}"):
            if isinstance(python.parent(node), ast.ClassDef):
                yield found(source, RULE, node, unfixed=BASE)
            elif name in ("Stream", "Event") and is_annotation(python, node):
                # the class that streams of every device have above them; a type is read even where nothing runs
                yield found(source, RULE, node, name_edit(python, node, f"{torch_name(python)}.{name}"), TORCH)
            else:
                yield found(source, RULE, node, name_edit(python, node, f"{DEVICE_MODULE}.{name}"), MODULE)


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
    "_DEVICE_MODULE = torch.get_device_module(_DEVICE_TYPE)\n"
)  # fmt: skip

RULE = Rule(
    id="cuda-event-stream",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="A stream or an event of torch.cuda.",
    why="They order and time work on CUDA alone; other accelerators have streams and events of their own.",
    instead="Take Stream, Event and stream from torch.get_device_module() of the accelerator that there is; "
    "torch.Stream in types.",
    find=find,
    cases=(
        Case("import threading\ne = threading.Event()\n", 0),
        Case("import torch\ns = torch.Stream()\n", 0, note="neutral"),
        Case(
            "import torch\nt = torch.cuda.Event(enable_timing=True)\n", 1, _TOP + "t = _DEVICE_MODULE.Event(enable_timing=True)\n"
        ),
        Case("import torch\nwith torch.cuda.stream(s):\n    pass\n", 1, _TOP + "with _DEVICE_MODULE.stream(s):\n    pass\n"),
        Case(
            "import torch\n\n\ndef f(s: torch.cuda.Stream | None) -> torch.cuda.Event:\n    pass\n",
            2,
            "import torch\n\n\ndef f(s: torch.Stream | None) -> torch.Event:\n    pass\n",
            note="types",
        ),
        Case(
            "import torch\ntorch.cuda.current_stream().wait_stream(s)\n",
            1,
            _TOP + "_DEVICE_MODULE.current_stream().wait_stream(s)\n",
        ),
        Case("import torch\n\n\nclass Mine(torch.cuda.Stream):\n    pass\n", 1, None),
        Case('import torch\n\n\ndef f(s: "torch.cuda.Stream | None" = None):\n    pass\n'),
    ),
    hints=(b"cuda",),
)
