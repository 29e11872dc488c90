"""What the commands check of the catalogue before they ask: the model's context."""

from __future__ import annotations

from windtunnel.catalog.model import ModelSpec
from windtunnel.errors import InvalidInputError


def check_context(model: ModelSpec, isl: int, osl: int) -> None:
    """Raises InvalidInputError where a request is longer than the model's context."""
    if model.max_context and isl + osl > model.max_context:
        field = "--isl" if isl >= osl else "--osl"
        raise InvalidInputError(
            field, f"{isl:,} + {osl:,} tokens are more than the {model.max_context:,} of {model.id}'s context"
        )
