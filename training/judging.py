"""Forward chaining: what a recipe forecasts for the later rows of each fold, beside what came true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from features.columns import Bools, Floats, Ints
from features.fitted import Fitted
from training.contrasts import evenly_spaced, timing_contrasts
from training.core import Core, fit_core, fit_features, lessons_of, training_inputs, without_history
from training.examples import Examples, Inputs, inputs_of, with_history_until
from training.experts import EXPERTS, Experts, fit_experts
from training.parallel import in_order
from training.recipe import Recipe
from training.split import Split, forward_folds

SPREAD_FEATURES = (
    "anchor", "prior", "outcomes_known", "outcome_spread", "outcome_age_days", "other_population_mean",
    "log_followers", "media_type", "population", "hours_since_previous", "hours_since_fifth",
    "hours_since_twentieth", "log_duration",
)  # fmt: skip
"""What the expected size of an error may hang on: how much is known of the account, and the kind of post."""

LEAST_FOLD = 0.5
"""How long a fold has to be, as a share of the shortest before it."""

STRANGER_PARTS = 4
"""In how many parts accounts are held out in turn."""

STRANGER_ROWS = 12_000
"""The latest rows among which accounts are held out."""


CONTRAST_ROWS, STRANGER_CONTRAST_ROWS = 2_000, 500
"""Rows of a fold, and of a part of the strangers, whose timing contrasts are worked out, evenly spaced.

Each is forecast at a whole week's hours: more rows would tell more and take more of a run's time.
"""


@dataclass(frozen=True, eq=False)
class Judged:
    """What was forecast of rows not learned from, beside what came true.

    Of a fold they are its later rows: all with the history of their day, then all with that of the fold's start.

    Attributes
    ----------
    learned
        How many posts the forecasts rest on.
    answers
        What each expert says of the residual, shape (rows, experts).
    residual, engagement_error
        What came true: the outcome less its anchor, the engagement rate less its forecast, in logs; nan where the rate
        is unknown or was not forecast.
    spread
        The columns `SPREAD_FEATURES`, shape (rows, features).
    contrast
        Each expert's timing contrast, shape (rows, experts); nan of rows for which it was not worked out.
    """

    learned: int
    account: Ints
    outcome: Floats
    is_new: Bools
    answers: Floats
    residual: Floats
    engagement_error: Floats
    spread: Floats
    contrast: Floats

    def __len__(self) -> int:
        return len(self.answers)


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """All that a recipe forecast of rows not learned from: of later ones fold by fold, and of strangers.

    Attributes
    ----------
    categories
        The codes of categories that all of it was judged by.
    """

    categories: Mapping[str, tuple[str, ...]]
    folds: tuple[Judged, ...]
    strangers: tuple[Judged, ...]

    @classmethod
    def of(cls, recipe: Recipe, examples: Examples, rows: Ints) -> OutOfFold:
        """Judge a recipe on the forward-chaining folds of some rows, and on their accounts held out in turn."""
        categories = fit_features(recipe, examples, rows).categories
        return cls(
            categories,
            folds=tuple(judge_folds(recipe, examples, rows, categories)),
            strangers=tuple(judge_strangers(recipe, examples, rows, categories)),
        )

    def followed_by(self, fold: Judged) -> OutOfFold:
        """Return the same with one more fold, later than all, unless it is far shorter than they.

        The last fold counts most, and a few posts are not to outweigh all those before them.
        """
        if len(fold) < LEAST_FOLD * min(map(len, self.folds)):
            return self
        return replace(self, folds=(*self.folds, fold))


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
    alone = replace(recipe, threads=1)  # folds are fitted side by side, and so not each in parts
    calls = [partial(_judge_fold, alone, examples, rows, fold, categories) for fold in folds]
    return list(in_order(calls, recipe.threads))


def judged_inputs(examples: Examples, rows: Ints, fitted: Fitted, frozen_s: Ints) -> Inputs:
    """Return later rows twice: with the history of their day, and with that of the fold's start."""
    fresh = inputs_of(examples, rows, fitted)
    return Inputs.stack([fresh, with_history_until(examples, rows, fitted, fresh, frozen_s)])


def spread_columns(names: list[str], matrix: Floats) -> Floats:
    """Return the columns that the size of errors may hang on."""
    return matrix[:, [names.index(name) for name in SPREAD_FEATURES]]


def judge_strangers(
    recipe: Recipe, examples: Examples, rows: Ints, categories: Mapping[str, tuple[str, ...]]
) -> list[Judged]:
    """Forecast rows as if nobody knew their accounts, by experts who never saw these: a quarter of them at a time.

    Later rows of new accounts are few, and those of one account err alike. Accounts are kept apart here and not times:
    what is judged may be older than what was learned from, so these rows set weights and intervals and no score. From
    a single account nothing is learned.
    """
    latest = rows[-STRANGER_ROWS:]
    accounts, code = np.unique(examples.account[latest], return_inverse=True)
    parts = min(STRANGER_PARTS, len(accounts))
    if parts < 2:
        return []
    part = np.random.default_rng(recipe.seed).permutation(len(accounts))[code] % parts
    calls = [
        partial(_judge_unseen, recipe, examples, latest[part != each], latest[part == each], categories)
        for each in range(parts)
    ]
    return list(in_order(calls, recipe.threads))


def judge_core(core: Core, examples: Examples, split: Split) -> Judged:
    """Forecast the later rows of a split by a core that was fitted to the earlier ones."""
    later = np.tile(split.judge, 2)
    inputs = judged_inputs(examples, split.judge, core.fitted, split.frozen_s)
    rates = examples.engagement[later] - inputs.engagement_anchor - core.engagement.predict(inputs.matrix)
    judged = _judged(
        core.experts, examples, len(split.train), later, inputs, evenly_spaced(len(split.judge), CONTRAST_ROWS)
    )
    return replace(judged, engagement_error=rates)


def _judge_fold(
    recipe: Recipe, examples: Examples, rows: Ints, fold: Split, categories: Mapping[str, tuple[str, ...]]
) -> Judged:
    split = replace(fold, train=rows[fold.train], judge=rows[fold.judge])
    learned = examples.known_by(split.train, split.until_s)
    core = fit_core(recipe, learned, split.train, _features_of(recipe, learned, split.train, categories))
    return judge_core(core, examples, split)


def _judge_unseen(
    recipe: Recipe, examples: Examples, learned: Ints, unseen: Ints, categories: Mapping[str, tuple[str, ...]]
) -> Judged:
    fitted = _features_of(recipe, examples, learned, categories)
    experts = fit_experts(recipe, lessons_of(examples, learned, training_inputs(recipe, examples, learned, fitted)))
    inputs = without_history(examples, unseen, fitted, inputs_of(examples, unseen, fitted))
    return _judged(experts, examples, len(learned), unseen, inputs, evenly_spaced(len(unseen), STRANGER_CONTRAST_ROWS))


def _features_of(recipe: Recipe, examples: Examples, rows: Ints, categories: Mapping[str, tuple[str, ...]]) -> Fitted:
    return replace(fit_features(recipe, examples, rows), categories=categories)


def _judged(
    experts: Experts, examples: Examples, learned: int, rows: Ints, inputs: Inputs, at_other_hours: Ints
) -> Judged:
    some, contrast = at_other_hours, np.full((len(rows), len(EXPERTS)), np.nan)
    contrast[some] = timing_contrasts(experts, examples.names, examples.posts.take(rows[some]), inputs.take(some))
    return Judged(
        learned=learned,
        account=examples.account[rows],
        outcome=examples.outcome[rows],
        is_new=inputs.is_new,
        answers=experts.answers(inputs),
        residual=examples.outcome[rows] - inputs.anchor,
        engagement_error=np.full(len(rows), np.nan),
        spread=spread_columns(examples.names, inputs.matrix),
        contrast=contrast,
    )
