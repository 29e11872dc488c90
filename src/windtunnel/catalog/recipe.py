"""How makers of models said they trained them: sequence, batch, number types, the cluster and its hours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from windtunnel.catalog.models import resolve
from windtunnel.catalog.store import Shelf, Table
from windtunnel.errors import UnknownNameError

shelf = Shelf("recipes", "recipe")
PRECISIONS = ("bf16", "fp16", "fp8", "fp4")
OPTIMIZERS = ("adam", "adam-bf16", "sgd")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One published pre-training. length: tokens of a sequence; batch_tokens: of a step, in the main phase; drafts: with
    multi-token prediction. tokens, chip, chips, chip_hours: of the whole, 0 or "" where it was not said; hours_of: what the
    published hours count."""

    id: str
    models: tuple[str, ...]
    source: str
    length: int
    batch_tokens: float
    precision: str
    optimizer: str = "adam"
    drafts: bool = False
    tokens: float = 0.0
    chip: str = ""
    chips: int = 0
    chip_hours: float = 0.0
    hours_of: str = ""
    notes: tuple[str, ...] = ()


def parse_recipe(table: Table) -> Recipe:
    """A recipe from its record. Raises InvalidInputError that names the field."""
    numbers = ("batch_tokens", "tokens", "chip_hours")
    table.only(("id", "models", "source", "length", "precision", "optimizer", "drafts", "chip", "chips", "hours_of", "notes",
                "aliases", *numbers))  # fmt: skip
    return Recipe(
        id=table.text("id"),
        models=table.texts("models"),
        source=table.text("source"),
        length=table.count("length"),
        batch_tokens=table.number("batch_tokens"),
        precision=table.text("precision", choices=PRECISIONS),
        optimizer=table.text("optimizer", "adam", choices=OPTIMIZERS),
        drafts=table.flag("drafts", False),
        tokens=table.number("tokens", 0.0) if "tokens" in table.fields else 0.0,
        chip=table.text("chip", ""),
        chips=table.count("chips", 0, low=0),
        chip_hours=table.number("chip_hours") if "chip_hours" in table.fields else 0.0,
        hours_of=table.text("hours_of", ""),
        notes=table.texts("notes"),
    )


@cache
def recipes() -> tuple[Recipe, ...]:
    """Every published recipe of the catalogue."""
    return tuple(shelf.load(record, parse_recipe) for record in shelf.ids())


def recipe_for(model: str) -> Recipe | None:
    """How the model of that name was trained, None where nobody said or the name is a file."""
    try:
        key = resolve(model)
    except UnknownNameError:
        return None
    return next((recipe for recipe in recipes() if key in recipe.models), None)
