"""What is set on rows not learned from: how much experts count, how large errors are, and the intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.build import CATEGORICAL
from features.columns import Bools, Floats, Ints
from training.blend import Blend
from training.conformal import Conformal
from training.estimators import estimator
from training.judging import SPREAD_FEATURES, Judged
from training.recipe import Recipe
from training.regressor import Regressor, Table

SHOWN_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Nominal coverages at which the calibration of intervals is shown."""

SPREAD_PARAMETERS = {
    "objective": "regression",
    "rounds": 60,
    "learning_rate": 0.08,
    "num_leaves": 7,
    "min_data_in_leaf": 80,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "lambda_l2": 20.0,
}
"""Few, small and shy trees: the size of an error is far harder to tell than the outcome itself."""

SPREAD_PARTS = 5
"""In how many parts accounts are held out in turn when the size of errors is cross-fitted."""

FOLD_WEIGHT = 0.5
"""How much an error counts beside one of the next fold, where intervals are set: errors drift."""

FLOOR_SHARE = 0.3
"""The smallest expected error, as a share of the median one."""

LEAST_ERROR = 1e-6
"""Keeps ratios finite where forecasts never err."""


@dataclass(frozen=True)
class Calibration:
    """The weights of the experts, the size of errors, and intervals.

    Attributes
    ----------
    blend
        How much each expert counts, for accounts with and without known outcomes.
    spread
        Regressor of the absolute error on `SPREAD_FEATURES`.
    floor
        Smallest expected error, in log1p of the primary count.
    engagement
        The interval of the log engagement rate; None where no rate of a later row was known.
    levels
        The primary interval at other nominal coverages, by which its calibration is shown.
    """

    blend: Blend
    spread: Regressor
    floor: float
    primary: Conformal
    engagement: Conformal | None
    levels: Mapping[float, Conformal]

    def scale(self, spread: Floats) -> Floats:
        """Return the expected absolute error of each forecast from its `SPREAD_FEATURES`."""
        return np.maximum(self.spread.predict(spread), self.floor)

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, all but the regressor: plain JSON."""
        return {
            "blend": self.blend.to_dict(),
            "floor": self.floor,
            "primary": self.primary.to_dict(),
            "engagement": self.engagement.to_dict() if self.engagement else None,
            "levels": {str(level): each.to_dict() for level, each in self.levels.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], spread: Regressor) -> Calibration:
        """Read what `to_dict` wrote."""
        return cls(
            blend=Blend.from_dict(data["blend"]),
            spread=spread,
            floor=data["floor"],
            primary=Conformal.from_dict(data["primary"]),
            engagement=Conformal.from_dict(data["engagement"]) if data["engagement"] else None,
            levels={float(level): Conformal.from_dict(each) for level, each in data["levels"].items()},
        )


def calibrate(recipe: Recipe, folds: Sequence[Judged], strangers: Sequence[Judged] = ()) -> Calibration:
    """Set everything on rows that nothing was learned from: those that folds judged, and those of strangers.

    The size of errors is learned from the folds alone, since strangers are the same accounts once more.
    """
    judged = [*folds, *strangers]
    blend = blend_of(judged)
    is_new = np.concatenate([each.is_new for each in judged])
    spread = np.concatenate([each.spread for each in judged])
    account = np.concatenate([each.account for each in judged])
    error = np.concatenate([primary_error(each, blend) for each in judged])
    later = np.arange(len(error)) < sum(map(len, folds))
    weight = np.concatenate([by_recency(list(map(len, folds))), np.ones(sum(map(len, strangers)))])
    floor = max(FLOOR_SHARE * float(np.median(np.abs(error))), LEAST_ERROR)
    scale = np.maximum(_cross_fitted_spread(recipe, spread, error, account, later), floor)
    engagement = np.concatenate([each.engagement_error for each in judged])
    return Calibration(
        blend=blend,
        spread=_fit_spread(recipe, _spread_table(spread), error, np.flatnonzero(later)),
        floor=floor,
        primary=Conformal.fit(error, scale, is_new, recipe.coverage, weight),
        engagement=_engagement_interval(engagement, is_new, recipe.coverage, weight),
        levels={level: Conformal.fit(error, scale, is_new, level, weight) for level in SHOWN_LEVELS},
    )


def blend_of(judged: Sequence[Judged]) -> Blend:
    """Return the weights of the experts that err least on what was judged."""
    return Blend.fit(
        np.concatenate([each.answers for each in judged]),
        np.concatenate([each.residual for each in judged]),
        np.concatenate([each.is_new for each in judged]),
        np.concatenate([each.account for each in judged]),
    )


def primary_error(judged: Judged, blend: Blend) -> Floats:
    """Return truth less forecast of each judged row, in log1p of the primary count."""
    return judged.residual - blend.residual(judged.answers, judged.is_new)


def by_recency(folds: Sequence[int]) -> Floats:
    """Return how much each row of folds of these lengths counts: as much as `FOLD_WEIGHT` of one of the next fold."""
    return np.repeat(FOLD_WEIGHT ** np.arange(len(folds) - 1.0, -1.0, -1.0), folds)


def _engagement_interval(error: Floats, is_new: Bools, coverage: float, weight: Floats) -> Conformal | None:
    known = np.isfinite(error)
    if not known.any():
        return None
    return Conformal.fit(error[known], np.ones(np.count_nonzero(known)), is_new[known], coverage, weight[known])


def _cross_fitted_spread(recipe: Recipe, spread: Floats, error: Floats, account: Ints, learned: Bools) -> Floats:
    """Return the expected error of each row from a regressor of learned rows that never saw its account.

    A regressor that has seen a row's own error expects it too well, and intervals would come out too narrow.
    Where there is only one account, parts of its rows must do.
    """
    names, owner = np.unique(account, return_inverse=True)
    if len(names) < 2:
        owner = np.arange(len(error))
    part = np.random.default_rng(recipe.seed).permutation(owner.max() + 1)[owner] % SPREAD_PARTS
    table = _spread_table(spread)
    expected = np.empty(len(error))
    for each in np.unique(part):
        regressor = _fit_spread(recipe, table, error, np.flatnonzero(learned & (part != each)))
        expected[part == each] = regressor.predict(spread[part == each])
    return expected


def _fit_spread(recipe: Recipe, table: Table, error: Floats, rows: Ints) -> Regressor:
    return estimator("lightgbm").fit(table, np.abs(error), rows, parameters=SPREAD_PARAMETERS, seed=recipe.seed)


def _spread_table(spread: Floats) -> Table:
    return Table(spread, SPREAD_FEATURES, frozenset(CATEGORICAL))
