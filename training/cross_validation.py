"""How a recipe did on each forward-chaining fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from features.columns import Floats, Ints
from training.blend import Blend
from training.calibration import blend_of, primary_error
from training.examples import Examples
from training.judging import Judged, OutOfFold
from training.recipe import Recipe


@dataclass(frozen=True)
class FoldScore:
    """Errors on the later rows of one fold, in log1p of the primary count.

    Attributes
    ----------
    learned, judged
        How many posts the forecasts rest on, and how many were forecast.
    mae, r2
        With the history of each post's day; R² is None where all outcomes are equal.
    frozen_mae, frozen_r2
        With the history of the fold's start, as by a model that nobody feeds.
    anchor_mae
        Of the account anchor, with the history of each post's day.
    """

    learned: int
    judged: int
    mae: float
    r2: float | None
    frozen_mae: float
    frozen_r2: float | None
    anchor_mae: float

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads: plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FoldScore:
        """Read what `to_dict` wrote."""
        return cls(**data)


def cross_validate(recipe: Recipe, examples: Examples, rows: Ints) -> tuple[FoldScore, ...]:
    """Judge a recipe on the forward-chaining folds of some rows, everything fitted to each fold anew."""
    unseen = OutOfFold.of(recipe, examples, rows)
    return fold_scores(unseen.folds, blend_of([*unseen.folds, *unseen.strangers]))


def fold_scores(folds: Sequence[Judged], blend: Blend) -> tuple[FoldScore, ...]:
    """Score what the folds judged, the experts weighed as in a model."""
    return tuple(_score(fold, primary_error(fold, blend)) for fold in folds)


def _score(fold: Judged, error: Floats) -> FoldScore:
    posts = len(fold) // 2
    fresh, frozen = error[:posts], error[posts:]
    outcome = fold.outcome[:posts]
    return FoldScore(
        learned=fold.learned,
        judged=posts,
        mae=_mean_size(fresh),
        r2=_explained(outcome, fresh),
        frozen_mae=_mean_size(frozen),
        frozen_r2=_explained(outcome, frozen),
        anchor_mae=_mean_size(fold.residual[:posts]),
    )


def _mean_size(error: Floats) -> float:
    return float(np.abs(error).mean())


def _explained(outcome: Floats, error: Floats) -> float | None:
    """Return R², None where the outcomes do not vary."""
    if np.ptp(outcome) == 0:
        return None
    return 1 - float(np.mean(error**2) / np.var(outcome))
