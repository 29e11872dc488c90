"""Where an operator call comes from: the source line, the module, and whether it is forward, backward or the optimiser's."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch.nn.modules import module as torch_module
from torch.optim import optimizer as torch_optimizer

import windtunnel
from windtunnel.workload.program.call import Phase, Site

_LIBRARIES = (
    str(Path(torch.__file__).parent),
    str(Path(windtunnel.__file__).parent),
    "<frozen",
    "<string>",
    "<__array_function__",
)
_MOST_REMEMBERED = 1 << 20


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call comes from. region: the stretch it belongs to ("", "compiled", "recurrent"), with the number of the entry."""

    site: Site | None
    module: str
    phase: Phase
    region: str = ""
    entry: int = 0


class Sites:
    """Follows the program: its module calls, its optimiser's steps, and for the backward pass where the forward came from."""

    def __init__(self) -> None:
        self._own: dict[CodeType, bool] = {}
        self._sites: dict[tuple[CodeType, int], Site] = {}
        self._forward: dict[int, Origin] = {}
        self._names: dict[int, str] = {}
        self._here = threading.local()
        self.optimizing = False
        self._handles: list[Any] = []
        self._entries = 0
        self.forwards = 0
        self.steps = 0
        self.trains = False  # an optimiser was made, so that steps are to be expected
        self._made: Any = None
        self.on_step: Any = None
        self.on_forward: Any = None
        self.on_root: Any = None
        self.on_enter: Any = None
        self.on_leave: Any = None

    # --- following the program

    def follow(self) -> None:
        """Register the hooks; ``leave`` takes them away."""
        self._handles = [
            torch_module.register_module_forward_pre_hook(self._enter_module),
            torch_module.register_module_forward_hook(self._leave_module, with_kwargs=True, always_call=True),
            torch_optimizer.register_optimizer_step_pre_hook(self._enter_step),
            torch_optimizer.register_optimizer_step_post_hook(self._leave_step),
        ]
        made = self._made = torch.optim.Optimizer.__init__

        def noted(optimizer: Any, *args: Any, **kwargs: Any) -> None:
            self.trains = True
            made(optimizer, *args, **kwargs)

        torch.optim.Optimizer.__init__ = noted  # type: ignore[method-assign, assignment]

    def leave(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self._made is not None:
            torch.optim.Optimizer.__init__ = self._made  # type: ignore[method-assign]
            self._made = None

    def _stack(self) -> list[Any]:
        try:
            return self._here.modules  # type: ignore[no-any-return]
        except AttributeError:
            self._here.modules = []
            return self._here.modules  # type: ignore[no-any-return]

    def _enter_module(self, module: torch.nn.Module, _args: Any) -> None:
        stack = self._stack()
        if not stack and id(module) not in self._names:
            self._names.clear()
            for name, part in module.named_modules():
                self._names[id(part)] = name
            self._names[id(module)] = ""
            if self.on_root is not None:
                self.on_root(module)
        name = self._names.get(id(module))
        if name is None:
            name = f"{stack[-1]}.{type(module).__name__}".lstrip(".") if stack else ""
        if not stack and self.on_enter is not None and not self.in_backward():
            self.on_enter(module, name)
        stack.append(name)

    def _leave_module(self, module: torch.nn.Module, args: Any, kwargs: Any, output: Any = None) -> None:
        # after an exception PyTorch leaves the keyword arguments out, and there is no output
        stack = self._stack()
        if stack:
            stack.pop()
        if not stack and not self.in_backward():
            if self.on_leave is not None:
                self.on_leave(module, args, kwargs, output)
            self.forwards += 1
            if self.on_forward is not None:
                self.on_forward()

    def _enter_step(self, _optimizer: Any, _args: Any, _kwargs: Any) -> None:
        self.optimizing = True

    def _leave_step(self, _optimizer: Any, _args: Any, _kwargs: Any) -> None:
        self.optimizing = False
        self.steps += 1
        if self.on_step is not None:
            self.on_step()

    @staticmethod
    def in_backward() -> bool:
        """Whether autograd's engine is running a backward pass on this thread."""
        return bool(torch._C._current_graph_task_id() != -1)

    def region(self, kind: str) -> _Region:
        """A stretch of the program whose operators belong together."""
        return _Region(self, kind)

    # --- telling

    def module(self) -> str | None:
        """The name of the module whose forward runs on this thread; None outside any."""
        stack = self._stack()
        return stack[-1] if stack else None

    def site(self) -> Site | None:
        """The program's line that is running on this thread."""
        return self._site()

    def origin(self) -> Origin:
        """Where the operator that is being called right now comes from."""
        node = torch._C._current_autograd_node() if self.in_backward() else None
        region, entry = getattr(self._here, "region", ("", 0))
        if node is not None:
            forward = self._forward.get(node._sequence_nr())
            site = self._site()
            if forward is not None:
                return Origin(forward.site, forward.module, "backward", forward.region, forward.entry)
            return Origin(site, "", "backward", region, entry)
        stack = self._stack()
        phase: Phase = "optimizer" if self.optimizing else "forward"
        here = Origin(self._site(), stack[-1] if stack else "", phase, region, entry)
        if torch.is_grad_enabled() and not self.optimizing:
            if len(self._forward) > _MOST_REMEMBERED:
                for old in list(self._forward)[: _MOST_REMEMBERED // 2]:
                    del self._forward[old]
            # the node for this call was numbered just before the dispatcher came here
            self._forward[torch._C._autograd._get_sequence_nr() - 1] = here
        return here

    def _site(self) -> Site | None:
        """The innermost line of the program, or of a library that it uses, outside PyTorch and this package."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            code = frame.f_code
            own = self._own.get(code)
            if own is None:
                own = self._own[code] = not code.co_filename.startswith(_LIBRARIES)
            if own:
                key = (code, frame.f_lineno)
                found = self._sites.get(key)
                if found is None:
                    found = self._sites[key] = Site(code.co_filename, frame.f_lineno, code.co_name)
                return found
            frame = frame.f_back
        return None

    def lines(self) -> Iterator[Site]:
        """Every line of the program's own that is on the stack now, innermost first."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if not frame.f_code.co_filename.startswith(_LIBRARIES):
                yield Site(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
            frame = frame.f_back


class _Region:
    """Marks this thread as within a region while it is entered; the outermost one counts."""

    def __init__(self, sites: Sites, kind: str) -> None:
        self._sites = sites
        self._kind = kind
        self._outer: tuple[str, int] = ("", 0)

    def __enter__(self) -> None:
        here = self._sites._here
        self._outer = getattr(here, "region", ("", 0))
        if not self._outer[0]:
            self._sites._entries += 1
            here.region = (self._kind, self._sites._entries)

    def __exit__(self, *_: object) -> None:
        self._sites._here.region = self._outer
