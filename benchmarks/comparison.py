"""Forecasts of the same posts side by side, with intervals from resampling whole accounts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from holdout import Forecast, Split
from peers import ANCHOR, CONFORMAL, MEDIAN
from training.evaluate import Interval, Ladder, Scored, coverage_with_error, ladder, paired_gain
from training.slices import FOLLOWER_TIERS, UNKNOWN

Bools = NDArray[np.bool_]

OURS = "clipcast"
REPLICATES = 1000
SEED = 7
SLICE_MIN_POSTS, SLICE_MIN_ACCOUNTS = 100, 20
SLICE_AGAINST = (MEDIAN, ANCHOR)
METRICS = ("r2", "spearman", "mae_log")
_TIERS_FROM = (1e4, 1e5, 1e6)


@dataclass(frozen=True)
class Band:
    """How an 80 % interval did: the share it covered, its error clustered by account, and its mean width in log1p."""

    coverage: float
    error: float
    width: float

    def words(self) -> tuple[str, str]:
        """Write the coverage in per cent with its error, and the width."""
        return f"{100 * self.coverage:.1f} ± {100 * self.error:.1f}", f"{self.width:.2f}"


@dataclass(frozen=True)
class Part:
    """A slice of the test, or all of it: both intervals, and our MAE against what an account did before."""

    slice: str
    level: str
    posts: int
    accounts: int
    bands: Mapping[str, Band]
    against: Mapping[str, Interval]


@dataclass(frozen=True)
class Comparison:
    """Every forecast's metrics, our MAE against each peer's as a share of the peer's, and the parts of the test."""

    ladder: Ladder
    against: Mapping[str, Interval]
    seconds: Mapping[str, float]
    parts: tuple[Part, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it, None for what is not known."""
        forecasts = {
            name: {key: number for metric in METRICS for key, number in metrics[metric].to_dict(metric).items()}
            | {"seconds": self.seconds[name]}
            | (self.against[name].to_dict("mae_of_clipcast_against") if name in self.against else {})
            for name, metrics in self.ladder.rungs.items()
        }
        return {
            "posts": self.ladder.posts,
            "accounts": self.ladder.accounts,
            "forecasts": forecasts,
            "parts": [_plain(part) for part in self.parts],
        }


def compare(split: Split, forecasts: Mapping[str, Forecast]) -> Comparison:
    """Compare forecasts of a test by name, ours among them or not."""
    account = pd.factorize(split.test["account_id"])[0].astype(np.int64)
    shown = {name: forecast for name, forecast in forecasts.items() if name != CONFORMAL}
    rungs = {name: _scored(split, account, forecast) for name, forecast in shown.items()}
    every = np.ones(len(account), bool)
    return Comparison(
        ladder(rungs, float(np.median(split.train_log)), REPLICATES, SEED),
        _against(split, account, forecasts, every, tuple(shown)),
        {name: forecast.seconds for name, forecast in shown.items()},
        tuple(_part(split, account, forecasts, *where) for where in [("all", "all", every), *_slices(split, account)]),
    )


def _scored(split: Split, account: NDArray[np.int64], forecast: Forecast) -> Scored:
    """Return what the ladder asks for; a score of 0 to 100 is not among what peers forecast."""
    truth, guess = split.truth_log, forecast.prediction
    return Scored(account, truth, guess, forecast.lower, forecast.upper, score_truth=truth, score_prediction=guess)


def _against(
    split: Split, account: NDArray[np.int64], forecasts: Mapping[str, Forecast], rows: Bools, peers: tuple[str, ...]
) -> dict[str, Interval]:
    """Return (our MAE less the peer's) over the peer's, paired by post; below 0 we are better."""
    if OURS not in forecasts:
        return {}
    error = {name: (forecast.prediction - split.truth_log)[rows] for name, forecast in forecasts.items()}
    found = {}
    for name in peers:
        if name in error and name != OURS:
            gain = paired_gain(account[rows], error[name], error[OURS], REPLICATES, SEED)
            found[name] = Interval(-gain.value, -gain.high, -gain.low)
    return found


def _part(
    split: Split, account: NDArray[np.int64], forecasts: Mapping[str, Forecast], name: str, level: str, rows: Bools
) -> Part:
    """Judge the intervals and our MAE on some rows of the test."""
    bands = {}
    for who in (OURS, CONFORMAL):
        if who in forecasts:
            lower, upper = forecasts[who].lower[rows], forecasts[who].upper[rows]
            inside = (lower <= split.truth_log[rows]) & (split.truth_log[rows] <= upper)
            bands[who] = Band(*coverage_with_error(account[rows], inside), float(np.mean(upper - lower)))
    against = _against(split, account, forecasts, rows, SLICE_AGAINST)
    return Part(name, level, int(rows.sum()), len(np.unique(account[rows])), bands, against)


def _slices(split: Split, account: NDArray[np.int64]) -> Iterator[tuple[str, str, Bools]]:
    """Yield each slice's levels that are large enough to be judged."""
    followers = split.test["followers"].to_numpy(np.float64)
    tier = np.where(np.isnan(followers), -1, np.searchsorted(_TIERS_FROM, followers, side="right"))
    levels = {
        "account": np.where(split.known, "known", "new"),
        "followers": np.array([*FOLLOWER_TIERS, UNKNOWN])[tier],
        "media type": split.test["media_type"].astype(object).fillna(UNKNOWN).to_numpy(str),
    }
    for name, level in levels.items():
        for one in dict.fromkeys([*FOLLOWER_TIERS, *sorted(set(level))]):
            rows = level == one
            if rows.sum() >= SLICE_MIN_POSTS and len(np.unique(account[rows])) >= SLICE_MIN_ACCOUNTS:
                yield name, one, rows


def _plain(part: Part) -> dict[str, Any]:
    against = {name: interval.to_dict("mae_of_clipcast_against") for name, interval in part.against.items()}
    return asdict(part) | {"against": against}
