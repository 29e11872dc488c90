"""Functions of ``torch.cuda`` that the modules of other accelerators have under the same names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.neutral import DEVICE_MODULE, MODULE, TORCH, found, name_edit, torch_name
from windtunnel.port.python import string
from windtunnel.port.rule import Case, Rule
from windtunnel.port.rules._guards import guards_cuda_only
from windtunnel.port.source import Source

EXACT = {
    "is_available": "accelerator.is_available",
    "device_count": "accelerator.device_count",
    "OutOfMemoryError": "OutOfMemoryError",
}
"""What PyTorch has under a neutral name that answers just as torch.cuda does where there is CUDA, and where there is nothing."""

SHARED = frozenset(
    {
        "current_device", "set_device", "synchronize", "empty_cache", "memory_allocated", "max_memory_allocated",
        "memory_reserved", "max_memory_reserved", "memory_cached", "max_memory_cached", "memory_stats", "memory_summary",
        "reset_peak_memory_stats", "reset_max_memory_allocated", "reset_max_memory_cached", "reset_accumulated_memory_stats",
        "mem_get_info", "manual_seed", "manual_seed_all", "seed", "seed_all", "initial_seed", "get_rng_state",
        "set_rng_state", "get_rng_state_all", "set_rng_state_all", "device", "device_of", "get_device_name", "is_initialized",
        "init", "is_bf16_supported", "memory_snapshot", "set_per_process_memory_fraction", "can_device_access_peer",
        "default_generators", "random", "memory",
    }
)  # fmt: skip
"""What torch.npu, torch.musa, torch.mlu and torch.xpu have as torch.cuda has it (torch.mps has the seeds, synchronize,
empty_cache and device_count)."""

STREAMS = frozenset(
    {
        "Stream", "Event", "ExternalStream", "StreamContext", "stream", "current_stream", "default_stream", "set_stream",
    }
)  # fmt: skip
_PATCHED = re.compile(r"(?:\w+\.)*torch\.(?:cuda|backends\.cud\w+)(?:\.\w+)*")
ASSIGNED = "the program puts something of its own there"


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for name in (*SHARED, *EXACT):
        for node in python.uses(f"torch.cuda.{name}", f"torch.cuda.random.{name}", f"torch.cuda.memory.{name}"):
            if python.text(node).endswith((".random", ".memory")) and isinstance(python.parent(node), ast.Attribute):
                continue
            torch = torch_name(python)
            guarded = guards_cuda_only(python, node) if name in EXACT else ""
            if guarded:
                yield found(source, RULE, node, unfixed=guarded)
            elif name in EXACT:
                yield found(source, RULE, node, name_edit(python, node, f"{torch}.{EXACT[name]}"), TORCH)
            else:
                yield found(source, RULE, node, name_edit(python, node, f"{DEVICE_MODULE}.{name}"), MODULE)
    for node in python.uses("torch.cuda"):
        # the module itself, handed on: torch.cuda.x was seen above, or is no concern of this rule
        if not isinstance(python.parent(node), ast.Attribute):
            yield found(source, RULE, node, name_edit(python, node, DEVICE_MODULE), MODULE)
    for call in python.of(ast.Call):
        # mock.patch("torch.cuda.is_available"): put out of the way by its name
        func, named = call.func, string(call.args[0]) if call.args else None
        last = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
        if named and last in ("patch", "setattr", "delattr") and _PATCHED.fullmatch(named):
            yield found(source, RULE, call.args[0], unfixed=ASSIGNED)
    for attribute in python.of(ast.Attribute):
        if not isinstance(attribute.ctx, ast.Load) and python.resolve(attribute.value) == "torch.cuda":
            yield found(source, RULE, attribute, unfixed=ASSIGNED)


_TOP = (
    'import torch\n\n_DEVICE_TYPE = (torch.accelerator.current_accelerator() or torch.device("cuda")).type\n'
    "_DEVICE_MODULE = torch.get_device_module(_DEVICE_TYPE)\n"
)  # fmt: skip

RULE = Rule(
    id="torch-cuda-call",
    kind="spelling",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps"),
    safety="safe",
    what="A function of torch.cuda that other accelerators have under the same name.",
    why="torch.cuda speaks to CUDA alone: elsewhere it says that there is no device, or raises.",
    instead="Use torch.accelerator, or the same function of torch.get_device_module() of the accelerator that there is.",
    find=find,
    cases=(
        Case("import torch\nx = torch.accelerator.is_available()\n", 0),
        Case("import torch.cuda\n", 0, note="an import binds nothing"),
        Case('patch("mine.cuda.f")\nlog("torch.cuda.is_available")\n', 0, note="another's, and a message"),
        Case("from mine import cuda\ncuda.synchronize()\n", 0, note="another's cuda"),
        Case("import torch\n\n\ndef f(torch):\n    torch.cuda.synchronize()\n", 0, note="not that torch"),
        Case(
            "import torch\nif torch.cuda.is_available():\n    pass\n",
            1,
            "import torch\nif torch.accelerator.is_available():\n    pass\n",
        ),
        Case(
            "import torch\ntry:\n    f()\nexcept torch.cuda.OutOfMemoryError:\n    pass\n",
            1,
            "import torch\ntry:\n    f()\nexcept torch.OutOfMemoryError:\n    pass\n",
        ),
        Case("import torch\nn = torch.cuda.device_count()\n", 1, "import torch\nn = torch.accelerator.device_count()\n"),
        Case("import torch\ntorch.cuda.empty_cache()\n", 1, _TOP + "_DEVICE_MODULE.empty_cache()\n"),
        Case(
            "import torch\nfrom torch import cuda\ncuda.manual_seed_all(0)\n",
            1,
            "import torch\nfrom torch import cuda\n"
            + _TOP.removeprefix("import torch\n")
            + "_DEVICE_MODULE.manual_seed_all(0)\n",
        ),
        Case(
            "import torch\nimport torch.cuda as tc\ntc.set_device(0)\n",
            1,
            "import torch\nimport torch.cuda as tc\n" + _TOP.removeprefix("import torch\n") + "_DEVICE_MODULE.set_device(0)\n",
        ),
        Case(
            "from torch.cuda import *\nsynchronize()\n",
            1,
            "from torch.cuda import *\nimport torch\n" + _TOP.removeprefix("import torch\n") + "_DEVICE_MODULE.synchronize()\n",
        ),
        Case("import torch\nwait = torch.cuda.synchronize\nwait()\n", 1, _TOP + "wait = _DEVICE_MODULE.synchronize\nwait()\n"),
        Case(
            "import torch\nfree = getattr(torch.cuda, 'empty_cache', None)\n",
            1,
            _TOP + "free = getattr(_DEVICE_MODULE, 'empty_cache', None)\n",
        ),
        Case("import torch\nwith torch.cuda.device(1):\n    pass\n", 1, _TOP + "with _DEVICE_MODULE.device(1):\n    pass\n"),
        Case("import torch\ntorch.cuda.is_available = lambda: False\n", 1, None),
        Case(
            '@patch("torch.cuda.device_count", return_value=2)\ndef test(monkeypatch):\n'
            '    monkeypatch.setattr("torch.cuda.is_available", f)\n',
            2,
            None,
        ),
        Case("import torch\nskip = not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0)\n", 1, None),
        Case(
            "import torch\nif torch.cuda.is_available():\n    g = torch.cuda.CUDAGraph()\n", 1, None, note="it guards CUDA's own"
        ),
        Case(
            'import pytest\n\ntorch = pytest.importorskip("torch")\ntorch.cuda.synchronize()\n',
            1,
            None,
            note="torch may not be there",
        ),
    ),
    hints=(b"cuda",),
)
