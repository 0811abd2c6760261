"""The performance family: log(outcome / account anchor) of each post, learned from the platform's past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from features.columns import Ints
from features.schema import ENGAGEMENT, PRIMARY, Platform
from features.targets import Reference
from training.answering import widest_source
from training.baseline import Baseline, judged_posts
from training.calibration import calibrate
from training.card import render_card
from training.core import fit_core, fit_features
from training.cross_validation import fold_scores
from training.drawing import Heading
from training.evaluate import MODEL, Ladder, Scored
from training.examples import Examples, Inputs, build_examples, inputs_of
from training.facts import OutputFacts
from training.held_out import held_out_accounts
from training.hours import measure_hours
from training.judging import Judged, OutOfFold, judge_core
from training.performance_model import FAMILY, Forecast, PerformanceModel
from training.plots import Evidence, write_pictures
from training.recipe import Recipe
from training.report import Report, coverage_levels, engagement_metrics, report_on
from training.rungs import rungs_of
from training.split import Split
from training.telling import Told
from training.tune import Fold, prepare_folds

INTERVAL_METHOD = (
    "Normalised split-conformal prediction: errors on later, unseen posts of forward-chaining folds, each post once "
    "with the history of its day and once with that of the last training day, divided by their expected size, later "
    "folds counting for more, the holdout as the last of them; accounts without known outcomes apart, for whom "
    "accounts held out in turn count too."
)
IMPORTANCE_METHOD = (
    "Share of the experts' total gain (of absolute weights for lines), each weighed by its part in the blend; the line "
    "on the letters of captions, which reads none of the columns, is left out."
)


class Performance:
    """Builds, fits and judges performance models."""

    family = FAMILY
    estimator = "lightgbm"
    compared: tuple[str, ...] = ("lightgbm", "xgboost", "linear")
    error = "MAE of log"

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
            default_source=widest_source(sources, examples.outcome[rows]),
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

    def prepare(self, examples: Examples, rows: Ints, recipe: Recipe) -> Sequence[Fold]:
        """Prepare the folds on which a search judges recipes."""
        return prepare_folds(examples, rows, recipe)

    def report(
        self,
        model: PerformanceModel,
        examples: Examples,
        split: Split,
        *,
        recipe: Recipe,  # noqa: ARG002  outcomes are what they are, whoever judges
        replicates: int,
        seed: int,
    ) -> Report:
        """Judge a model on the later rows of a split."""
        return report_on(self, model, examples, split, replicates=replicates, seed=seed)

    def unseen(
        self, model: PerformanceModel, recipe: Recipe, examples: Examples, rows: Ints, *, replicates: int
    ) -> Ladder | None:
        """Judge a recipe on accounts that it never saw."""
        return held_out_accounts(model, recipe, examples, rows, replicates=replicates)

    def told(self, model: PerformanceModel, examples: Examples, rows: Ints, report: Report, nominal: float) -> Told:
        """Say what a description needs of a model that was judged on some rows."""
        platform = Platform(model.platform)
        engagement = engagement_metrics(self, model, examples, rows)
        levels = coverage_levels(self, model, examples, rows)

        def draw(
            folder: Path, heading: Heading, importance: Mapping[str, float], groups: Mapping[str, str]
        ) -> dict[str, Path]:
            evidence = Evidence(heading, report.ladder, report.model, nominal, levels, importance, groups)
            return write_pictures(folder, evidence)

        return Told(
            outputs=_outputs(platform, report.ladder, engagement),
            interval_method=INTERVAL_METHOD,
            importance_method=IMPORTANCE_METHOD,
            draw=draw,
            render=render_card,
            metrics=engagement,
        )

    def baseline(
        self,
        served: PerformanceModel,
        evaluated: PerformanceModel,
        examples: Examples,
        rows: Ints,
        report: Report,
        earlier: Baseline | None = None,
    ) -> Baseline:
        """Keep what the version that serves reads of its newest posts, and how its recipe was judged on some rows.

        A refit keeps what its recipe was judged on `earlier`: newer posts may have decayed already.
        """
        judged = (
            earlier.judged
            if earlier
            else judged_posts(self.forecast(evaluated, examples, rows), report.model, examples, rows)
        )
        return Baseline.of(served, examples, judged)

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


def _outputs(platform: Platform, ladder: Ladder, engagement: Mapping[str, float]) -> tuple[OutputFacts, ...]:
    rung, rate = ladder.rungs[MODEL], ENGAGEMENT[platform]
    error = engagement.get("engagement_mae_log")
    error_of_rate = "unknown" if error is None else f"MAE of log {error:.3f}"
    return (
        OutputFacts("prediction", PRIMARY[platform], f"MAE of log {rung['mae_log'].value:.3f}"),
        OutputFacts("engagement_rate", f"{', '.join(rate.parts)} over {rate.base}", error_of_rate),
        OutputFacts(
            "score",
            f"percentile of the {PRIMARY[platform]} among the population's recent posts, 0 to 100",
            f"MAE {rung['mae_score'].value:.1f}",
        ),
    )
