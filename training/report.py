"""How a fitted model did on rows it had not seen: the ladder, and the numbers that trackers compare by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from features.columns import Floats, Ints
from training.evaluate import (
    ANCHOR,
    CONSTANT,
    MODEL,
    Interval,
    Ladder,
    Promise,
    Scored,
    coverage_with_error,
    ladder,
    paired_gain,
)
from training.examples import Examples
from training.ladder import BY_SOURCE
from training.split import Split

if TYPE_CHECKING:
    from training.performance import Performance
    from training.performance_model import PerformanceModel

GATED_SLICES = (("account", "new"), ("followers x media type", None))
"""Slices that may refuse a challenger: a level, or every level of a slice."""


class Judgement(Protocol):
    """Forecasts of one rung on some posts beside what came true."""

    @property
    def account(self) -> NDArray[np.int64]:
        """Code of each post's account."""

    @property
    def truth(self) -> Floats:
        """What came true of each post."""

    @property
    def slices(self) -> Mapping[str, NDArray[np.str_]]:
        """Each post's level in every slice."""

    @property
    def losses(self) -> Floats:
        """How far off each forecast was, at least 0; what gains are shares of."""

    def promise(self, nominal: float) -> Promise:
        """Hold what the forecasts say of themselves against what came true."""

    def take(self, posts: NDArray[np.bool_]) -> Self:
        """Return the forecasts of some posts, without their slices."""


class Reported(Protocol):
    """What a family says of a model on a holdout."""

    @property
    def ladder(self) -> Ladder:
        """Every rung's metrics."""

    @property
    def model(self) -> Judgement:
        """The model's own forecasts."""

    @property
    def anchor_gain(self) -> Interval:
        """What the model saves of the account anchor's error."""

    def metrics(self) -> dict[str, float]:
        """Return the model's known metrics, and those of the rungs below it that trackers compare by."""


@dataclass(frozen=True)
class Report:
    """A model's ladder on a holdout, and the forecasts behind it."""

    rungs: Mapping[str, Scored]
    ladder: Ladder
    train_median: float

    @property
    def model(self) -> Scored:
        """The model's own forecasts."""
        return self.rungs[MODEL]

    @property
    def anchor_gain(self) -> Interval:
        """What the model saves of the account anchor's error."""
        return self.ladder.gain

    def metrics(self) -> dict[str, float]:
        """Return the model's known metrics with their ends, and the error of the rungs below it."""
        below = {
            "constant_mae_log": self.ladder.rungs[CONSTANT]["mae_log"].value,
            "anchor_mae_log": self.ladder.rungs[ANCHOR]["mae_log"].value,
            "gain_over_anchor": self.ladder.gain.value,
            "holdout_posts": float(self.ladder.posts),
            "holdout_accounts": float(self.ladder.accounts),
        }
        known = {name: value for name, value in (below | self._by_source()).items() if math.isfinite(value)}
        return {**self.ladder.metrics(MODEL), **known}

    def _by_source(self) -> dict[str, float]:
        """Return what the model reaches within each of several sources: pooled, R² also holds their distance."""
        rows = [row for row in self.ladder.slices if row.slice == "source"]
        if len(rows) < 2:
            return {}
        return {
            f"{BY_SOURCE}{row.level}.{name}": row.rungs[MODEL][name].value
            for row in rows
            for name in ("mae_log", "r2")  # accuracy is about the median of all sources
        }


def report_on(
    task: Performance,
    model: PerformanceModel,
    examples: Examples,
    split: Split,
    *,
    replicates: int,
    seed: int,
) -> Report:
    """Judge a model fitted to the split's training rows on its later ones."""
    median = float(np.median(examples.known_by(split.train, split.until_s).outcome[split.train]))
    rungs = task.rungs(model, examples, split.judge, train_median=median)
    return Report(rungs, ladder(rungs, median, replicates, seed), median)


def gain(champion: Judgement, challenger: Judgement, *, replicates: int, seed: int) -> Interval:
    """Return the share of the champion's error that the challenger saves on the same posts."""
    return paired_gain(challenger.account, champion.losses, challenger.losses, replicates, seed)


def slice_gains(
    champion: Judgement, challenger: Judgement, *, min_posts: int, min_accounts: int, replicates: int, seed: int
) -> list[tuple[str, int, int, Interval]]:
    """Return name, posts, accounts and gain of each gated slice that is large enough to say something."""
    found = []
    for name, only in GATED_SLICES:
        levels = challenger.slices[name]
        for level in sorted(set(levels.tolist()) if only is None else {only}):
            inside = levels == level
            accounts = len(np.unique(challenger.account[inside]))
            if np.count_nonzero(inside) >= min_posts and accounts >= min_accounts:
                part = gain(champion.take(inside), challenger.take(inside), replicates=replicates, seed=seed)
                found.append((f"{name} {level}", int(inside.sum()), accounts, part))
    return found


def engagement_metrics(task: Performance, model: PerformanceModel, examples: Examples, rows: Ints) -> dict[str, float]:
    """Return how far the engagement rate was off, beside its anchor; nothing where no rate is known.

    Errors are of the log of the rate, so 0.1 is about 10 %.
    """
    truth = examples.engagement[rows]
    known = np.isfinite(truth)
    if not known.any():
        return {}
    inputs = task.inputs(model, examples, rows)
    forecast = model.forecast(inputs, [examples.populations[row] for row in rows])
    inside = (forecast.engagement_lower <= truth) & (truth <= forecast.engagement_upper)
    return {
        "engagement_mae_log": float(np.abs(truth - forecast.engagement)[known].mean()),
        "engagement_anchor_mae_log": float(np.abs(truth - inputs.engagement_anchor)[known].mean()),
        "engagement_coverage": float(inside[known].mean()),
    }


def coverage_levels(
    task: Performance, model: PerformanceModel, examples: Examples, rows: Ints
) -> dict[float, tuple[float, float]]:
    """Return, for each nominal coverage, the observed one on some rows and its standard error by account."""
    inside = model.inside(task.inputs(model, examples, rows), examples.outcome[rows])
    return {level: coverage_with_error(examples.account[rows], within) for level, within in inside.items()}
