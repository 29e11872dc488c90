"""What the commands check of the catalogue before they ask: the model's context, and which chip a name stands for."""

from __future__ import annotations

from windtunnel.catalog.chip import chip
from windtunnel.catalog.chip import shelf as chip_shelf
from windtunnel.catalog.model import ModelSpec
from windtunnel.catalog.system import shelf as system_shelf
from windtunnel.catalog.system import system
from windtunnel.errors import InvalidInputError, UnknownNameError


def check_context(model: ModelSpec, isl: int, osl: int) -> None:
    """Raises InvalidInputError where a request is longer than the model's context."""
    if model.max_context and isl + osl > model.max_context:
        field = "--isl" if isl >= osl else "--osl"
        raise InvalidInputError(
            field, f"{isl:,} + {osl:,} tokens are more than the {model.max_context:,} of {model.id}'s context"
        )


def place(name: str) -> tuple[str, str]:
    """(chip, system) that ``name`` stands for: a chip in its own server, a user's TOML file, or a system and its chip.

    Raises UnknownNameError with the nearest of both.
    """
    if name.lower().endswith(".toml"):
        chip(name)  # a malformed file is refused here
        return name, ""
    try:
        return chip_shelf.resolve(name), ""
    except UnknownNameError:
        try:
            found = system(name)
        except UnknownNameError:
            known = [*chip_shelf.ids(), *chip_shelf.aliases(), *system_shelf.ids(), *system_shelf.aliases()]
            raise UnknownNameError("chip or system", name, known)
        return found.chip, found.id
