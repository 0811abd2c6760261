"""From log odds to a calibrated probability with an interval: a table that is looked up by the log odds.

Inductive Venn-Abers prediction (Vovk & Petej, 2014, Venn-Abers predictors): isotonic regression of what happened on the
log odds, once as if the post at hand had failed and once as if it had gone viral, on posts that the odds were not
learned from. These two probabilities hold whatever the odds are worth, as long as posts are exchangeable, and agree the
more posts there are. Later posts may count for more than earlier ones, since shares drift. Posts of one account
resemble each other, though, so the interval also asks how the curve changes with the accounts it was drawn from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from features.columns import Floats, Ints
from training.resampling import MIN_ACCOUNTS, Resamples

LOWEST, STEP, PLACES = -8.0, 0.05, 241
"""Log odds are rounded to a grid that was fixed before any post was seen, from 1 in 3,000 to 54 in 55."""

REPLICATES = 200
"""Resamples of accounts behind the interval."""

_DIGITS = 6


class Calibrated(NamedTuple):
    """Probabilities with the ends of their intervals."""

    probability: Floats
    lower: Floats
    upper: Floats


@dataclass(frozen=True, eq=False)
class VennAbers:
    """A probability and the ends of its interval for each place on the grid, all rising with the log odds."""

    probability: Floats
    lower: Floats
    upper: Floats

    @classmethod
    def fit(
        cls, margin: Floats, viral: Floats, account: Ints, weight: Floats, *, coverage: float, seed: int
    ) -> VennAbers:
        """Draw the curve through posts that the odds were not learned from.

        Parameters
        ----------
        viral
            1 where a post went viral, else 0.
        weight
            How much each post counts, at most 1, which is what the post at hand counts.
        """
        place = _places(margin)
        count, happened = _sums(place, weight), _sums(place, weight * viral)
        both = [[_with_one(count, happened, at, label) for label in (0, 1)] for at in range(PLACES)]
        p0, p1 = np.asarray(both, dtype=np.float64).T
        low, high = _by_account(place, viral, account, weight, coverage, seed)
        probability = p1 / (1 - p0 + p1)
        lower = np.minimum(np.minimum(p0, low), probability)
        upper = np.maximum(np.maximum(p1, high), probability)
        return cls(np.round(probability, _DIGITS), np.round(lower, _DIGITS), np.round(upper, _DIGITS))

    def at(self, margin: Floats) -> Calibrated:
        """Return the probability at each log odds, with the ends of its interval."""
        place = _places(margin)
        return Calibrated(self.probability[place], self.lower[place], self.upper[place])

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads: plain JSON."""
        return {name: values.tolist() for name, values in vars(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Sequence[float]]) -> VennAbers:
        """Read what `to_dict` wrote."""
        return cls(**{name: np.array(values) for name, values in data.items()})


def _places(margin: Floats) -> Ints:
    return np.clip(np.rint((margin - LOWEST) / STEP), 0, PLACES - 1).astype(np.int64)


def _sums(place: Ints, amounts: Floats) -> Floats:
    return np.asarray(np.bincount(place, amounts, PLACES), dtype=np.float64)


def _with_one(count: Floats, happened: Floats, at: int, label: int) -> float:
    """Return the height at a place of the curve through all posts and one more there, of that label."""
    count, happened = count.copy(), happened.copy()
    count[at] += 1
    happened[at] += label
    used = np.flatnonzero(count)
    return float(_rising(count[used], happened[used])[np.searchsorted(used, at)])


def _by_account(
    place: Ints, viral: Floats, account: Ints, weight: Floats, coverage: float, seed: int
) -> tuple[Floats, Floats]:
    """Return between which heights the curve runs in so many of the resamples of accounts; nowhere if there is one."""
    samples = Resamples.of(account, REPLICATES, seed)
    if samples.accounts < MIN_ACCOUNTS:
        return np.ones(PLACES), np.zeros(PLACES)
    curves = []
    for weights in samples.weights():
        for drawn in weights[:, samples.code] * weight:
            count, happened = _sums(place, drawn), _sums(place, drawn * viral)
            used = np.flatnonzero(count)
            curves.append(np.interp(np.arange(PLACES), used, _rising(count[used], happened[used])))
    low, high = np.quantile(curves, [(1 - coverage) / 2, (1 + coverage) / 2], axis=0)
    return low, high


def _rising(count: Floats, happened: Floats) -> Floats:
    """Return the shares of what happened, pooled until they rise."""
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(happened / count, weights=count).x)
