"""Arguments that answer for themselves when a function of PyTorch is called on them, as torch.fx's do while it traces."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx


def products(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ij,kj->ik", torch.nn.functional.softmax(x, dim=-1), y)


def test_tracing_records_functions_whole(on) -> None:  # type: ignore[no-untyped-def]
    called = [node.target for node in fx.symbolic_trace(products).graph.nodes if node.op == "call_function"]
    assert called == [torch.nn.functional.softmax, torch.einsum]


class Named:
    """No tensor: says which function it was given to."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> str:
        return str(func.__name__)


def test_a_class_of_the_programs_own_answers_for_itself(on) -> None:  # type: ignore[no-untyped-def]
    assert torch.einsum("i,i->", Named(), Named()) == "einsum"
    assert torch.nn.functional.softmax(Named(), dim=-1) == "softmax"  # type: ignore[arg-type]
