"""A model that a function makes, called once as a program: ``python -m windtunnel.run.factory module:factory DEVICE SIZE``.

The function takes no arguments and returns a module, which is given two square images of three channels, or a module and its
arguments (a tuple). Its result is summed and differentiated where it has parameters that learn. ``timm:NAME`` makes timm's.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from windtunnel.errors import InvalidInputError

IMAGES = 2


def make(name: str, size: int) -> tuple[torch.nn.Module, tuple[Any, ...]]:
    """The module and what it is called with. Raises InvalidInputError that names what is missing."""
    source, _, what = name.partition(":")
    if source == "timm":
        return importlib.import_module("timm").create_model(what, pretrained=False), (torch.randn(IMAGES, 3, size, size),)
    try:
        factory = getattr(importlib.import_module(source), what)
    except (ImportError, AttributeError) as problem:
        raise InvalidInputError(name, str(problem))
    made = factory()
    module, *inputs = made if isinstance(made, tuple) else (made, torch.randn(IMAGES, 3, size, size))
    if not isinstance(module, torch.nn.Module):
        raise InvalidInputError(name, f"gave a {type(module).__name__}, which is no torch.nn.Module")
    return module, tuple(inputs)


def tensors(value: Any) -> list[torch.Tensor]:
    """The tensors within lists, tuples and dicts."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def on_device(value: Any, device: str) -> Any:
    """The same with its tensors on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: on_device(part, device) for key, part in value.items()}
    return type(value)(on_device(part, device) for part in value) if isinstance(value, list | tuple) else value


def main(argv: Sequence[str]) -> None:
    name, device, size = argv
    sys.path.insert(0, str(Path.cwd()))
    module, inputs = make(name, int(size))
    module = module.to(device)
    results = tensors(module(*on_device(inputs, device)))
    learned = [result.float().sum() for result in results if result.requires_grad]
    if learned:
        torch.stack(learned).sum().backward()


if __name__ == "__main__":
    main(sys.argv[1:])
