"""How good forecasts are: metrics with intervals, the ladder, paired gains and coverage."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from features.errors import NotEnoughDataError, SchemaError
from training.ladder import ANCHOR, CONSTANT, METRICS, MODEL, Interval, Ladder, Metrics, SliceRow
from training.resampling import MIN_ACCOUNTS, Floats, Ranking, Resamples, agreement

__all__ = [
    "ANCHOR",
    "CONSTANT",
    "METRICS",
    "MODEL",
    "Interval",
    "Ladder",
    "Metrics",
    "Promise",
    "Scored",
    "SliceRow",
    "coverage_with_error",
    "interval_of",
    "ladder",
    "level_order",
    "paired_gain",
    "saved_share",
    "share_with_error",
]

_FROM_SUMS = ("r2", "mae_log", "mae_score", "accuracy", "coverage", "width")
_FROM_RANKS = ("spearman", "precision_top_fifth")
# A variance of log1p counts below this is rounding, not spread.
_FLAT = 1e-9
# log1p of the largest 64-bit count is 43.7, so a larger median was not given on that scale.
_LOG_CEILING = 44.0
# Ranks are made anew in each replicate: this many posts times replicates take about a second.
_RANK_WORK = 20_000_000
_SLICE_RANK_REPLICATES = 200


@dataclass(frozen=True)
class Promise:
    """What forecasts say of themselves, and how far they kept it on posts that nothing was learned from.

    Attributes
    ----------
    check
        ``intervals``, which promise to hold a share of outcomes, or ``calibration``: probabilities promise a share.
    promised, kept
        The share said and the share that came true.
    error
        Standard error of their difference, clustered by account; nan for one account.
    """

    check: str
    promised: float
    kept: float
    error: float


@dataclass(frozen=True)
class Scored:
    """Forecasts of one rung on a holdout beside what came true, as arrays of equal length.

    `truth`, `prediction`, `lower` and `upper` are log1p of the primary count; the scores run from 0 to 100;
    `account` holds integer codes; `slices` maps a slice's name to each post's level. `lower` and `upper` may
    be nan where a rung gives no interval.
    """

    account: NDArray[np.int64]
    truth: Floats
    prediction: Floats
    lower: Floats
    upper: Floats
    score_truth: Floats
    score_prediction: Floats
    slices: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    @property
    def losses(self) -> Floats:
        """The absolute error of each forecast, in log1p of the primary count."""
        return np.abs(self.truth - self.prediction)

    def promise(self, nominal: float) -> Promise:
        """Hold the share of posts inside their interval against the nominal one."""
        inside = (self.lower <= self.truth) & (self.truth <= self.upper)
        return Promise("intervals", nominal, *coverage_with_error(self.account, inside))

    def take(self, posts: NDArray[np.bool_]) -> Scored:
        """Return the forecasts of some posts, without their slices."""
        return replace(self, slices={}, **{name: getattr(self, name)[posts] for name in _ARRAYS})


_ARRAYS = ("account", "truth", "prediction", "lower", "upper", "score_truth", "score_prediction")


def ladder(rungs: Mapping[str, Scored], train_median: float, replicates: int = 1000, seed: int = 7) -> Ladder:
    """Score every rung on the same posts, whole and by slice, with intervals from resampling accounts.

    Parameters
    ----------
    rungs
        Forecasts by rung, from the plainest to the model; the slices of the last one are used.
    train_median
        Median outcome of the training window, as log1p of the primary count.
    replicates
        Bootstrap samples, the same for all rungs. Spearman and the top fifth need new ranks in each sample,
        so they use fewer where posts times samples pass 20 million (never under 100), and at most 200 in a
        slice.

    Notes
    -----
    `accuracy` is the share of posts put on the right side of `train_median`; `precision_top_fifth` the share
    of the fifth predicted highest that is truly in the top fifth (0.2 for forecasts that are all equal);
    `mae_score` the mean absolute error of the 0-100 score; `coverage` and `width` speak of the interval in
    log1p. What cannot be known is nan: Spearman of a constant, R² where all outcomes are equal, an interval
    from one account.
    """
    _check(rungs, train_median)
    whole = rungs[list(rungs)[-1]]
    rank_replicates = min(replicates, max(100, _RANK_WORK // len(whole.truth)))
    accounts, scores, gain = _score(rungs, train_median, replicates, rank_replicates, seed)
    rank_replicates = min(rank_replicates, _SLICE_RANK_REPLICATES)
    rows = []
    for name, levels in whole.slices.items():
        for level in sorted(np.unique(levels).tolist(), key=level_order):
            inside = levels == level
            part = {rung: scored.take(inside) for rung, scored in rungs.items()}
            found = _score(part, train_median, replicates, rank_replicates, seed)
            rows.append(SliceRow(name, level, int(inside.sum()), *found))
    return Ladder(len(whole.truth), accounts, replicates, scores, gain, tuple(rows))


def paired_gain(
    account: NDArray[np.int64], error_champion: Floats, error_challenger: Floats, replicates: int, seed: int
) -> Interval:
    """Return the share of the champion's mean absolute error that the challenger saves, paired by post.

    The ends are nan where all posts are of one account, and all three numbers where the champion never errs.
    """
    if not len(account):
        raise NotEnoughDataError("no posts to compare champion and challenger on; wait for posts to mature")
    samples = Resamples.of(account, replicates, seed)
    totals = samples.totals(np.abs(np.column_stack([error_champion, error_challenger])))
    return interval_of(samples, saved_share(*totals.sum(axis=0)), saved_share(*samples.sums(totals).T))


def coverage_with_error(account: NDArray[np.int64], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the share of posts inside their interval and its standard error clustered by account.

    The linearised variance of a ratio, since accounts differ in posts: Cochran (1977), "Sampling Techniques",
    third edition, chapter 6. The error is nan for one account.
    """
    return share_with_error(account, inside.astype(np.float64))


def share_with_error(
    account: NDArray[np.int64], happened: Floats, promised: Floats | float = 0.0
) -> tuple[float, float]:
    """Return the share of posts to which something happened, and the clustered error of its distance from promises."""
    if not len(account):
        raise NotEnoughDataError("no posts to measure a share on; wait for posts to mature")
    labels, code = np.unique(account, return_inverse=True)
    share, off = float(np.mean(happened)), happened - promised
    if len(labels) < MIN_ACCOUNTS:
        return share, math.nan
    residual = np.bincount(code, off - off.mean())
    correction = len(labels) / (len(labels) - 1)
    return share, math.sqrt(correction * float(residual @ residual)) / len(account)


def _score(
    rungs: Mapping[str, Scored], train_median: float, replicates: int, rank_replicates: int, seed: int
) -> tuple[int, dict[str, Metrics], Interval]:
    """Return the number of accounts, every rung's metrics, and the gain of the last rung over the anchor."""
    scored = list(rungs.values())
    samples = Resamples.of(scored[0].account, replicates, seed)
    totals = [samples.totals(_summands(one, train_median)) for one in scored]
    sums = np.split(samples.sums(np.hstack(totals)), len(scored), axis=1)
    value = dict(zip(rungs, (_from_sums(total.sum(axis=0)) for total in totals), strict=True))
    values = dict(zip(rungs, (_from_sums(one) for one in sums), strict=True))
    ranked = dict(zip(rungs, _rank_metrics(scored, replace(samples, replicates=rank_replicates)), strict=True))
    found: dict[str, Metrics] = {}
    for rung in rungs:
        both = ranked[rung] | {name: interval_of(samples, value[rung][name], values[rung][name]) for name in _FROM_SUMS}
        found[rung] = {name: both[name] for name in METRICS}
    gain = Interval(math.nan, math.nan, math.nan)
    if ANCHOR in rungs:
        (before, befores), (after, afters) = (
            (value[rung]["mae_log"], values[rung]["mae_log"]) for rung in (ANCHOR, list(rungs)[-1])
        )
        gain = interval_of(samples, saved_share(before, after), saved_share(befores, afters))
    return samples.accounts, found, gain


def _summands(scored: Scored, train_median: float) -> Floats:
    """Return the columns whose sums over any posts give the metrics of `_from_sums`."""
    truth, error = scored.truth - train_median, scored.truth - scored.prediction
    right = (truth > 0) == (scored.prediction > train_median)
    inside = (scored.lower <= scored.truth) & (scored.truth <= scored.upper)
    width = scored.upper - scored.lower
    columns = [np.ones_like(truth), truth, truth**2, error**2, np.abs(error)]
    columns += [np.abs(scored.score_truth - scored.score_prediction), right]
    columns += [np.where(np.isnan(width), np.nan, inside), np.where(np.isfinite(width), width, np.nan)]
    return np.column_stack(columns)


def _from_sums(sums: Floats) -> dict[str, Floats]:
    """Turn sums of `_summands`, along the last axis, into metrics."""
    posts, truth, squared_truth, squared_error, *others = np.moveaxis(sums, -1, 0)
    spread = squared_truth - truth**2 / posts
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(spread > _FLAT * posts, 1 - squared_error / spread, np.nan)
    return dict(zip(_FROM_SUMS, [r2, *(other / posts for other in others)], strict=True))


def _rank_metrics(scored: list[Scored], samples: Resamples) -> list[dict[str, Interval]]:
    """Return Spearman and the precision of the top fifth of every rung, ranked anew in each sample."""
    truth = Ranking.of(scored[0].truth)
    rankings = [Ranking.of(one.prediction) for one in scored]
    value = agreement(truth, rankings, np.ones(len(samples.code)))
    drawn = (weights[samples.code] for block in samples.weights() for weights in block)
    values = np.array([agreement(truth, rankings, weight) for weight in drawn])
    return [
        {name: interval_of(samples, value[r, m], values[:, r, m]) for m, name in enumerate(_FROM_RANKS)}
        for r in range(len(scored))
    ]


def saved_share(champion: Floats, challenger: Floats) -> Floats:
    """Return the share of the champion's error that the challenger saves; nan where there is none to save."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(champion > 0, (champion - challenger) / champion, np.nan)


def interval_of(samples: Resamples, value: Floats | np.float64, values: Floats) -> Interval:
    """Join a value with the ends of its replicates, which are unknown where the value is."""
    if not np.isfinite(value):
        return Interval(math.nan, math.nan, math.nan)
    low, high = samples.ends(values)
    # Accounts drawn twice tie with themselves, which can push all the ranks of a small holdout to one side.
    return Interval(float(value), min(low, float(value)), max(high, float(value)))


def _check(rungs: Mapping[str, Scored], train_median: float) -> None:
    """Refuse rungs that were not scored on the same posts, or hold numbers that are not known."""
    if not rungs or any(not len(scored.truth) for scored in rungs.values()):
        raise NotEnoughDataError("no posts to score the ladder on; import more posts or wait for them to mature")
    if not train_median < _LOG_CEILING:
        raise SchemaError(f"train_median is {train_median}, which is no log1p of a count; pass np.log1p(median)")
    first = next(iter(rungs.values()))
    for rung, scored in rungs.items():
        lengths = {len(getattr(scored, name)) for name in _ARRAYS} | {len(s) for s in scored.slices.values()}
        if lengths != {len(first.truth)}:
            raise SchemaError(f"rung '{rung}' has arrays of {sorted(lengths)} posts; score it on the whole holdout")
        if not (np.array_equal(scored.truth, first.truth) and np.array_equal(scored.account, first.account)):
            raise SchemaError(f"rung '{rung}' was scored on other posts than the first; use one holdout for all")
        known = (scored.truth, scored.prediction, scored.score_truth, scored.score_prediction)
        if not all(np.isfinite(array).all() for array in known):
            raise SchemaError(f"rung '{rung}' holds a truth or forecast that is no finite number; drop or fill it")


def level_order(level: str) -> tuple[float, bool, str]:
    """Order levels such as `<1k`, `1k-10k`, `1M+` by their first number, the others after them by name."""
    found = re.search(r"(\d+(?:\.\d+)?)([kKmM]?)", level)
    if found is None:
        return math.inf, False, level
    factor = {"": 1.0, "k": 1e3, "m": 1e6}[found[2].lower()]
    return float(found[1]) * factor, not level.startswith("<"), level
