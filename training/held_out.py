"""Accounts never seen: how good a recipe is where neither posts nor outcomes of an account are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from features.columns import Ints
from features.errors import NotEnoughDataError
from features.fitted import Fitted
from features.history import History
from features.rows import Rows
from training.core import fit_core, fit_features
from training.evaluate import Ladder, ladder
from training.examples import Examples, Inputs, read_inputs
from training.performance_model import PerformanceModel
from training.recipe import Recipe
from training.rungs import rungs_of
from training.split import forward_folds

SHARE = 0.2
"""Share of the accounts that are held out."""


def held_out_accounts(
    model: PerformanceModel, recipe: Recipe, examples: Examples, rows: Ints, *, replicates: int
) -> Ladder:
    """Judge a recipe on accounts that it never saw.

    Of the accounts that post in the last forward-chaining fold, a fifth is left out of its training rows and
    of the history. Their later posts are then forecast one by one, as if each came from an account that
    nobody has heard of. Intervals and weights are those of `model`, which was fitted to the same rows.

    Raises
    ------
    NotEnoughDataError
        No other account has earlier posts to learn from.
    """
    fold = forward_folds(
        examples.published_s[rows],
        [examples.sources[row] for row in rows],
        folds=recipe.folds,
        embargo_days=recipe.embargo_days,
    )[-1]
    earlier, later = rows[fold.train], rows[fold.judge]
    accounts = _drawn(examples.account[later], recipe.seed)
    known = examples.known_by(earlier, fold.until_s)
    earlier = earlier[~np.isin(examples.account[earlier], accounts)]
    later = later[np.isin(examples.account[later], accounts)]
    if not len(earlier):
        raise NotEnoughDataError(
            f"{len(accounts)} of the accounts are held out, and no other has earlier posts to learn from; "
            "import posts of more accounts"
        )
    fitted = replace(fit_features(recipe, known, earlier), categories=model.core.fitted.categories)
    stranger = replace(model, core=fit_core(recipe, known, earlier, fitted))
    names = [examples.populations[row] for row in later]
    forecast = stranger.forecast(_inputs_of_strangers(examples, later, names, fitted, model.names), names)
    median = float(np.median(known.outcome[earlier]))
    rungs = rungs_of(stranger, forecast, examples, later, train_median=median)
    return ladder(rungs, median, replicates, recipe.seed)


def _drawn(account: Ints, seed: int) -> Ints:
    """Draw a fifth of the accounts, at least one."""
    accounts = np.unique(account)
    size = max(1, round(SHARE * len(accounts)))
    return np.sort(np.random.default_rng(seed).permutation(accounts)[:size])


def _inputs_of_strangers(
    examples: Examples, rows: Ints, populations: list[str], fitted: Fitted, names: list[str]
) -> Inputs:
    posts = examples.posts.take(rows)
    others = ~pl.col("account_id").is_in(sorted({str(account) for account in posts.account}))
    history = History(examples.history.table.filter(others))
    return read_inputs(Rows(posts, populations, history, fitted, posts.published_s), names)
