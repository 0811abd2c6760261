"""How far off forecasts are expected to be before any outcome is known, and how well such estimates held so far.

Every version carries a model of its own absolute error (`training.calibration`), and the service logs what it says of
each post. It knows what makes posts hard to tell; that the world has changed it cannot know.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import orjson
import polars as pl

from training.evaluate import Interval, interval_of
from training.resampling import Resamples


@dataclass(frozen=True)
class ExpectedError:
    """The mean absolute error, in log1p of the primary count, that is expected of posts without an outcome yet.

    Attributes
    ----------
    told
        What the versions said of them.
    held
        The error that came true over the one that was told, on the posts that have matured; 1 where none has.
    """

    posts: int
    told: float
    held: Interval
    matured: int

    @property
    def expected(self) -> float:
        """What was told, corrected by how such estimates held."""
        return self.told * (self.held.value if math.isfinite(self.held.value) else 1.0)

    @property
    def sentence(self) -> str:
        """Say it to a person."""
        if not self.posts:
            return "nobody asked for forecasts in this window, so there is no error to expect"
        off = f"forecasts of the {self.posts:,} posts asked about are expected to be off by a factor of "
        held = (
            f"such estimates came out {self.held.value:.2f} times as large ({self.held.low:.2f} to "
            f"{self.held.high:.2f}) on {self.matured:,} posts with outcomes"
            if math.isfinite(self.held.value)
            else "no such estimate has been held against outcomes yet"
        )
        return f"{off}{math.exp(self.expected):.1f} (MAE of log {self.expected:.2f}); {held}"


def expect_error(asked: pl.DataFrame, matured: pl.DataFrame, *, replicates: int, seed: int) -> ExpectedError:
    """Average what was told of posts that were asked about, and hold earlier estimates against what came true.

    Parameters
    ----------
    asked
        Rows of the prediction log, of posts whose outcomes need not be known.
    matured
        What `read_matured` answers.
    """
    told = np.array([each for each in map(_told, asked["answer"]) if each is not None])
    known = matured.filter(pl.col("expected_error").is_not_null())
    mean = float(told.mean()) if len(told) else math.nan
    return ExpectedError(len(told), mean, _held(known, replicates, seed), known.height)


def _told(answer: bytes) -> float | None:
    try:
        found: float | None = orjson.loads(answer).get("expected_error")
    except (ValueError, AttributeError):
        return None
    return found


def _held(known: pl.DataFrame, replicates: int, seed: int) -> Interval:
    if known.is_empty():
        return Interval(math.nan, math.nan, math.nan)
    error = (known["truth"] - known["prediction"]).abs().to_numpy()
    accounts = known["account_id"].rank("dense").to_numpy().astype(np.int64)
    samples = Resamples.of(accounts, replicates, seed)
    totals = samples.totals(np.column_stack([error, known["expected_error"].to_numpy()]))
    true, told = totals.sum(axis=0)
    trues, tolds = samples.sums(totals).T
    return interval_of(samples, true / told, trues / tolds)
