"""Prediction intervals from the errors made on later posts.

Normalised split-conformal prediction (Papadopoulos et al., 2002; Lei et al., 2018, section 5.2): errors of
forecasts on rows not learned from are divided by their expected size, and the quantiles of these ratios
become the interval. Accounts with and without known outcomes have quantiles of their own (Mondrian conformal
prediction; Vovk et al., 2005). Where errors drift, the later ones may count for more (Barber et al., 2023, Conformal
prediction beyond exchangeability).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.columns import Bools, Floats, Ints

MIN_ROWS = 150
"""A group with fewer errors than this shares the quantiles of all."""

_ROUNDING = 1e-9
"""Keeps ranks from being one off where the weight beyond an end is a whole one but for its last bits."""


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
    def fit(
        cls, error: Floats, scale: Floats, is_new: Bools, coverage: float, weight: Floats | None = None
    ) -> Conformal:
        """Take the quantiles of error / scale, weighted if asked for; `error` is truth less forecast and not empty."""
        ratio, counts = error / scale, np.ones(len(error)) if weight is None else weight
        pooled = _ends(ratio, counts, coverage)

        def group(members: Bools) -> tuple[float, float]:
            return _ends(ratio[members], counts[members], coverage) if members.sum() >= MIN_ROWS else pooled

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


def _ends(ratio: Floats, weight: Floats, coverage: float) -> tuple[float, float]:
    """Return the ratios that leave at most half of what is not to be covered beyond each end.

    Of n exchangeable errors and one more, the new one is equally likely to take each of the n + 1 ranks. So
    it falls below the k-th smallest with a probability of at most k / (n + 1); with weights, the new one having the
    largest, these take the place of counts. Where n is too small for that to be as little as asked, the smallest and
    the largest must do.
    """
    order = np.argsort(ratio, kind="stable")
    beyond = (weight.sum() + weight.max()) * (1 - coverage) / 2 * (1 + _ROUNDING)

    def end(inwards: Ints) -> float:
        within = int(np.count_nonzero(np.cumsum(weight[inwards]) <= beyond))
        return float(ratio[inwards[max(within, 1) - 1]])

    return end(order), end(order[::-1])
