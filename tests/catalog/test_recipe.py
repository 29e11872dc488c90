"""Published recipes: each names models and a chip that exist, and what is malformed is refused with its field."""

from __future__ import annotations

import pytest

from windtunnel.catalog import chip
from windtunnel.catalog.models import model
from windtunnel.catalog.recipe import Recipe, parse_recipe, recipe_for, recipes
from windtunnel.catalog.store import Table
from windtunnel.errors import InvalidInputError

GOOD = {"id": "x", "models": ["deepseek-v3"], "source": "a paper", "length": 4096, "batch_tokens": 4e6, "precision": "bf16"}


@pytest.mark.parametrize("recipe", recipes(), ids=lambda r: r.id)
def test_every_recipe_is_of_models_and_chips_that_exist(recipe: Recipe) -> None:
    assert recipe.models
    for name in recipe.models:
        assert model(name).max_context >= recipe.length
    if recipe.chip:
        assert chip(recipe.chip).id == recipe.chip
    assert (recipe.chip_hours > 0) == bool(recipe.hours_of)
    assert recipe.batch_tokens % recipe.length == 0


def test_a_recipe_is_found_by_any_name_of_its_model() -> None:
    found = recipe_for("deepseek-ai/DeepSeek-V3-Base")
    assert found is not None
    assert (found.id, found.precision, found.drafts) == ("deepseek-v3", "fp8", True)
    assert recipe_for("Qwen/Qwen3-8B") is None
    assert recipe_for("./config.json") is None


def test_the_batch_of_deepseek_v3_is_15360_sequences() -> None:
    found = recipe_for("deepseek-v3")
    assert found is not None
    assert found.batch_tokens / found.length == 15_360


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("length", 0, "length"),
        ("precision", "fp7", "precision"),
        ("batch_tokens", -1.0, "batch_tokens"),
        ("optimiser", "adam", "did you mean optimizer"),
    ],
)
def test_what_is_malformed_is_refused(field: str, value: object, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        parse_recipe(Table("recipes/x.toml", {**GOOD, field: value}))
