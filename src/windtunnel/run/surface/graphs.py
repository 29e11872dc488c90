"""Captured graphs: what a program launches while it captures runs only when it replays, at a graph's host cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from windtunnel.errors import UnsupportedError
from windtunnel.run.surface.state import DeviceState


def graphs(state: DeviceState, stream_class: Any) -> dict[str, Any]:
    """The classes and functions of ``torch.<device>`` about graphs, by name."""
    machine = state.machine
    capturing: list[Any] = []

    class Graph:
        """``torch.cuda.CUDAGraph``: the launches of a captured stretch; no values are computed when they are replayed."""

        def __init__(self, keep_graph: bool = False) -> None:
            self._launches: list[tuple[Any, ...]] | None = None
            self._host_s = 0.0

        def capture_begin(self, pool: Any = None, capture_error_mode: str = "global", **_: Any) -> None:
            if capturing:
                raise RuntimeError("a graph is being captured already")
            if state.values:
                raise UnsupportedError("a captured graph cannot be replayed with values: its kernels compute nothing here")
            machine.flush()
            launches: list[tuple[Any, ...]] = []
            self._launches, self._host_s = launches, machine.timeline.host_s

            def keep(op: str, price: Any, origin: Any, host_s: float, calls: int = 1, stream: int | None = None) -> None:
                launches.append((op, price, origin, calls, machine.timeline.stream if stream is None else stream))

            machine._launch = keep  # type: ignore[method-assign]
            capturing.append(self)

        def capture_end(self) -> None:
            machine.flush()
            capturing.remove(self)
            del machine._launch

        def instantiate(self) -> None:
            pass

        def replay(self) -> None:
            if self._launches is None:
                raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
            cost = machine.host["graph"]
            machine.flush()
            timeline = machine.timeline
            timeline.host_s += cost.step_s
            here = timeline.stream
            for op, price, origin, calls, stream in self._launches:
                machine._launch(op, price, origin, cost.call_s, calls, stream if stream in timeline.ends else here)
                if stream != here:
                    timeline.hold(here, timeline.ends[stream])

        def reset(self) -> None:
            self._launches = None

        def pool(self) -> tuple[int, int]:
            return 0, id(self)

        def enable_debug_mode(self) -> None:
            pass

        def debug_dump(self, debug_path: str) -> None:
            raise RuntimeError("a graph of a virtual device cannot be dumped")

    class graph:  # noqa: N801 - PyTorch's name
        """``torch.cuda.graph``: captures what is launched while entered into a graph, on a stream of its own."""

        def __init__(
            self, cuda_graph: Any, pool: Any = None, stream: Any = None, capture_error_mode: str = "global", **_: Any
        ) -> None:
            self.cuda_graph = cuda_graph
            self._stream = stream_class() if stream is None else stream

        def __enter__(self) -> None:
            machine.waited()
            self._stream.__enter__()
            self.cuda_graph.capture_begin()

        def __exit__(self, *problem: object) -> None:
            self.cuda_graph.capture_end()
            self._stream.__exit__(*problem)

    def make_graphed_callables(callables: Any, sample_args: Any, num_warmup_iters: int = 3, **_: Any) -> Any:
        """The same callables, whose operators (and those of their backward) are launched as a graph's are."""
        several = isinstance(callables, tuple)
        made = []
        for function, args in zip(
            callables if several else (callables,), sample_args if several else (sample_args,), strict=True
        ):
            for _warmup in range(num_warmup_iters):
                function(*args)
            made.append(_as_graph(function, machine.sites.region))
        return tuple(made) if several else made[0]

    return {
        "CUDAGraph": Graph, "NPUGraph": Graph, "Graph": Graph, "graph": graph, "make_graphed_callables": make_graphed_callables,
        "graph_pool_handle": lambda: (0, 0), "is_current_stream_capturing": lambda: bool(capturing),
    }  # fmt: skip


def _as_graph(function: Any, region: Callable[[str], Any]) -> Any:
    if isinstance(function, torch.nn.Module):
        forward = function.forward

        def within(*args: Any, **kwargs: Any) -> Any:
            with region("graph"):
                return forward(*args, **kwargs)

        function.forward = within
        return function

    def run(*args: Any, **kwargs: Any) -> Any:
        with region("graph"):
            return function(*args, **kwargs)

    return run
