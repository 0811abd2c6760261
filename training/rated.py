"""How good probabilities of going viral are: metrics with intervals, and their ladder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.columns import Floats
from features.errors import NotEnoughDataError
from training.evaluate import Promise, interval_of, level_order, saved_share, share_with_error
from training.ladder import ANCHOR, Interval, Ladder, Metrics, SliceRow
from training.resampling import Ranking, Resamples, tenth

BINS = 10
"""In how many bins of equal size forecasts are held against the shares that came true."""

_FROM_SUMS = ("brier", "log_loss", "calibration_error")
_FROM_RANKS = ("auc", "precision_top_tenth")
_ORDER = ("brier", "log_loss", "auc", "calibration_error", "precision_top_tenth")
# Ranks are made anew in each replicate, as in `training.evaluate`.
_RANK_WORK = 20_000_000
_SLICE_RANK_REPLICATES = 200
# So that one post called impossible that happened costs much, but not without end.
_LEAST_CHANCE = 1e-4


@dataclass(frozen=True)
class Rated:
    """Probabilities of one rung on a holdout beside what came true, as arrays of equal length.

    `truth` is 1 where a post went viral, else 0; `account` holds integer codes; `slices` maps a slice's name to each
    post's level.
    """

    account: NDArray[np.int64]
    truth: Floats
    probability: Floats
    slices: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    @property
    def losses(self) -> Floats:
        """The squared error of each probability, whose mean is the Brier score (Brier, 1950)."""
        return np.asarray((self.truth - self.probability) ** 2)

    def take(self, posts: NDArray[np.bool_]) -> Rated:
        """Return the probabilities of some posts, without their slices."""
        return Rated(self.account[posts], self.truth[posts], self.probability[posts])

    def promise(self, nominal: float) -> Promise:  # noqa: ARG002  what forecasts promise is their own mean
        """Hold the mean probability against the share that went viral, with its error clustered by account."""
        promised = float(self.probability.mean())
        kept, error = share_with_error(self.account, self.truth, self.probability)
        return Promise("calibration", promised, kept, error)


@dataclass(frozen=True)
class RatedReport:
    """A model's ladder on a holdout, and the probabilities behind it; `base_rate` is that of the training rows."""

    rungs: Mapping[str, Rated]
    ladder: Ladder
    base_rate: float

    @property
    def model(self) -> Rated:
        """The model's own probabilities."""
        return self.rungs[list(self.rungs)[-1]]

    @property
    def anchor_gain(self) -> Interval:
        """What the model saves of the Brier score of the account alone."""
        return self.ladder.gain

    def metrics(self) -> dict[str, float]:
        """Return the model's known metrics with their ends, and the Brier scores of the rungs below it."""
        below = {
            "constant_brier": self.ladder.rungs["constant"]["brier"].value,
            "anchor_brier": self.ladder.rungs[ANCHOR]["brier"].value,
            "gain_over_anchor": self.ladder.gain.value,
            "base_rate": self.base_rate,
            "viral_share": float(self.model.truth.mean()),
            "mean_probability": float(self.model.probability.mean()),
            "holdout_posts": float(self.ladder.posts),
            "holdout_accounts": float(self.ladder.accounts),
        }
        return {**self.ladder.metrics(), **{name: value for name, value in below.items() if math.isfinite(value)}}


def rated_ladder(rungs: Mapping[str, Rated], replicates: int, seed: int) -> Ladder:
    """Score every rung on the same posts, whole and by slice, with intervals from resampling accounts.

    Notes
    -----
    `auc` is the chance that a viral post is given a higher probability than another one, half where they are equal, and
    unknown where all posts went the same way; `calibration_error` the mean distance between probability and share over
    ten bins of equal size, which chance alone keeps above 0; `precision_top_tenth` the share of viral posts in the
    tenth with the highest probabilities.
    """
    whole = rungs[list(rungs)[-1]]
    if not len(whole.truth):
        raise NotEnoughDataError("no posts to score the ladder on; import more posts or wait for them to mature")
    rank_replicates = min(replicates, max(100, _RANK_WORK // len(whole.truth)))
    accounts, scores, gain = _score(rungs, replicates, rank_replicates, seed)
    rows = []
    for name, levels in whole.slices.items():
        for level in sorted(np.unique(levels).tolist(), key=level_order):
            inside = levels == level
            part = {rung: rated.take(inside) for rung, rated in rungs.items()}
            found = _score(part, replicates, min(rank_replicates, _SLICE_RANK_REPLICATES), seed)
            rows.append(SliceRow(name, level, int(inside.sum()), *found))
    return Ladder(len(whole.truth), accounts, replicates, scores, gain, tuple(rows))


def bins_of(probability: Floats) -> NDArray[np.intp]:
    """Number the bins of equal size that probabilities fall into; equal ones share a bin."""
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(edges, probability, side="left")


def _score(
    rungs: Mapping[str, Rated], replicates: int, rank_replicates: int, seed: int
) -> tuple[int, dict[str, Metrics], Interval]:
    """Return the number of accounts, every rung's metrics, and what the last rung saves of the anchor's Brier score."""
    first = next(iter(rungs.values()))
    samples = Resamples.of(first.account, replicates, seed)
    few = replace(samples, replicates=rank_replicates)
    truth_known = 0 < first.truth.mean() < 1
    found: dict[str, Metrics] = {}
    briers: dict[str, tuple[Any, Floats]] = {}
    for rung, rated in rungs.items():
        totals = samples.totals(_summands(rated))
        value, values = _from_sums(totals.sum(axis=0)), _from_sums(samples.sums(totals))
        metrics = {name: interval_of(samples, value[name], values[name]) for name in _FROM_SUMS}
        for name, whole, drawn in zip(_FROM_RANKS, *_ranked(rated, few, truth_known), strict=True):
            metrics[name] = interval_of(few, whole, drawn)
        found[rung] = {name: metrics[name] for name in _ORDER}
        briers[rung] = value["brier"], values["brier"]
    (before, befores), (after, afters) = briers[ANCHOR], briers[list(rungs)[-1]]
    gain = interval_of(samples, saved_share(before, after), saved_share(befores, afters))
    return samples.accounts, found, gain


def _summands(rated: Rated) -> Floats:
    """Return the columns whose sums over any posts give the metrics of `_from_sums`."""
    chance = np.clip(rated.probability, _LEAST_CHANCE, 1 - _LEAST_CHANCE)
    log_loss = -np.where(rated.truth > 0, np.log(chance), np.log1p(-chance))
    within = bins_of(rated.probability)[:, None] == np.arange(BINS)
    off = within * (rated.truth - rated.probability)[:, None]
    return np.column_stack([np.ones(len(rated.truth)), rated.losses, log_loss, off])


def _from_sums(sums: Floats) -> dict[str, Floats]:
    """Turn sums of `_summands`, along the last axis, into metrics."""
    posts, brier, log_loss, *off = np.moveaxis(sums, -1, 0)
    error = np.sum(np.abs(off), axis=0)
    return dict(zip(_FROM_SUMS, (brier / posts, log_loss / posts, error / posts), strict=True))


def _ranked(rated: Rated, samples: Resamples, truth_known: bool) -> tuple[Floats, Floats]:
    """Return the metrics of `_FROM_RANKS` on all posts, and their values in each sample, shape (metrics, samples)."""
    ranking = Ranking.of(rated.probability)
    everything = np.ones(len(rated.truth))
    values = [_from_ranks(rated.truth, ranking, weight) for weight in _drawn(samples)]
    whole = _from_ranks(rated.truth, ranking, everything) if truth_known else np.full(len(_FROM_RANKS), np.nan)
    return whole, np.transpose(values)


def _drawn(samples: Resamples) -> Iterator[Floats]:
    return (weights[samples.code] for block in samples.weights() for weights in block)


def _from_ranks(truth: Floats, ranking: Ranking, weight: Floats) -> Floats:
    rank, share = ranking.places(weight, tenth)
    posts, viral = weight.sum(), weight @ truth
    others = posts - viral
    # Mid-ranks of the viral posts, less what they are above one another: Mann and Whitney (1947).
    above = weight @ (truth * (rank + posts / 2)) - viral**2 / 2
    auc = above / (viral * others) if viral > 0 and others > 0 else np.nan
    return np.array([auc, weight @ (truth * share) / tenth(posts)])
