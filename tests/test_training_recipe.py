"""What a recipe holds, and by what recipes are told apart."""

import json
from dataclasses import replace
from typing import Any

import pytest

from features.errors import BundleError, TrainingError
from training.recipe import Recipe

RECIPE = Recipe("lightgbm", {"rounds": 100, "learning_rate": 0.05}, seed=7)


def test_a_recipe_comes_back_from_json() -> None:
    assert Recipe.from_dict(json.loads(json.dumps(RECIPE.to_dict()))) == RECIPE


def test_the_order_of_parameters_tells_no_recipes_apart() -> None:
    turned = replace(RECIPE, parameters={"learning_rate": 0.05, "rounds": 100})
    assert turned == RECIPE
    assert turned.digest == RECIPE.digest


def test_threads_are_no_part_of_a_recipe() -> None:
    faster = replace(RECIPE, threads=8)
    assert faster == RECIPE
    assert faster.digest == RECIPE.digest
    assert faster.to_dict() == RECIPE.to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"estimator": "linear"},
        {"parameters": {"rounds": 101, "learning_rate": 0.05}},
        {"seed": 8},
        {"anchor_weight": 3.0},
        {"folds": 4},
        {"coverage": 0.9},
        {"embargo_days": 4},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_decides_a_model_tells_recipes_apart(change: dict[str, Any]) -> None:
    other = replace(RECIPE, **change)
    assert other != RECIPE
    assert other.digest != RECIPE.digest


@pytest.mark.parametrize(
    "wrong",
    [
        {"folds": 0},
        {"coverage": 1.0},
        {"anchor_weight": 0.0},
        {"embargo_days": -1},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_recipe_that_cannot_be_followed_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TrainingError):
        replace(RECIPE, **wrong)


def test_a_recipe_of_another_clipcast_is_refused_by_what_it_names() -> None:
    with pytest.raises(BundleError, match="blend"):
        Recipe.from_dict({**RECIPE.to_dict(), "blend": 0.5})
