"""The account's rung of the virality ladder: what the record of an account alone says of the odds of going viral."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.columns import Floats

READS = ("outcomes_known", "outcome_spread", "anchor", "prior", "log_followers")
"""Columns that the line reads: no word of the post itself, nor of when it is published."""

RIDGE = 1.0
"""How many rows the belief counts for that nothing matters."""

_DIGITS = 6


@dataclass(frozen=True, eq=False)
class AccountLine:
    """A logistic regression on seven numbers that the record of an account comes to.

    Attributes
    ----------
    centre, scale
        Mean and spread of each number in training.
    """

    intercept: float
    weights: Floats
    centre: Floats
    scale: Floats

    @classmethod
    def fit(cls, names: Sequence[str], matrix: Floats, viral: Floats) -> AccountLine:
        """Fit to rows by Newton's method."""
        numbers = _numbers(names, matrix)
        centre, spread = numbers.mean(axis=0), numbers.std(axis=0)
        scale = np.where(spread > 1e-6, spread, 1.0)
        design = np.column_stack([np.ones(len(numbers)), (numbers - centre) / scale])
        # The intercept is pulled towards even odds by one row: with none viral, or all, it would have no end.
        penalty = np.full(design.shape[1], RIDGE)
        found = np.zeros(design.shape[1])
        for _ in range(25):
            odds = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
            slope = design.T @ (viral - odds) - penalty * found
            curve = (design.T * (odds * (1 - odds))) @ design + np.diag(penalty)
            step = np.clip(np.linalg.solve(curve, slope), -2, 2)
            found += step
            if np.abs(step).max() < 10**-_DIGITS:
                break
        found = np.round(found, _DIGITS) + 0.0  # and no -0.0
        centre, scale = (np.asarray(np.round(each, 9), dtype=np.float64) for each in (centre, scale))
        return cls(float(found[0]), found[1:], centre, scale)

    def margin(self, names: Sequence[str], matrix: Floats) -> Floats:
        """Return the log odds of each row."""
        total = np.full(len(matrix), self.intercept)
        scaled = (_numbers(names, matrix) - self.centre) / self.scale
        for weight, column in zip(
            self.weights, scaled.T, strict=True
        ):  # one by one, so that a row is equal in any batch
            total += weight * column
        return total

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads: plain JSON."""
        vectors = {name: getattr(self, name).tolist() for name in ("weights", "centre", "scale")}
        return {"intercept": self.intercept, **vectors}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AccountLine:
        """Read what `to_dict` wrote."""
        vectors = {name: np.array(data[name]) for name in ("weights", "centre", "scale")}
        return cls(intercept=data["intercept"], **vectors)


def _numbers(names: Sequence[str], matrix: Floats) -> Floats:
    """Return what the line weighs: outcomes known and whether any is, spread and whether it is known, and so on."""
    positions = {name: column for column, name in enumerate(names)}
    known, spread, anchor, prior, followers = (matrix[:, positions[name]] for name in READS)
    columns = [
        np.log1p(known),
        known > 0,
        np.nan_to_num(spread),
        np.isfinite(spread),
        np.nan_to_num(anchor - prior),
        np.nan_to_num(followers),
        np.isfinite(followers),
    ]
    return np.column_stack(columns).astype(np.float64)
