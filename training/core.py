"""The core of a model: what is fitted to rows directly, and the rows it is fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.build import CATEGORICAL
from features.columns import FAR_S, Floats, Ints
from features.fitted import Fitted
from training.estimators import estimator
from training.examples import Examples, Inputs, inputs_of, with_history_until
from training.recipe import Recipe
from training.regressor import Regressor, Table
from training.split import DAY_S

STALE_DAYS = (3.0, 60.0)
"""How much earlier the history of a stale copy ends, drawn between the two."""


@dataclass(frozen=True)
class Core:
    """The features' parameters, and the regressors of what outcome and rate add to their anchors."""

    fitted: Fitted
    residual: Regressor
    engagement: Regressor


def fit_core(recipe: Recipe, examples: Examples, rows: Ints, fitted: Fitted) -> Core:
    """Fit both regressors to rows and their copies with less history."""
    inputs = training_inputs(recipe, examples, rows, fitted)
    table = table_of(examples, inputs)
    copies = len(inputs) // len(rows)
    outcome = np.tile(examples.outcome[rows], copies)
    engagement = np.tile(examples.engagement[rows], copies)
    return Core(
        fitted=fitted,
        residual=fit_regressor(recipe, table, outcome - inputs.anchor),
        engagement=fit_regressor(recipe, table, engagement - inputs.engagement_anchor),
    )


def fit_features(recipe: Recipe, examples: Examples, rows: Ints) -> Fitted:
    """Fit priors, word topics and categories to training rows alone."""
    return Fitted.fit(
        examples.posts.take(rows),
        [examples.populations[row] for row in rows],
        examples.outcome[rows],
        examples.engagement[rows],
        anchor_weight=recipe.anchor_weight,
        seed=recipe.seed,
    )


def training_inputs(recipe: Recipe, examples: Examples, rows: Ints, fitted: Fitted) -> Inputs:
    """Return all rows as they were, then all of them again with less history, where the recipe asks for it."""
    fresh = inputs_of(examples, rows, fitted)
    if not recipe.copies:
        return fresh
    draw = np.random.default_rng(recipe.seed)
    published_s = examples.published_s[rows]
    until_s = {
        "stale": published_s - (draw.uniform(*STALE_DAYS, len(rows)) * DAY_S).astype(np.int64),
        "new": np.full(len(rows), -FAR_S),
    }
    kind = draw.integers(len(recipe.copies), size=len(rows))
    drawn_s = np.choose(kind, [until_s[copy] for copy in recipe.copies])
    return Inputs.stack([fresh, with_history_until(examples, rows, fitted, fresh, drawn_s)])


def table_of(examples: Examples, inputs: Inputs) -> Table:
    """Return inputs as the table that estimators learn from."""
    return Table(inputs.matrix, tuple(examples.names), frozenset(CATEGORICAL))


def fit_regressor(recipe: Recipe, table: Table, target: Floats) -> Regressor:
    """Fit the recipe's estimator to the rows whose target is known; from fewer than two nothing is learned."""
    known = np.flatnonzero(np.isfinite(target))
    maker = estimator(recipe.estimator if len(known) > 1 else "anchor")
    return maker.fit(table, target, known, parameters=recipe.parameters, seed=recipe.seed)
