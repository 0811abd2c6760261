"""What others would forecast of the same posts: plain features, models as they come out of the box.

Every peer learns from the training rows alone, on log1p of the target; an account's history ends with them.
"""

from __future__ import annotations

import importlib
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.errors import ClipcastError
from holdout import Floats, Forecast, Split

THREADS = 2
COVERAGE = 0.8
CALIBRATE_FROM = 0.8
"""Share of the training rows, in time, after which a split-conformal interval is calibrated."""

CONSTANT, MEDIAN, ANCHOR = "constant", "account median of 5", "shrunken anchor"
LIGHTGBM, CATBOOST, FLAML = "LightGBM defaults", "CatBoost defaults", "FLAML"
CONFORMAL = "CatBoost split-conformal"
"""Made for its interval alone: its model learns from less than `CATBOOST`."""

_RECENT = 5
_ANCHOR_POSTS, _ANCHOR_WEIGHT = 20, 3
_EMOJI = "[\U0001f300-\U0001faff☀-➿]"
_SVD_PARTS = 20


class MissingPeerError(ClipcastError):
    """A peer's library is not installed."""


@dataclass(frozen=True)
class Task:
    """A split as a peer meets it: with the features of the training rows and of the test's."""

    split: Split
    train: pd.DataFrame
    test: pd.DataFrame
    budget_s: int


Peer = Callable[[Task], Forecast]


def forecasts(split: Split, folder: Path, budget_s: int) -> dict[str, Forecast]:
    """Return every peer's forecasts, read from `folder` where they were made of the same split before."""
    kept = folder / f"peers-{split.digest}"
    paths = {name: kept / file.format(budget_s=budget_s) for name, (_, file) in PEERS.items()}
    missing = [name for name, path in paths.items() if not path.exists()]
    if missing:
        task = Task(split, *plain_features(split), budget_s)
        for name in missing:
            timed(PEERS[name][0], task).write(paths[name])
    return {name: Forecast.read(path) for name, path in paths.items()}


def timed(peer: Peer, task: Task) -> Forecast:
    """Return a peer's forecasts with the seconds that its fit took; the features are not counted."""
    started = time.perf_counter()
    return replace(peer(task), seconds=time.perf_counter() - started)


def require(library: str) -> Any:
    """Import a peer's library, or say how to install it."""
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise MissingPeerError(
            f"this benchmark needs {library}, which is missing; install it: "
            "pip install -c constraints.txt -e '.[bench]' (or leave the peers out: --only clipcast)"
        ) from error


def constant(task: Task) -> Forecast:
    """Forecast the training rows' median."""
    return Forecast.of(np.full(len(task.split.test), np.median(task.split.train_log)))


def account_median(task: Task) -> Forecast:
    """Forecast the median of the account's last 5 training rows; of all rows, for a new account."""
    split = task.split
    median = _by_account(split).apply(lambda outcomes: outcomes.tail(_RECENT).median())
    known = split.test["account_id"].map(median)
    return Forecast.of(known.fillna(np.median(split.train_log)).to_numpy(np.float64))


def shrunken_anchor(task: Task) -> Forecast:
    """Forecast the mean of the account's last 20 training rows, shrunk towards a line on log followers.

    The line counts as much as 3 posts.
    """
    split = task.split
    followers = _log_followers(split.train)
    middle = followers.median() if followers.notna().any() else 0.0
    slope, level = np.polyfit(followers.fillna(middle), split.train_log, 1)
    line = level + slope * _log_followers(split.test).fillna(middle)
    recent = _by_account(split).apply(lambda outcomes: outcomes.tail(_ANCHOR_POSTS).agg(["sum", "count"])).unstack()
    own = recent.reindex(split.test["account_id"]).fillna(0).reset_index(drop=True)
    anchor = (own["sum"] + _ANCHOR_WEIGHT * line) / (own["count"] + _ANCHOR_WEIGHT)
    return Forecast.of(anchor.to_numpy(np.float64))


def lightgbm_defaults(task: Task) -> Forecast:
    """Forecast with LightGBM as it comes."""
    model = require("lightgbm").LGBMRegressor(verbose=-1, n_jobs=THREADS)
    return Forecast.of(model.fit(task.train, task.split.train_log).predict(task.test))


def catboost_defaults(task: Task) -> Forecast:
    """Forecast with CatBoost as it comes."""
    return Forecast.of(_catboost(task.train, task.split.train_log).predict(task.test))


def flaml_search(task: Task) -> Forecast:
    """Forecast with what FLAML finds within the budget."""
    model = require("flaml").AutoML()
    wanted = {"task": "regression", "metric": "mae", "split_type": "time", "time_budget": task.budget_s}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(task.train, task.split.train_log, **wanted, seed=0, n_jobs=THREADS, verbose=0)
    return Forecast.of(model.predict(task.test))


def catboost_conformal(task: Task) -> Forecast:
    """Forecast with CatBoost fitted on the first 80 % of the training rows, with the interval around that fit.

    Plain split-conformal prediction (Lei et al., 2018, section 2.2): the quantile of the absolute errors on the
    later 20 %, the same to either side of every forecast. There is no refit. Those rows' history is fresh and the
    test's is not, which plain split-conformal prediction does not ask about.
    """
    outcome, end = task.split.train_log, int(CALIBRATE_FROM * len(task.train))
    model = _catboost(task.train[:end], outcome[:end])
    error = np.sort(np.abs(outcome[end:] - model.predict(task.train[end:])))
    rank = min(math.ceil(COVERAGE * (len(error) + 1)), len(error))
    return Forecast.of(model.predict(task.test), half=float(error[rank - 1]))


def plain_features(split: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the features of the training rows and of the test's: caption, timing, media and account history."""
    rows = len(split.train)
    posts = pd.concat([split.train, split.test.drop(columns=split.target)], ignore_index=True)
    outcome = pd.Series(split.train_log).reindex(posts.index)
    caption = posts["caption"].astype(object).fillna("").astype(str)
    counts = pd.DataFrame(
        {
            **_caption_counts(caption),
            "hour": posts["published_at"].dt.hour,
            "weekday": posts["published_at"].dt.dayofweek,
            "duration_s": posts["duration_s"],
            "followers": _log_followers(posts),
            "media": posts["media_type"].astype("category").cat.codes,
            **_history(outcome, posts["account_id"]),
            "gap_s": posts.groupby("account_id")["published_at"].diff().dt.total_seconds(),
        }
    )
    both = pd.concat([counts.astype(float), _caption_parts(caption, rows)], axis=1)
    return both[:rows], both[rows:]


def _caption_counts(caption: pd.Series[str]) -> dict[str, pd.Series[Any]]:
    words: Any = caption.str.split()
    patterns = {"tags": "#", "mentions": "@", "emoji": _EMOJI, "questions": r"\?", "exclamations": "!", "digits": r"\d"}
    lengths = {"length": caption.str.len(), "words": words.str.len()}
    return lengths | {name: caption.str.count(pattern) for name, pattern in patterns.items()}


def _history(outcome: pd.Series[float], account: pd.Series[str]) -> dict[str, pd.Series[Any]]:
    """Return what an account's earlier outcomes were, at each of its posts; an empty outcome is not known."""
    statistics: dict[str, Callable[[pd.Series[float]], pd.Series[float]]] = {
        "median5": lambda own: own.shift().ffill().rolling(_RECENT, min_periods=1).median(),
        "mean": lambda own: own.shift().expanding().mean(),
        "last": lambda own: own.shift().ffill(),
        "max": lambda own: own.shift().expanding().max(),
        "std": lambda own: own.shift().expanding().std(),
    }
    known = outcome.notna().astype(int)
    earlier = {"earlier": known.groupby(account).cumsum() - known}
    return earlier | {name: outcome.groupby(account).transform(found) for name, found in statistics.items()}


def _caption_parts(caption: pd.Series[str], rows: int) -> pd.DataFrame:
    """Return the captions' main directions, of the words that 5 of the first `rows` captions share."""
    text, decomposition = require("sklearn.feature_extraction.text"), require("sklearn.decomposition")
    try:
        words = text.TfidfVectorizer(min_df=5, max_features=20_000, sublinear_tf=True).fit(caption[:rows])
    except ValueError:  # no word is shared by as many
        return pd.DataFrame(index=caption.index)
    size = min(_SVD_PARTS, len(words.vocabulary_))
    parts = decomposition.TruncatedSVD(size, random_state=0).fit(words.transform(caption[:rows]))
    return pd.DataFrame(parts.transform(words.transform(caption))).add_prefix("caption_")


def _by_account(split: Split) -> Any:
    return pd.Series(split.train_log).groupby(split.train["account_id"])


def _log_followers(posts: pd.DataFrame) -> pd.Series[float]:
    return posts["followers"].astype(float).map(np.log1p)


def _catboost(features: pd.DataFrame, outcome: Floats) -> Any:
    model = require("catboost").CatBoostRegressor(verbose=0, thread_count=THREADS, allow_writing_files=False)
    return model.fit(features, outcome)


PEERS: Mapping[str, tuple[Peer, str]] = {
    CONSTANT: (constant, "constant.json"),
    MEDIAN: (account_median, "median.json"),
    ANCHOR: (shrunken_anchor, "anchor.json"),
    LIGHTGBM: (lightgbm_defaults, "lightgbm.json"),
    CATBOOST: (catboost_defaults, "catboost.json"),
    FLAML: (flaml_search, "flaml-{budget_s}s.json"),
    CONFORMAL: (catboost_conformal, "conformal.json"),
}
"""Each peer, and the file that keeps its forecasts."""
