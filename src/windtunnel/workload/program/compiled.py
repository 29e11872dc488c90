"""``torch.compile`` on the virtual device: nothing is compiled; what runs within is marked, to be priced as fused kernels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

Region = Callable[[str], AbstractContextManager[None]]


class OptimizedModule(torch.nn.Module):
    """What ``torch.compile(module)`` gives: the module, known as ``_orig_mod`` as PyTorch names it, called as one region."""

    def __init__(self, module: torch.nn.Module, region: Region, kind: str) -> None:
        super().__init__()
        self._orig_mod = module
        self._kind = kind
        self._region = region

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with self._region(self._kind):
            return self._orig_mod(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            return self._modules["_orig_mod"]
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._modules["_orig_mod"], name)

    def train(self, mode: bool = True) -> OptimizedModule:
        self._orig_mod.train(mode)
        return super().train(mode)


def compiler(region: Region) -> Callable[..., Any]:
    """A ``torch.compile`` whose results run eagerly within ``region``; modes that replay graphs are told apart."""

    def compile(model: Any = None, *, mode: str | None = None, options: Any = None, disable: bool = False, **_: Any) -> Any:  # noqa: A001
        if model is None:
            return lambda found: compile(found, mode=mode, options=options, disable=disable)
        if disable:
            return model
        graph = mode in ("reduce-overhead", "max-autotune") or bool((options or {}).get("triton.cudagraphs"))
        kind = "graph" if graph else "compiled"
        if isinstance(model, torch.nn.Module):
            return OptimizedModule(model, region, kind)

        @functools.wraps(model)
        def run(*args: Any, **kwargs: Any) -> Any:
            with region(kind):
                return model(*args, **kwargs)

        return run

    return compile
