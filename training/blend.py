"""How much each expert counts: weights of at least 0, set on rows that none of them learned from.

Stacked regression (Wolpert, 1992; Breiman, 1996, who found that weights must not be negative), for accounts with and
without known outcomes apart. All weights 0 would leave the account anchor, towards which few accounts pull them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features.columns import Bools, Floats, Ints
from training.experts import EXPERTS, KNOWN, ON_KNOWN, STRANGER

PRIOR_ACCOUNTS = 3.0
"""How many accounts the belief counts for that an expert adds nothing."""

HIGHEST = 1.5
"""An expert that learned shyly may be trusted beyond its word, but not far."""

_SMOOTHED = 0.2  # below this an error counts by its square, so that the sum of absolute errors has a slope
_DIGITS = 4


@dataclass(frozen=True)
class Blend:
    """The weight of each of the `EXPERTS` for accounts with and without known outcomes."""

    known: tuple[float, ...]
    new: tuple[float, ...]

    @classmethod
    def fit(cls, answers: Floats, residual: Floats, is_new: Bools, account: Ints) -> Blend:
        """Set the weights that err least on judged rows, an account counting by the square root of its posts."""
        old = ~is_new
        every = np.ones(len(EXPERTS), np.bool_)
        first = np.array([name in ON_KNOWN for name in EXPERTS])
        return cls(
            known=_weights(answers[old], residual[old], account[old], first, KNOWN),
            new=_weights(answers[is_new], residual[is_new], account[is_new], every, STRANGER),
        )

    def weights(self, is_new: Bools) -> Floats:
        """Return the weights of each row, shape (rows, experts)."""
        return np.asarray(np.where(is_new[:, None], self.new, self.known))

    def asked(self, is_new: Bools) -> Bools:
        """Return which experts count for each row, shape (rows, experts)."""
        return self.weights(is_new) > 0

    def residual(self, answers: Floats, is_new: Bools) -> Floats:
        """Return what the experts together add to the anchor."""
        parts = answers * self.weights(is_new)
        total = np.zeros(len(parts))
        for column in parts.T:  # one by one: a sum over a row could depend on how rows lie in memory
            total += column
        return total

    @property
    def mean(self) -> Floats:
        """The weights of both kinds of accounts on average."""
        return np.asarray(np.mean([self.known, self.new], axis=0))

    def to_dict(self) -> dict[str, list[float]]:
        """Return what `from_dict` reads: plain JSON."""
        return {"known": list(self.known), "new": list(self.new)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Sequence[float]]) -> Blend:
        """Read what `to_dict` wrote."""
        return cls(known=tuple(data["known"]), new=tuple(data["new"]))


def _weights(answers: Floats, residual: Floats, account: Ints, allowed: Bools, alone: str) -> tuple[float, ...]:
    """Return the weights of the allowed experts; without evidence one of them is taken at its word."""
    from scipy.optimize import minimize

    if not len(residual):
        return tuple(float(name == alone) for name in EXPERTS)
    _, code, posts = np.unique(account, return_inverse=True, return_counts=True)
    share = 1 / np.sqrt(posts)[code]
    share /= share.sum()
    used = answers[:, allowed]
    doubt = PRIOR_ACCOUNTS / len(posts) * (share[:, None] * used**2).sum(axis=0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        error = residual - used @ weights
        size = np.sqrt(error**2 + _SMOOTHED**2)
        slope = -(used.T @ (share * error / size)) + 2 * doubt * weights
        return float(share @ size + doubt @ weights**2), slope

    start = np.full(used.shape[1], 0.5 / used.shape[1])
    bounds = [(0.0, HIGHEST)] * used.shape[1]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    weights = np.zeros(len(EXPERTS))
    weights[allowed] = np.round(found, _DIGITS)
    return tuple(weights.tolist())
