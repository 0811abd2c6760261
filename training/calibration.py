"""What is set on later rows: how far the residual is trusted, how large errors are, and the intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.build import CATEGORICAL
from features.columns import Bools, Floats, Ints
from training.conformal import Conformal
from training.estimators import estimator
from training.judging import SPREAD_FEATURES, Judged
from training.recipe import Recipe
from training.regressor import Regressor, Table

SHOWN_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Nominal coverages at which the calibration of intervals is shown."""

SPREAD_PARAMETERS = {
    "rounds": 60,
    "learning_rate": 0.08,
    "num_leaves": 7,
    "min_data_in_leaf": 80,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "lambda_l2": 20.0,
}
"""Few, small and shy trees: the size of an error is far harder to tell than the outcome itself."""

FLOOR_SHARE = 0.3
"""The smallest expected error, as a share of the median one."""

LEAST_ERROR = 1e-6
"""Keeps ratios finite where forecasts never err."""


@dataclass(frozen=True)
class Calibration:
    """The weight of the residual, the size of errors, and intervals.

    Attributes
    ----------
    residual_weight
        Share of the residual that is added to the anchor, for accounts with and without known outcomes.
    spread
        Regressor of the absolute error on `SPREAD_FEATURES`.
    floor
        Smallest expected error, in log1p of the primary count.
    engagement
        The interval of the log engagement rate; None where no rate of a later row was known.
    levels
        The primary interval at other nominal coverages, by which its calibration is shown.
    """

    residual_weight: tuple[float, float]
    spread: Regressor
    floor: float
    primary: Conformal
    engagement: Conformal | None
    levels: Mapping[float, Conformal]

    def weight(self, is_new: Bools) -> Floats:
        """Return the share of the residual that is added to each post's anchor."""
        return weight_of(self.residual_weight, is_new)

    def scale(self, spread: Floats) -> Floats:
        """Return the expected absolute error of each forecast from its `SPREAD_FEATURES`."""
        return np.maximum(self.spread.predict(spread), self.floor)

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, all but the regressor: plain JSON."""
        return {
            "residual_weight": list(self.residual_weight),
            "floor": self.floor,
            "primary": self.primary.to_dict(),
            "engagement": self.engagement.to_dict() if self.engagement else None,
            "levels": {str(level): each.to_dict() for level, each in self.levels.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], spread: Regressor) -> Calibration:
        """Read what `to_dict` wrote."""
        known, new = data["residual_weight"]
        return cls(
            residual_weight=(known, new),
            spread=spread,
            floor=data["floor"],
            primary=Conformal.from_dict(data["primary"]),
            engagement=Conformal.from_dict(data["engagement"]) if data["engagement"] else None,
            levels={float(level): Conformal.from_dict(each) for level, each in data["levels"].items()},
        )


def calibrate(recipe: Recipe, folds: Sequence[Judged]) -> Calibration:
    """Set everything on what the folds judged."""
    weights = residual_weights(folds)
    is_new = np.concatenate([fold.is_new for fold in folds])
    spread = np.concatenate([fold.spread for fold in folds])
    account = np.concatenate([fold.account for fold in folds])
    error = np.concatenate([primary_error(fold, weights) for fold in folds])
    floor = max(FLOOR_SHARE * float(np.median(np.abs(error))), LEAST_ERROR)
    scale = np.maximum(_cross_fitted_spread(recipe, spread, error, account), floor)
    engagement = np.concatenate([fold.engagement_error for fold in folds])
    return Calibration(
        residual_weight=weights,
        spread=_fit_spread(recipe, _spread_table(spread), error, np.arange(len(error))),
        floor=floor,
        primary=Conformal.fit(error, scale, is_new, recipe.coverage),
        engagement=_engagement_interval(engagement, is_new, recipe.coverage),
        levels={level: Conformal.fit(error, scale, is_new, level) for level in SHOWN_LEVELS},
    )


def residual_weights(folds: Sequence[Judged]) -> tuple[float, float]:
    """Return the best weight of the residual for accounts with and without known outcomes."""
    residual = np.concatenate([fold.residual for fold in folds])
    raw = np.concatenate([fold.raw for fold in folds])
    is_new = np.concatenate([fold.is_new for fold in folds])
    return best_weight(residual[~is_new], raw[~is_new]), best_weight(residual[is_new], raw[is_new])


def best_weight(residual: Floats, raw: Floats) -> float:
    """Return the share of the residual, 0 to 1, that errs least in absolute terms; 1 without evidence."""
    if not len(residual):
        return 1.0
    shares = np.linspace(0.0, 1.0, 21)
    errors = [float(np.abs(residual - share * raw).mean()) for share in shares]
    return float(shares[int(np.argmin(errors))])


def weight_of(weights: tuple[float, float], is_new: Bools) -> Floats:
    """Return the weight of each post: the first of the two for accounts with known outcomes."""
    known, new = weights
    return np.where(is_new, new, known)


def primary_error(fold: Judged, weights: tuple[float, float]) -> Floats:
    """Return truth less forecast of each judged row, in log1p of the primary count."""
    return fold.residual - weight_of(weights, fold.is_new) * fold.raw


def _engagement_interval(error: Floats, is_new: Bools, coverage: float) -> Conformal | None:
    known = np.isfinite(error)
    if not known.any():
        return None
    return Conformal.fit(error[known], np.ones(np.count_nonzero(known)), is_new[known], coverage)


def _cross_fitted_spread(recipe: Recipe, spread: Floats, error: Floats, account: Ints) -> Floats:
    """Return the expected error of each row from a regressor that saw the other half of the accounts only.

    A regressor that has seen a row's own error expects it too well, and intervals would come out too narrow.
    Where there is only one account, halves of its rows must do.
    """
    names, owner = np.unique(account, return_inverse=True)
    if len(names) < 2:
        owner = np.arange(len(error))
    half = np.random.default_rng(recipe.seed).permutation(owner.max() + 1)[owner] % 2
    table = _spread_table(spread)
    expected = np.empty(len(error))
    for side in (0, 1):
        regressor = _fit_spread(recipe, table, error, np.flatnonzero(half != side))
        expected[half == side] = regressor.predict(spread[half == side])
    return expected


def _fit_spread(recipe: Recipe, table: Table, error: Floats, rows: Ints) -> Regressor:
    return estimator("lightgbm").fit(table, np.abs(error), rows, parameters=SPREAD_PARAMETERS, seed=recipe.seed)


def _spread_table(spread: Floats) -> Table:
    return Table(spread, SPREAD_FEATURES, frozenset(CATEGORICAL))
