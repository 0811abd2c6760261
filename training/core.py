"""The core of a model: what is fitted to rows directly, and the rows it is fitted to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from features.build import CATEGORICAL
from features.columns import FAR_S, Ints
from features.fitted import Fitted
from features.words import WordTopics
from training.examples import Examples, Inputs, inputs_of, with_history_until
from training.experts import Experts, Lessons, fit_known, fit_others, fit_regressor
from training.parallel import in_order
from training.recipe import Recipe
from training.regressor import Regressor, Table
from training.split import DAY_S

STALE_DAYS = (3.0, 60.0)
"""How much earlier the history of a stale copy ends, drawn between the two."""

COPIES = 3
"""How often each row is learned: as it was, with a stale history, and with none."""


@dataclass(frozen=True)
class Core:
    """The features' parameters, the experts on the outcome and the regressor of the rate, both beside their anchors."""

    fitted: Fitted
    experts: Experts
    engagement: Regressor


def fit_core(recipe: Recipe, examples: Examples, rows: Ints, fitted: Fitted) -> Core:
    """Fit the experts and the rate's regressor to rows and their copies with less history.

    To the rate history matters less: it learns from each row once.
    """
    inputs = training_inputs(recipe, examples, rows, fitted)
    lessons = lessons_of(examples, rows, inputs)
    rate = np.tile(examples.engagement[rows], COPIES) - inputs.engagement_anchor
    calls: list[Callable[[], Any]] = [
        partial(fit_known, recipe, lessons),
        partial(fit_others, recipe, lessons),
        # Of a table of its own, since bins carry the labels that were last learned from them.
        partial(fit_regressor, recipe, replace(lessons.table), rate, _fresh_and_strange(len(rows))),
    ]
    known, others, engagement = in_order(calls, recipe.threads)
    return Core(fitted, others.with_known(known), engagement)


def fit_features(recipe: Recipe, examples: Examples, rows: Ints, words: WordTopics | None = None) -> Fitted:
    """Fit priors, word topics (unless given) and categories to training rows alone."""
    return Fitted.fit(
        examples.posts.take(rows),
        [examples.populations[row] for row in rows],
        examples.outcome[rows],
        examples.engagement[rows],
        anchor_weight=recipe.anchor_weight,
        seed=recipe.seed,
        words=words,
    )


def training_inputs(recipe: Recipe, examples: Examples, rows: Ints, fitted: Fitted) -> Inputs:
    """Return all rows as they were, then with a history cut off some days earlier, then without any.

    So training looks like prediction, where a history may be stale and an account new.
    """
    fresh = inputs_of(examples, rows, fitted)
    earlier_s = np.random.default_rng(recipe.seed).uniform(*STALE_DAYS, len(rows)) * DAY_S
    stale_s = examples.published_s[rows] - earlier_s.astype(np.int64)
    stale = with_history_until(examples, rows, fitted, fresh, stale_s)
    return Inputs.stack([fresh, stale, without_history(examples, rows, fitted, fresh)])


def without_history(examples: Examples, rows: Ints, fitted: Fitted, fresh: Inputs) -> Inputs:
    """Return inputs of the same rows as if no outcome of their accounts were known."""
    return with_history_until(examples, rows, fitted, fresh, np.full(len(rows), -FAR_S))


def lessons_of(examples: Examples, rows: Ints, inputs: Inputs) -> Lessons:
    """Return what the experts learn from the training inputs of some rows."""
    copied = np.arange(len(inputs)) >= (COPIES - 1) * len(rows)
    return Lessons(
        table=Table(inputs.matrix, tuple(examples.names), frozenset(CATEGORICAL)),
        target=np.tile(examples.outcome[rows], COPIES) - inputs.anchor,
        known=np.flatnonzero(~inputs.is_new),
        strangers=np.flatnonzero(copied),
        account=np.tile(examples.account[rows], COPIES),
        captions=inputs.captions,
    )


def _fresh_and_strange(posts: int) -> Ints:
    """Return each row once: every other one as it was, and the others without history."""
    return np.concatenate([np.arange(0, posts, 2), (COPIES - 1) * posts + np.arange(1, posts, 2)])
