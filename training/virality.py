"""The virality family: the probability that a post lands in the top tenth beside its account's anchor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.columns import Floats, Ints
from features.schema import PRIMARY, Platform
from training.answering import widest_source
from training.calibration import by_recency
from training.core import fit_features
from training.drawing import Heading
from training.evaluate import ANCHOR, CONSTANT, MODEL, Ladder
from training.examples import Examples, Inputs, build_examples, inputs_of
from training.factors import FACTORS, Factors, column_of
from training.facts import FactorFacts, OutputFacts, ViralityFacts
from training.judging import judged_inputs
from training.odds import Judged, Lessons, OutOfFold, folds_of, judge_odds
from training.rated import Rated, RatedReport, rated_ladder
from training.recipe import Recipe
from training.slices import slices_of
from training.split import Split
from training.telling import Told
from training.tune import TUNING_ROWS
from training.venn_abers import VennAbers
from training.virality_card import render_virality_card
from training.virality_model import FAMILY, FoldScore, ViralityModel
from training.virality_plots import write_virality_pictures
from training.yardstick import EVERYWHERE, Truth

FACTOR_ROWS = 2_000
"""The latest training rows whose contributions say what a factor usually adds."""

INTERVAL_METHOD = (
    "Inductive Venn-Abers calibration (Vovk and Petej, 2014) on the later, unseen posts of forward-chaining folds, "
    "later folds counting for more, the holdout as the last of them. The interval holds both probabilities that this "
    "gives, one as if the post at hand failed and one as if it went viral, and the middle of the curves that 200 "
    "resamples of accounts give. It speaks of the calibration, given the odds; how far another fit would give other "
    "odds is not in it."
)
IMPORTANCE_METHOD = "Share of the trees' total gain."


@dataclass(frozen=True, eq=False)
class SearchFold:
    """A fold ready to be fitted and judged, the same for every trial.

    Attributes
    ----------
    matrix, viral
        The later rows, with the history of their day and with that of the fold's start.
    """

    lessons: Lessons
    matrix: Floats
    viral: Floats

    def error(self, recipe: Recipe) -> float:
        """Return the Brier score of a recipe's odds as they are, before calibration."""
        if np.ptp(self.lessons.viral) == 0 or recipe.estimator == "anchor":
            margin = self.lessons.odds(recipe).margin(list(self.lessons.table.names), self.matrix)
        else:
            margin = self.lessons.trees(recipe).margin(self.matrix)
        return float(np.mean((1 / (1 + np.exp(-margin)) - self.viral) ** 2))


class Virality:
    """Builds, fits and judges virality models."""

    family = FAMILY
    estimator = "lightgbm_binary"
    compared: tuple[str, ...] = ("lightgbm_binary", "anchor")
    error = "Brier score"

    def build(self, known: pl.DataFrame, *, min_posts: int, min_accounts: int) -> Examples:
        """Build the rows of one platform from a frame of `known_posts`."""
        return build_examples(known, min_posts=min_posts, min_accounts=min_accounts)

    def out_of_fold(self, recipe: Recipe, examples: Examples, rows: Ints) -> OutOfFold:
        """Judge some of the rows by models that had not seen them."""
        return OutOfFold.of(recipe, examples, rows)

    def fit(
        self, recipe: Recipe, examples: Examples, rows: Ints, out_of_fold: OutOfFold | None = None
    ) -> ViralityModel:
        """Fit a model: its odds to all of the rows, its calibration to what was judged out of fold."""
        unseen = out_of_fold or self.out_of_fold(recipe, examples, rows)
        fitted = fit_features(recipe, examples, rows).coded_after(unseen.categories)
        lessons = Lessons.of(recipe, examples, rows, fitted)
        sources = [examples.sources[row] for row in rows]
        model = ViralityModel(
            platform=examples.posts.platform,
            names=examples.names,
            sources=tuple(sorted(set(sources))),
            default_source=widest_source(sources, examples.outcome[rows]),
            odds=lessons.odds(recipe),
            calibration=_calibration(recipe, unseen.folds, [fold.margin for fold in unseen.folds]),
            line_calibration=_calibration(recipe, unseen.folds, [fold.line for fold in unseen.folds]),
            factors=Factors(examples.names, {}),
            history=examples.history_of_rows(rows).snapshot(),
            folds=tuple(FoldScore.of(fold) for fold in unseen.folds),
        )
        # The first copies of the rows are as they were; the latest of them say what a factor adds by now.
        usual = model.contributions(lessons.table.matrix[max(0, len(rows) - FACTOR_ROWS) : len(rows)])
        return model.with_factors(Factors.fit(model.names, usual))

    def judged(self, model: ViralityModel, examples: Examples, split: Split) -> Judged:
        """Judge the later rows of a split by a model that was fitted to the earlier ones, as in one more fold."""
        return judge_odds(model.odds, examples, split)

    def baseline(self, *_: object) -> None:
        """Keep nothing: its inputs are those of performance, whose baseline tells of them."""

    def load(self, folder: Path, meta: Mapping[str, Any]) -> ViralityModel:
        """Open the model in a folder that `meta` describes."""
        return ViralityModel.load(folder, meta)

    def prepare(self, examples: Examples, rows: Ints, recipe: Recipe) -> Sequence[SearchFold]:
        """Prepare the folds on which a search judges recipes, each with the latest of its training rows."""
        folds = []
        for split in folds_of(recipe, examples, rows):
            earlier = split.train[-TUNING_ROWS:]
            known = examples.known_by(earlier, split.until_s[-TUNING_ROWS:])
            fitted = fit_features(recipe, known, earlier)
            lessons = Lessons.of(recipe, known, earlier, fitted)
            inputs = judged_inputs(examples, split.judge, fitted, split.frozen_s)
            later = len(split.judge)
            names = [examples.populations[row] for row in split.judge]
            excess = examples.outcome[split.judge] - inputs.anchor[:later]
            viral = np.tile(lessons.yardstick.is_viral(names, excess).astype(np.float64), 2)
            folds.append(SearchFold(lessons, inputs.matrix, viral))
        return folds

    def inputs(self, model: ViralityModel, examples: Examples, rows: Ints) -> Inputs:
        """Compute what a model reads of rows of the examples, from what was known when each was published."""
        return inputs_of(examples, rows, model.fitted, names=model.names)

    def rungs(self, model: ViralityModel, examples: Examples, rows: Ints, truth: Truth) -> dict[str, Rated]:
        """Rate the ladder on some rows: the base rate, the account alone, the model."""
        inputs = self.inputs(model, examples, rows)
        viral = truth.viral(examples, rows)
        slices = slices_of(examples, rows, inputs.is_new)

        def rated(probability: Floats) -> Rated:
            return Rated(examples.account[rows], viral, probability, slices)

        return {
            CONSTANT: rated(np.full(len(rows), truth.base_rate)),
            ANCHOR: rated(model.line_probabilities(inputs).probability),
            MODEL: rated(model.probabilities(inputs).probability),
        }

    def report(
        self, model: ViralityModel, examples: Examples, split: Split, *, recipe: Recipe, replicates: int, seed: int
    ) -> RatedReport:
        """Judge a model on the later rows of a split; what is viral there is told by the earlier rows alone."""
        truth = Truth.of(recipe, examples.known_by(split.train, split.until_s), split.train)
        rungs = self.rungs(model, examples, split.judge, truth)
        return RatedReport(rungs, rated_ladder(rungs, replicates, seed), truth.base_rate)

    def unseen(
        self,
        model: ViralityModel,  # noqa: ARG002  the protocol's names
        recipe: Recipe,  # noqa: ARG002
        examples: Examples,  # noqa: ARG002
        rows: Ints,  # noqa: ARG002
        *,
        replicates: int,  # noqa: ARG002
    ) -> Ladder | None:
        """Return nothing: new accounts are a slice of the holdout, and another fit would take a fifth of the time."""
        return None

    def told(self, model: ViralityModel, examples: Examples, rows: Ints, report: RatedReport, nominal: float) -> Told:
        """Say what a description needs of a model that was judged on some rows."""
        inputs = self.inputs(model, examples, rows[-FACTOR_ROWS:])
        factors = model.factors.values(inputs.matrix, model.contributions(inputs.matrix))
        known = {name: float(np.isfinite(values).mean()) for name, values in factors.items()}

        def draw(
            folder: Path, heading: Heading, importance: Mapping[str, float], groups: Mapping[str, str]
        ) -> dict[str, Path]:
            return write_virality_pictures(folder, heading, report, importance, groups)

        return Told(
            outputs=_outputs(Platform(model.platform), report, nominal),
            interval_method=INTERVAL_METHOD,
            importance_method=IMPORTANCE_METHOD,
            draw=draw,
            render=render_virality_card,
            virality=ViralityFacts(
                base_rate=report.base_rate,
                share=float(report.model.truth.mean()),
                probability=float(report.model.probability.mean()),
                thresholds=_times(model.odds.yardstick.thresholds),
                factors=tuple(FactorFacts(column_of(name), FACTORS[name].meaning, known[name]) for name in FACTORS),
            ),
        )


def _calibration(recipe: Recipe, folds: Sequence[Judged], margins: Sequence[Floats]) -> VennAbers:
    return VennAbers.fit(
        np.concatenate(margins),
        np.concatenate([fold.viral for fold in folds]),
        np.concatenate([fold.account for fold in folds]),
        by_recency(list(map(len, folds))),
        coverage=recipe.coverage,
        seed=recipe.seed,
    )


def _outputs(platform: Platform, report: RatedReport, nominal: float) -> tuple[OutputFacts, ...]:
    rung = report.ladder.rungs[MODEL]
    ends = "`virality_lower`, `virality_upper`"
    return (
        OutputFacts(
            "virality_score",
            f"probability, from 0 to 1, that the {PRIMARY[platform]} exceed the account's anchor by more than nine of "
            f"ten posts of the population did; with {100 * nominal:g} % interval {ends}",
            f"Brier score {rung['brier'].value:.4f}",
        ),
        OutputFacts("confidence", "1 less the width of that interval", "not measured"),
        OutputFacts("viral_above", f"the {PRIMARY[platform]} beyond which the post counts as viral", "by definition"),
    )


def _times(thresholds: Mapping[str, float]) -> dict[str, float]:
    """Return thresholds as factors on the anchor, those of populations first."""
    named = {name: float(np.exp(value)) for name, value in sorted(thresholds.items()) if name != EVERYWHERE}
    return {**named, "all others" if named else "all": float(np.exp(thresholds[EVERYWHERE]))}
