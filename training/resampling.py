"""Resampling whole accounts, so that an interval knows that the posts of one account resemble each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import SettingsError

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

TAIL_PERCENT = 2.5
# Two accounts are the fewest that can differ from one another, so the fewest that give an interval.
MIN_ACCOUNTS = 2
_WEIGHTS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Resamples:
    """Bootstrap samples of accounts with replacement, redrawn from the seed at each use so memory stays flat.

    The pairs cluster bootstrap: Field and Welsh (2007), "Bootstrapping clustered data", J. R. Statist. Soc. B
    69(3), 369-390; Cameron, Gelbach and Miller (2008), "Bootstrap-based improvements for inference with
    clustered errors", Review of Economics and Statistics 90(3), 414-427, who show that with fewer than about
    30 clusters such intervals come out too narrow.
    """

    code: Codes
    accounts: int
    replicates: int
    seed: int

    @classmethod
    def of(cls, account: NDArray[np.int64], replicates: int, seed: int) -> Resamples:
        """Number the accounts of the posts from 0 and prepare their samples."""
        if replicates < 1:
            raise SettingsError(f"replicates is {replicates}; a bootstrap needs at least 1, and 1000 for an interval")
        labels, code = np.unique(account, return_inverse=True)
        return cls(code, len(labels), replicates, seed)

    def weights(self) -> Iterator[Floats]:
        """Yield how often each account was drawn, in blocks of shape (replicates of the block, accounts)."""
        rng = np.random.default_rng(self.seed)
        size = max(1, _WEIGHTS_AT_ONCE // self.accounts)
        for start in range(0, self.replicates, size):
            rows = min(size, self.replicates - start)
            drawn = rng.integers(0, self.accounts, (rows, self.accounts))
            drawn += self.accounts * np.arange(rows)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=rows * self.accounts)
            yield counts.reshape(rows, self.accounts).astype(np.float64)

    def totals(self, columns: Floats) -> Floats:
        """Sum columns of shape (posts, m) over the posts of each account: (accounts, m)."""
        return np.column_stack([np.bincount(self.code, column, self.accounts) for column in columns.T])

    def sums(self, totals: Floats) -> Floats:
        """Sum the accounts' totals over each bootstrap sample: (replicates, m)."""
        with np.errstate(invalid="ignore"):
            return np.concatenate([weights @ totals for weights in self.weights()])

    def ends(self, values: Floats) -> tuple[float, float]:
        """Return the 95 % percentile interval of replicated values; nan where most of them are unknown."""
        known = values[np.isfinite(values)]
        if self.accounts < MIN_ACCOUNTS or 2 * known.size < values.size or not known.size:
            return float("nan"), float("nan")
        low, high = np.percentile(known, [TAIL_PERCENT, 100 - TAIL_PERCENT])
        return float(low), float(high)


@dataclass(frozen=True)
class Ranking:
    """Posts ordered by a value, equal values sharing their places."""

    code: Codes
    distinct: int

    @classmethod
    def of(cls, values: Floats) -> Ranking:
        """Order posts by `values`, ascending."""
        levels, code = np.unique(values, return_inverse=True)
        return cls(code, len(levels))

    def places(self, weight: Floats, top: Callable[[float], float] | None = None) -> tuple[Floats, Floats]:
        """Rank the posts of a sample in which post i occurs `weight[i]` times.

        Returns the mid-rank of each post, centred at 0, and the share of it that lies in the top, a fifth unless said
        otherwise: posts tied across the border fill the places left in equal parts, the mean over all ways to break
        the tie.
        """
        count = np.bincount(self.code, weight, self.distinct)
        up_to = np.cumsum(count)
        posts = up_to[-1]
        rank = up_to - (count + posts) / 2
        share = np.clip(((top or fifth)(posts) - (posts - up_to)) / np.maximum(count, 1), 0, 1)
        return rank[self.code], share[self.code]


def fifth(posts: float) -> float:
    """Return how many posts make the top fifth, at least one."""
    return max(1.0, posts // 5)


def tenth(posts: float) -> float:
    """Return how many posts make the top tenth, at least one."""
    return max(1.0, posts // 10)


def agreement(truth: Ranking, predictions: list[Ranking], weight: Floats) -> Floats:
    """Return Spearman's correlation and the precision of the top fifth, one row for each prediction."""
    true_rank, true_share = truth.places(weight)
    rows = []
    for prediction in predictions:
        rank, share = prediction.places(weight)
        spread = np.sqrt((weight @ true_rank**2) * (weight @ rank**2))
        spearman = weight @ (true_rank * rank) / spread if spread > 0 else np.nan
        precision = weight @ (true_share * share) / fifth(weight.sum())
        rows.append((spearman, precision if truth.distinct > 1 else np.nan))
    return np.array(rows)
