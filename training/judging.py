"""Forward chaining: what a recipe forecasts for the later rows of each fold, beside what came true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from features.columns import Bools, Floats, Ints
from features.fitted import Fitted
from training.core import fit_core, fit_features
from training.examples import Examples, Inputs, inputs_of, with_history_until
from training.parallel import in_order
from training.recipe import Recipe
from training.split import Split, forward_folds

SPREAD_FEATURES = (
    "anchor", "prior", "outcomes_known", "outcome_spread", "outcome_age_days", "other_population_mean",
    "log_followers", "media_type", "population", "hours_since_previous", "hours_since_fifth",
    "hours_since_twentieth", "log_duration",
)  # fmt: skip
"""What the expected size of an error may hang on: how much is known of the account, and the kind of post."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Forecasts of a fold's later rows: all with the history of their day, then all with that of its start.

    Attributes
    ----------
    learned
        How many posts the forecasts rest on.
    raw
        The regressor's forecast of the residual, not yet weighed.
    residual, engagement_error
        What came true: the outcome less its anchor, the engagement rate less its forecast, in logs.
    spread
        The columns `SPREAD_FEATURES`, shape (rows, features).
    """

    learned: int
    account: Ints
    outcome: Floats
    is_new: Bools
    raw: Floats
    residual: Floats
    engagement_error: Floats
    spread: Floats

    def __len__(self) -> int:
        return len(self.raw)


def judge_folds(
    recipe: Recipe, examples: Examples, rows: Ints, categories: Mapping[str, tuple[str, ...]]
) -> list[Judged]:
    """Fit a recipe to the training rows of each forward-chaining fold and forecast the later ones.

    Parameters
    ----------
    categories
        The codes of categories, for all folds alike: what is learned from several folds at once reads them.
    """
    folds = forward_folds(
        examples.published_s[rows],
        [examples.sources[row] for row in rows],
        folds=recipe.folds,
        embargo_days=recipe.embargo_days,
    )
    calls = [partial(_judge_fold, recipe, examples, rows, fold, categories) for fold in folds]
    return list(in_order(calls, recipe.threads))


def judged_inputs(examples: Examples, rows: Ints, fitted: Fitted, frozen_s: Ints) -> Inputs:
    """Return later rows twice: with the history of their day, and with that of the fold's start."""
    fresh = inputs_of(examples, rows, fitted)
    return Inputs.stack([fresh, with_history_until(examples, rows, fitted, fresh, frozen_s)])


def spread_columns(names: list[str], matrix: Floats) -> Floats:
    """Return the columns that the size of errors may hang on."""
    return matrix[:, [names.index(name) for name in SPREAD_FEATURES]]


def _judge_fold(
    recipe: Recipe, examples: Examples, rows: Ints, fold: Split, categories: Mapping[str, tuple[str, ...]]
) -> Judged:
    earlier, later = rows[fold.train], rows[fold.judge]
    learned = examples.known_by(earlier, fold.until_s)
    fitted = replace(fit_features(recipe, learned, earlier), categories=categories)
    core = fit_core(recipe, learned, earlier, fitted)
    inputs = judged_inputs(examples, later, fitted, fold.frozen_s)
    outcome, engagement = np.tile(examples.outcome[later], 2), np.tile(examples.engagement[later], 2)
    return Judged(
        learned=len(earlier),
        account=np.tile(examples.account[later], 2),
        outcome=outcome,
        is_new=inputs.is_new,
        raw=core.residual.predict(inputs.matrix),
        residual=outcome - inputs.anchor,
        engagement_error=engagement - inputs.engagement_anchor - core.engagement.predict(inputs.matrix),
        spread=spread_columns(examples.names, inputs.matrix),
    )
