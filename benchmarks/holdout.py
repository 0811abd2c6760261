"""The latest fifth of a file of posts, and forecasts of it from the part before."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import ImportFileError, NotEnoughDataError
from features.schema import OUTCOMES, TIMES, primary

Floats = NDArray[np.float64]

MATURITY = pd.Timedelta(days=3)
"""A post looked at younger than this has no outcome yet, and training ends this long before the first test post."""

TEST_FROM = 0.8
"""Quantile of the times of publication at which the test begins."""


@dataclass(frozen=True)
class Split:
    """The posts to learn from and those to forecast, each in the order of publication.

    Attributes
    ----------
    target
        The count that is forecast.
    test
        Without outcomes, as a post is before it is published.
    truth
        The target of the test's posts.
    """

    platform: str
    target: str
    train: pd.DataFrame
    test: pd.DataFrame
    truth: Floats

    @cached_property
    def train_log(self) -> Floats:
        """The training posts' outcomes as log1p."""
        logs: Floats = np.log1p(self.train[self.target].to_numpy(np.float64))
        return logs

    @cached_property
    def truth_log(self) -> Floats:
        """The test posts' outcomes as log1p."""
        logs: Floats = np.log1p(self.truth)
        return logs

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Whether a test post's account has a post to learn from."""
        return self.test["account_id"].isin(self.train["account_id"]).to_numpy()

    @cached_property
    def digest(self) -> str:
        """A name for what a forecast is made from: the same posts and split have the same."""
        text = f"{self.target}\n{self.train.to_csv(index=False)}\n{self.test.to_csv(index=False)}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write both parts in the import format."""
        folder.mkdir(parents=True, exist_ok=True)
        train, test = folder / "train.csv.gz", folder / "test.csv.gz"
        for part, path in ((self.train, train), (self.test, test)):
            part.to_csv(path, index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
        return train, test


@dataclass(frozen=True)
class Forecast:
    """Forecasts of the test's posts as log1p, in their order, and the ends of an 80 % interval, nan without one."""

    prediction: Floats
    lower: Floats
    upper: Floats
    seconds: float = 0.0

    @classmethod
    def of(cls, prediction: Floats, half: float = math.nan) -> Forecast:
        """Keep forecasts, and the ends `half` to either side of them, from falling below a count of 0."""
        lower, upper = np.maximum(prediction - half, 0), np.maximum(prediction + half, 0)
        return cls(np.maximum(prediction, 0), lower, upper)

    def write(self, path: Path) -> None:
        """Write the forecasts as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({name: np.asarray(value).tolist() for name, value in asdict(self).items()}))

    @classmethod
    def read(cls, path: Path) -> Forecast:
        """Read what `write` wrote."""
        plain = json.loads(path.read_text())
        prediction, lower, upper = (np.array(plain[name]) for name in ("prediction", "lower", "upper"))
        return cls(prediction, lower, upper, plain["seconds"])


def read(path: Path) -> pd.DataFrame:
    """Read a file in the import format."""
    names = {"post_id": str, "account_id": str}
    posts = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=names)
    times = {name: pd.to_datetime(posts[name], utc=True, format="ISO8601") for name in TIMES}
    return posts.assign(**times)


def split_posts(posts: pd.DataFrame) -> Split:
    """Keep each post's last look at 3 days or more, and split the posts at the quantile of publication."""
    platforms = posts["platform"].unique().tolist()
    if len(platforms) != 1:
        raise ImportFileError(f"posts of {platforms} in one file; give the posts of each platform in a file of its own")
    target = primary(platforms[0])
    looks = posts.dropna(subset=[target, "published_at"]).sort_values("observed_at")
    last = looks.drop_duplicates("post_id", keep="last")
    mature = last[last["observed_at"] - last["published_at"] >= MATURITY].sort_values("published_at")
    cut: Any = mature["published_at"].quantile(TEST_FROM)  # a time, which the stubs do not know
    train = mature[mature["published_at"] <= cut - MATURITY].reset_index(drop=True)
    test = mature[mature["published_at"] > cut].reset_index(drop=True)
    if train.empty or test.empty:
        raise NotEnoughDataError(f"{len(mature)} mature posts leave nothing to learn from or to forecast; give more")
    blank = test.assign(**dict.fromkeys(OUTCOMES, np.nan), observed_at=test["published_at"])
    return Split(platforms[0], target, train, blank, test[target].to_numpy(np.float64))
