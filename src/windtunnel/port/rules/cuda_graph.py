"""CUDA graphs."""

from __future__ import annotations

from collections.abc import Iterator

from windtunnel.port.finding import Finding
from windtunnel.port.rule import Case, Rule
from windtunnel.port.source import Source

_NAMES = tuple(
    f"torch.cuda.{module}{name}"
    for module in ("", "graphs.")
    for name in ("CUDAGraph", "graph", "make_graphed_callables", "graph_pool_handle")
)


def find(source: Source) -> Iterator[Finding]:
    python = source.python
    for node in python.uses(*_NAMES):
        yield source.finding(RULE, *python.span(node))


RULE = Rule(
    id="cuda-graph",
    kind="capability",
    languages=("python",),
    targets=("npu", "musa", "mlu", "xpu", "mps", "cpu"),
    safety="none",
    what="Recording and replaying CUDA graphs.",
    why="Graphs belong to the CUDA driver: other devices record theirs under their own names, or not at all.",
    instead="Leave graphs to torch.compile(mode='reduce-overhead'), or choose torch.accelerator.Graph where the plugin has it.",
    find=find,
    cases=(
        Case("import torch\ng = torch.fx.Graph()\n", 0),
        Case("from mine import graph\ng = graph()\n", 0, note="another's graph"),
        Case("import torch\ng = torch.cuda.CUDAGraph()\nwith torch.cuda.graph(g):\n    y = x * 2\n", 2),
        Case("from torch.cuda import CUDAGraph as G\ng = G()\n"),
        Case("from torch import cuda\nf = cuda.make_graphed_callables(f, (x,))\n"),
    ),
    hints=(b"cuda",),
)
