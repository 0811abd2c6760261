"""Prediction intervals from the errors made on later posts.

Normalised split-conformal prediction (Papadopoulos et al., 2002; Lei et al., 2018, section 5.2): errors of
forecasts on rows not learned from are divided by their expected size, and the quantiles of these ratios
become the interval. Accounts with and without known outcomes have quantiles of their own (Mondrian conformal
prediction; Vovk et al., 2005).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.columns import Bools, Floats

MIN_ROWS = 150
"""A group with fewer errors than this shares the quantiles of all."""

_ROUNDING = 1e-9
"""Keeps ranks from being one off where (n + 1) times a share is a whole number but for its last bits."""


@dataclass(frozen=True)
class Conformal:
    """Ends of an interval as multiples of the expected size of the error.

    Attributes
    ----------
    known, new
        Lower and upper multiple for accounts with and without known outcomes.
    """

    known: tuple[float, float]
    new: tuple[float, float]

    @classmethod
    def fit(cls, error: Floats, scale: Floats, is_new: Bools, coverage: float) -> Conformal:
        """Take the quantiles of error / scale, where `error` is truth less forecast and neither is empty."""
        ratio = error / scale
        pooled = _ends(ratio, coverage)

        def group(members: Bools) -> tuple[float, float]:
            return _ends(ratio[members], coverage) if np.count_nonzero(members) >= MIN_ROWS else pooled

        return cls(known=group(~is_new), new=group(is_new))

    def interval(self, prediction: Floats, scale: Floats, is_new: Bools) -> tuple[Floats, Floats]:
        """Return the lower and upper ends around a forecast, which always lies between them."""
        low = np.where(is_new, self.new[0], self.known[0])
        high = np.where(is_new, self.new[1], self.known[1])
        return prediction + np.minimum(low, 0.0) * scale, prediction + np.maximum(high, 0.0) * scale

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads: plain JSON."""
        return {"known": list(self.known), "new": list(self.new)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Sequence[float]]) -> Conformal:
        """Read what `to_dict` wrote."""
        (known_low, known_high), (new_low, new_high) = data["known"], data["new"]
        return cls((known_low, known_high), (new_low, new_high))


def _ends(ratio: Floats, coverage: float) -> tuple[float, float]:
    """Return the ratios that leave at most half of what is not to be covered beyond each end.

    Of n exchangeable errors and one more, the new one is equally likely to take each of the n + 1 ranks. So
    it falls below the k-th smallest with a probability of at most k / (n + 1). Where n is too small for that
    to be as little as asked, the smallest and the largest must do.
    """
    beyond = (len(ratio) + 1) * (1 - coverage) / 2
    rank = max(math.floor(beyond + _ROUNDING), 1)
    ordered = np.sort(ratio)
    return float(ordered[rank - 1]), float(ordered[len(ratio) - rank])
