"""The odds of going viral: what is fitted to rows directly, and what folds say of rows not learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np

from features.build import CATEGORICAL
from features.columns import Bools, Floats, Ints
from features.fitted import Fitted
from features.words import WordTopics
from training.account_line import AccountLine
from training.boosters import LightGBMClassifier
from training.core import COPIES, fit_features, training_inputs
from training.estimators import estimator
from training.examples import Examples, Inputs, inputs_of
from training.judging import LEAST_FOLD
from training.parallel import in_order
from training.recipe import Recipe
from training.regressor import Table
from training.split import Split, forward_folds
from training.yardstick import Yardstick

STRANGER_WEIGHT = 0.25
"""How much a copy without history counts in trees: from many of one account they learn who it is."""


@dataclass(frozen=True, eq=False)
class Odds:
    """What says how likely a post is to go viral, before any calibration.

    Attributes
    ----------
    trees
        None where the account's line is to speak alone.
    base_rate
        Share of the training posts that went viral.
    """

    fitted: Fitted
    yardstick: Yardstick
    base_rate: float
    trees: LightGBMClassifier | None
    line: AccountLine

    def margin(self, names: list[str], matrix: Floats) -> Floats:
        """Return the log odds of each row."""
        return self.line_margin(names, matrix) if self.trees is None else self.trees.margin(matrix)

    def line_margin(self, names: list[str], matrix: Floats) -> Floats:
        """Return the log odds of each row by the account's line alone."""
        return self.line.margin(names, matrix)


@dataclass(frozen=True, eq=False)
class Lessons:
    """Rows that odds are learned from: all as they were, then with a stale history, then with none.

    Attributes
    ----------
    viral
        1 where a row went viral, else 0; of a copy without history as if the account had been new, so beside its prior.
    """

    fitted: Fitted
    yardstick: Yardstick
    table: Table
    viral: Floats

    @classmethod
    def of(cls, recipe: Recipe, examples: Examples, rows: Ints, fitted: Fitted) -> Lessons:
        """Build the lessons of some rows, of which a tenth is viral."""
        inputs = training_inputs(recipe, examples, rows, fitted)
        names = [examples.populations[row] for row in rows]
        posts, outcome = len(rows), examples.outcome[rows]
        yardstick = Yardstick.fit(names, outcome - inputs.anchor[:posts])
        viral = yardstick.is_viral(names, outcome - inputs.anchor[:posts])
        as_new = yardstick.is_viral(names, outcome - inputs.anchor[-posts:])
        table = Table(inputs.matrix, tuple(examples.names), frozenset(CATEGORICAL))
        return cls(fitted, yardstick, table, np.concatenate([viral, viral, as_new]).astype(np.float64))

    @property
    def base_rate(self) -> float:
        """Share of the rows as they were that went viral."""
        return float(self.viral[: len(self.viral) // COPIES].mean())

    def odds(self, recipe: Recipe) -> Odds:
        """Learn the odds by a recipe; where all rows went the same way, trees have nothing to tell apart."""
        told_apart = recipe.estimator != "anchor" and np.ptp(self.viral) > 0
        trees = self.trees(recipe) if told_apart else None
        line = AccountLine.fit(self.table.names, self.table.matrix, self.viral)
        return Odds(self.fitted, self.yardstick, self.base_rate, trees, line)

    def trees(self, recipe: Recipe) -> LightGBMClassifier:
        """Learn trees by a recipe."""
        every = np.arange(len(self.table))
        maker, parameters = estimator(recipe.estimator), recipe.parameters
        weight = np.where(every < (COPIES - 1) * len(every) // COPIES, 1.0, STRANGER_WEIGHT)
        fitted = maker.fit(self.table, self.viral, every, parameters=parameters, seed=recipe.seed, weight=weight)
        return cast("LightGBMClassifier", fitted)


@dataclass(frozen=True, eq=False)
class Judged:
    """What was said of rows not learned from, each with the history of its day, beside what came true.

    Attributes
    ----------
    learned
        How many posts the odds rest on.
    margin, line
        Log odds by trees and by the account's line.
    base_rate
        Share of the posts learned from that went viral.
    """

    learned: int
    account: Ints
    is_new: Bools
    viral: Floats
    margin: Floats
    line: Floats
    base_rate: float

    def __len__(self) -> int:
        return len(self.viral)


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """All that a recipe said of later rows, fold by fold, and the codes of categories that features will have."""

    categories: Mapping[str, tuple[str, ...]]
    folds: tuple[Judged, ...]

    @classmethod
    def of(cls, recipe: Recipe, examples: Examples, rows: Ints) -> OutOfFold:
        """Fit a recipe to the training rows of each forward-chaining fold and judge the later ones."""
        categories = fit_features(recipe, examples, rows, WordTopics.empty()).categories
        alone = replace(recipe, threads=1)  # folds are fitted side by side
        calls = [partial(_judge_fold, alone, examples, split) for split in folds_of(recipe, examples, rows)]
        return cls(categories, tuple(in_order(calls, recipe.threads)))

    def followed_by(self, fold: Judged) -> OutOfFold:
        """Return the same with one more fold, later than all, unless it is far shorter than they."""
        if len(fold) < LEAST_FOLD * min(map(len, self.folds)):
            return self
        return replace(self, folds=(*self.folds, fold))


def folds_of(recipe: Recipe, examples: Examples, rows: Ints) -> list[Split]:
    """Return the forward-chaining folds of some rows, as positions among all rows."""
    folds = forward_folds(
        examples.published_s[rows],
        [examples.sources[row] for row in rows],
        folds=recipe.folds,
        embargo_days=recipe.embargo_days,
    )
    return [replace(fold, train=rows[fold.train], judge=rows[fold.judge]) for fold in folds]


def judge_odds(odds: Odds, examples: Examples, split: Split) -> Judged:
    """Put what odds fitted to the earlier rows of a split say of the later ones beside what came true."""
    inputs = inputs_of(examples, split.judge, odds.fitted)
    return Judged(
        learned=len(split.train),
        account=examples.account[split.judge],
        is_new=inputs.is_new,
        viral=viral_rows(odds, examples, split.judge, inputs),
        margin=odds.margin(examples.names, inputs.matrix),
        line=odds.line_margin(examples.names, inputs.matrix),
        base_rate=odds.base_rate,
    )


def viral_rows(odds: Odds, examples: Examples, rows: Ints, inputs: Inputs) -> Floats:
    """Return 1 for each row that exceeds its anchor in `inputs` by more than the threshold, else 0."""
    names = [examples.populations[row] for row in rows]
    return odds.yardstick.is_viral(names, examples.outcome[rows] - inputs.anchor).astype(np.float64)


def _judge_fold(recipe: Recipe, examples: Examples, split: Split) -> Judged:
    learned = examples.known_by(split.train, split.until_s)
    fitted = fit_features(recipe, learned, split.train)
    return judge_odds(Lessons.of(recipe, learned, split.train, fitted).odds(recipe), examples, split)
