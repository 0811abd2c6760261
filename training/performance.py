"""The performance family: log(outcome / account anchor) of each post, learned from the platform's past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.columns import Floats, Ints
from features.targets import Reference
from training.calibration import calibrate
from training.core import fit_core, fit_features
from training.cross_validation import fold_scores
from training.evaluate import ANCHOR, CONSTANT, MODEL, Scored
from training.examples import Examples, Inputs, build_examples, inputs_of
from training.hours import measure_hours
from training.judging import Judged, OutOfFold, judge_core
from training.performance_model import FAMILY, Forecast, PerformanceModel
from training.recipe import Recipe
from training.slices import slices_of
from training.split import Split


class Performance:
    """Builds, fits and judges performance models."""

    family = FAMILY

    def build(self, known: pl.DataFrame, *, min_posts: int, min_accounts: int) -> Examples:
        """Build the rows of one platform from a frame of `known_posts`."""
        return build_examples(known, min_posts=min_posts, min_accounts=min_accounts)

    def out_of_fold(self, recipe: Recipe, examples: Examples, rows: Ints) -> OutOfFold:
        """Forecast some of the rows by models that had not seen them."""
        return OutOfFold.of(recipe, examples, rows)

    def fit(
        self, recipe: Recipe, examples: Examples, rows: Ints, out_of_fold: OutOfFold | None = None
    ) -> PerformanceModel:
        """Fit a model: its core to all of the rows, weights and intervals to what was forecast out of fold."""
        unseen = out_of_fold or self.out_of_fold(recipe, examples, rows)
        fitted = fit_features(recipe, examples, rows).coded_after(unseen.categories)
        calibration = calibrate(recipe, unseen.folds, unseen.strangers)
        sources = [examples.sources[row] for row in rows]
        names = [examples.populations[row] for row in rows]
        return PerformanceModel(
            platform=examples.posts.platform,
            names=examples.names,
            sources=tuple(sorted(set(sources))),
            default_source=_widest(sources, examples.outcome[rows]),
            core=fit_core(recipe, examples, rows, fitted),
            calibration=calibration,
            reference=Reference.fit(names, examples.outcome[rows], examples.published_s[rows]),
            history=examples.history_of_rows(rows).snapshot(),
            folds=fold_scores(unseen.folds, calibration.blend),
            hours=measure_hours([*unseen.folds, *unseen.strangers], calibration.blend, examples, rows),
        )

    def judged(self, model: PerformanceModel, examples: Examples, split: Split) -> Judged:
        """Forecast the later rows of a split by a model that was fitted to the earlier ones, as in one more fold."""
        return judge_core(model.core, examples, split)

    def load(self, folder: Path, meta: Mapping[str, Any]) -> PerformanceModel:
        """Open the model in a folder that `meta` describes."""
        return PerformanceModel.load(folder, meta)

    def inputs(self, model: PerformanceModel, examples: Examples, rows: Ints) -> Inputs:
        """Compute what a model reads of rows of the examples, from what was known when each was published."""
        return inputs_of(examples, rows, model.core.fitted, names=model.names)

    def forecast(self, model: PerformanceModel, examples: Examples, rows: Ints) -> Forecast:
        """Forecast rows of the examples, each from what was known when it was published."""
        return model.forecast(self.inputs(model, examples, rows), [examples.populations[row] for row in rows])

    def rungs(
        self, model: PerformanceModel, examples: Examples, rows: Ints, *, train_median: float
    ) -> dict[str, Scored]:
        """Score the ladder on some rows: a constant, the account anchor, the model."""
        forecast = self.forecast(model, examples, rows)
        return rungs_of(model, forecast, examples, rows, train_median=train_median)


def rungs_of(
    model: PerformanceModel, forecast: Forecast, examples: Examples, rows: Ints, *, train_median: float
) -> dict[str, Scored]:
    """Put forecasts of some rows beside those of a constant and of the account anchor."""
    names = [examples.populations[row] for row in rows]
    truth = examples.outcome[rows]
    unknown = np.full(len(rows), np.nan)

    def scored(prediction: Floats, lower: Floats = unknown, upper: Floats = unknown) -> Scored:
        return Scored(
            account=examples.account[rows],
            truth=truth,
            prediction=prediction,
            lower=lower,
            upper=upper,
            score_truth=model.reference.score(names, truth),
            score_prediction=model.reference.score(names, prediction),
            slices=slices_of(examples, rows, forecast.is_new),
        )

    return {
        CONSTANT: scored(np.full(len(rows), train_median)),
        ANCHOR: scored(forecast.anchor),
        MODEL: scored(forecast.prediction, forecast.lower, forecast.upper),
    }


def _widest(sources: Sequence[str], outcome: Floats) -> str:
    """Return the source whose outcomes spread most: the one least shaped by how its posts were chosen."""
    labels = np.asarray(sources)
    spread = {str(name): float(np.ptp(np.quantile(outcome[labels == name], [0.1, 0.9]))) for name in np.unique(labels)}
    return max(spread, key=lambda name: spread[name])
